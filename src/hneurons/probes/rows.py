"""Rows of matrices that need not lie in memory: some of one, or of several on top of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from hneurons.errors import ProbeError
from hneurons.probes.columns import Columns, as_columns

_ABSENT = -1


class Rows:
    """Rows of one or more matrices of equal width, in any order and any number of times; itself `Columns`.

    Row i is row `row[i]` of matrix number `source[i]`; a source of -1 stands for a row that is not there, and reading
    it is refused. Nothing is copied but the block in hand, and no block where the rows are adjacent in one matrix.
    Make it with `rows_of`, `stacked` and `spread`.
    """

    def __init__(
        self,
        sources: Sequence[Columns],
        source: Int[np.ndarray, " rows"],
        row: Int[np.ndarray, " rows"],
        neurons: int,
    ) -> None:
        self.sources, self.source, self.row = tuple(sources), source, row
        self._neurons = neurons
        self._parts = [(each, _slice(own), _slice(row[own])) for each, own in self._used()]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, neurons)."""
        return len(self.row), self._neurons

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "rows width"]]]:
        """Yield (number of the first column, the columns), in the blocks of the matrices that the rows are of.

        Raises:
            ProbeError: a row is not there.
        """
        self._refuse_absent()
        if not self._parts:
            yield 0, np.empty((0, self._neurons), dtype=np.float32)
        elif len(self._parts) == 1:
            ((matrix, _, rows),) = self._parts
            for start, block in matrix.blocks():
                yield start, _pick(block, rows)
        else:
            for start, blocks in aligned([matrix for matrix, _, _ in self._parts]):
                yield start, self._assembled(blocks)

    def take(self, indices: Int[np.ndarray, " chosen"]) -> Float64[np.ndarray, "rows chosen"]:
        """The columns of these numbers, in float64 and Fortran order.

        Raises:
            ProbeError: a row is not there.
        """
        self._refuse_absent()
        if not self._parts:
            return np.empty((0, len(indices)), order="F")
        return np.asfortranarray(self._assembled([matrix.take(indices) for matrix, _, _ in self._parts]))

    def _assembled(self, blocks: Sequence[Float[np.ndarray, "_ width"]]) -> Float[np.ndarray, "rows width"]:
        if len(blocks) == 1:
            return _pick(blocks[0], self._parts[0][2])
        found = np.empty((len(self.row), blocks[0].shape[1]), dtype=np.result_type(*blocks), order="F")
        for block, (_, place, rows) in zip(blocks, self._parts, strict=True):
            found[place] = _pick(block, rows)
        return found

    def _used(self) -> Iterator[tuple[Columns, Int[np.ndarray, " own"]]]:
        """The matrices that some row is of, and which rows those are."""
        for number, matrix in enumerate(self.sources):
            own = np.flatnonzero(self.source == number)
            if len(own):
                yield matrix, own

    def _refuse_absent(self) -> None:
        absent = np.flatnonzero(self.source == _ABSENT)
        if len(absent):
            raise ProbeError(f"row {absent[0]} has no vector, and {len(absent) - 1} more have none; leave them out")


def rows_of(columns: Columns, rows: Int[np.ndarray, " taken"] | Bool[np.ndarray, " all"]) -> Columns:
    """These rows of a matrix, by number in any order, or by a flag each; the matrix itself where that is all of it."""
    base = _as_rows(columns)
    return _simplest(base.sources, base.source[rows], base.row[rows], columns.shape[1])


def stacked(*matrices: Columns) -> Columns:
    """The rows of the first matrix, then those of the next, and so on.

    Raises:
        ProbeError: they differ in width.
    """
    widths = {each.shape[1] for each in matrices}
    if len(widths) != 1:
        raise ProbeError(f"matrices of {' and '.join(map(str, sorted(widths)))} neurons cannot be one")
    sources: list[Columns] = []
    numbers, rows = [], []
    for base in map(_as_rows, matrices):
        places = np.array([_place(sources, each) for each in base.sources] + [_ABSENT], dtype=np.int64)
        numbers.append(places[base.source])  # -1 finds the last, which is absent too
        rows.append(base.row)
    return _simplest(sources, np.concatenate(numbers), np.concatenate(rows), widths.pop())


def spread(columns: Columns, present: Bool[np.ndarray, " rows"]) -> Columns:
    """A row for every flag: the next of `columns` where it is True, and none where it is False.

    Raises:
        ProbeError: there are not as many rows as flags that are True.
    """
    if columns.shape[0] != present.sum():
        raise ProbeError(f"{columns.shape[0]} rows cannot stand in {int(present.sum())} places")
    base = _as_rows(columns)
    source, row = np.full(len(present), _ABSENT), np.zeros(len(present), dtype=np.int64)
    source[present], row[present] = base.source, base.row
    return _simplest(base.sources, source, row, columns.shape[1])


def as_rows(data: Columns | Float[np.ndarray, "rows neurons"]) -> Columns:
    """`as_columns`, and a matrix without a row where the array has none."""
    if isinstance(data, np.ndarray) and not len(data):
        return Rows((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), data.shape[1])
    return as_columns(data)


def aligned(matrices: Sequence[Columns]) -> Iterator[tuple[int, list[Float[np.ndarray, "_ width"]]]]:
    """Blocks of several matrices of equal width in step: (number of the first column, that block of each).

    A block ends wherever that of one matrix does.
    """
    neurons, position = matrices[0].shape[1], 0
    readers = [each.blocks() for each in matrices]
    held = [next(reader) for reader in readers]
    while True:
        stop = min(start + block.shape[1] for start, block in held)
        yield position, [block[:, position - start : stop - start] for start, block in held]
        if stop >= neurons:
            return
        position = stop
        for number, (start, block) in enumerate(held):
            if start + block.shape[1] <= position:
                held[number] = next(readers[number])


def dense(columns: Columns) -> Float[np.ndarray, "rows neurons"]:
    """The whole matrix in memory, in Fortran order and the precision of its blocks."""
    found = np.empty((0, 0), dtype=np.float32)
    for start, block in columns.blocks():
        if not start:
            found = np.empty(columns.shape, dtype=block.dtype, order="F")
        found[:, start : start + block.shape[1]] = block
    return found


def _as_rows(columns: Columns) -> Rows:
    if isinstance(columns, Rows):
        return columns
    n, neurons = columns.shape
    return Rows((columns,), np.zeros(n, dtype=np.int64), np.arange(n), neurons)


def _simplest(
    sources: Sequence[Columns], source: Int[np.ndarray, " rows"], row: Int[np.ndarray, " rows"], neurons: int
) -> Columns:
    """The rows as one of the matrices itself, where they are all of it in its own order."""
    if len(row) and source[0] != _ABSENT and (source == source[0]).all():
        matrix = sources[int(source[0])]
        if np.array_equal(row, np.arange(matrix.shape[0])):
            return matrix
    return Rows(sources, source, row, neurons)


def _place(sources: list[Columns], matrix: Columns) -> int:
    for number, each in enumerate(sources):
        if each is matrix:
            return number
    sources.append(matrix)
    return len(sources) - 1


def _slice(rows: Int[np.ndarray, " rows"]) -> slice | Int[np.ndarray, " rows"]:
    """Adjacent rows as a slice, which costs no copy."""
    if (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _pick(
    block: Float[np.ndarray, "all width"], rows: slice | Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows width"]:
    """Rows of a block, in Fortran order like the block."""
    return block[rows] if isinstance(rows, slice) else np.take(block.T, rows, axis=1).T
