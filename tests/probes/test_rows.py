"""Rows of matrices that are read block by block, against numpy on the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hneurons.errors import ProbeError
from hneurons.probes.columns import ArrayColumns
from hneurons.probes.rows import Rows, aligned, as_rows, dense, rows_of, spread, stacked
from hneurons.probes.states import LayerStates, stacked_states, states_of

RANDOM = np.random.default_rng(0)
A, B = RANDOM.random((7, 23)).astype(np.float32), RANDOM.random((5, 23)).astype(np.float32)


class Overwriting(ArrayColumns):
    """Like a file: every block is read into the buffer of the one before."""

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        buffer = np.empty((self.shape[0], self.shape[1]), dtype=np.float32, order="F")
        for start, block in super().blocks():
            buffer[:, : block.shape[1]] = block
            yield start, buffer[:, : block.shape[1]]
        buffer[:] = np.nan


def assert_equals(columns, expected):
    """By blocks and by number; blocks are in order, without gap, in Fortran order."""
    assert columns.shape == expected.shape
    position = 0
    for start, block in columns.blocks():
        assert start == position
        assert block.strides[0] == block.itemsize or min(block.shape) <= 1
        np.testing.assert_array_equal(block, expected[:, start : start + block.shape[1]])
        position += block.shape[1]
    assert position == expected.shape[1]
    np.testing.assert_array_equal(dense(columns), expected)
    chosen = np.array([22, 0, 5, 5])
    taken = columns.take(chosen)
    assert taken.dtype == np.float64
    assert taken.flags.f_contiguous
    np.testing.assert_array_equal(taken, expected[:, chosen])
    assert columns.take(chosen[:0]).shape == (len(expected), 0)


@pytest.mark.parametrize("rows", [[3, 0, 6, 3], [2, 3, 4], [0, 1, 2, 3, 4, 5, 6], [5], []])
def test_rows_of_one_matrix(rows):
    rows = np.array(rows, dtype=np.int64)
    assert_equals(rows_of(Overwriting(A, 4), rows), A[rows])
    assert_equals(rows_of(rows_of(Overwriting(A, 4), np.arange(6, -1, -1)), rows), A[::-1][rows])


def test_all_rows_are_the_matrix_itself():
    """A fit on a file reads the file, not a copy of every block."""
    base = Overwriting(A, 4)
    assert rows_of(base, np.arange(7)) is base
    assert stacked(rows_of(base, np.arange(3)), rows_of(base, np.arange(3, 7))) is base
    present = np.array([True, False, True, True, False, True, False, True])
    answers, others = rows_of(base, np.arange(2)), spread(rows_of(base, np.arange(2, 7)), present)
    assert stacked(answers, rows_of(others, np.flatnonzero(present))) is base
    assert rows_of(base, np.array([1, 0, 2, 3, 4, 5, 6])) is not base


@pytest.mark.parametrize("widths", [(4, 4), (4, 6), (23, 1), (7, 30)])
def test_matrices_on_top_of_each_other_are_read_in_step_whatever_their_blocks(widths):
    a, b = (Overwriting(X, width) for X, width in zip((A, B), widths, strict=True))
    assert_equals(stacked(a, b), np.concatenate([A, B]))
    assert_equals(stacked(a, b, a), np.concatenate([A, B, A]))
    order = RANDOM.permutation(12)
    assert_equals(rows_of(stacked(a, b), order), np.concatenate([A, B])[order])
    ends = {start for start, _ in aligned([a, b])}
    assert ends == {*range(0, 23, widths[0]), *range(0, 23, widths[1])}


def test_a_row_that_is_not_there_is_never_read():
    present = np.array([True, False, True, True, False, True, True])
    gaps = spread(Overwriting(B, 4), present)
    assert gaps.shape == (7, 23)
    there = np.flatnonzero(present)
    assert_equals(rows_of(gaps, there), B)
    assert_equals(rows_of(stacked(as_rows(A), gaps), np.array([1, 7 + 3, 7 + 0])), np.stack([A[1], B[2], B[0]]))
    for read in (lambda: next(gaps.blocks()), lambda: gaps.take(np.array([0])), lambda: dense(stacked(gaps, gaps))):
        with pytest.raises(ProbeError, match="row 1 has no vector"):
            read()
    with pytest.raises(ProbeError, match="5 rows cannot stand in 4 places"):
        spread(as_rows(B), present & (np.arange(7) > 0))


def test_a_set_without_a_row_has_its_width():
    nothing = as_rows(np.zeros((0, 23), dtype=np.float32))
    assert isinstance(nothing, Rows)
    assert_equals(nothing, A[:0])
    assert_equals(stacked(nothing, as_rows(A)), A)
    with pytest.raises(ProbeError, match="22 and 23 neurons"):
        stacked(as_rows(A), as_rows(A[:, 1:]))
    with pytest.raises(IndexError):
        rows_of(as_rows(A), np.array([7]))


def test_states_read_a_layer_at_a_time_are_those_of_the_array():
    H, more = RANDOM.random((6, 3, 4)).astype(np.float32), RANDOM.random((2, 3, 4)).astype(np.float32)
    read: list[int] = []

    def layer(k):
        read.append(k)
        return H[:, k]

    states = LayerStates(H.shape, layer)
    rows = np.array([4, 0, 4])
    for _ in range(2):
        np.testing.assert_array_equal(states[:, 1], H[:, 1])
        np.testing.assert_array_equal(states[rows, 1], H[rows, 1])
    assert read == [1]  # the last layer is kept
    np.testing.assert_array_equal(states[:, -1], H[:, 2])
    assert states_of(states, rows).shape == (3, 3, 4)
    np.testing.assert_array_equal(states_of(states, rows)[1:, 0], H[rows][1:, 0])
    both = stacked_states(states, more)
    assert both.shape == (8, 3, 4)
    np.testing.assert_array_equal(both[:, 2], np.concatenate([H, more])[:, 2])
    assert isinstance(stacked_states(H, more), np.ndarray)
    with pytest.raises(IndexError):
        states[:, 3]
    with pytest.raises(ProbeError, match="cannot be one"):
        stacked_states(states, more[:, :2])
