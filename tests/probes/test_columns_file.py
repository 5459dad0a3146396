"""A matrix in a file: what comes back, how exact halves are, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hneurons.errors import CorruptRunError, ProbeError
from hneurons.probes import columns_file
from hneurons.probes.columns import ArrayColumns, block_width
from hneurons.probes.columns_file import FileColumns, Stored, write_columns

ROWS, NEURONS = 300, 9000


@pytest.fixture(scope="module", name="X")
def _contributions() -> np.ndarray:
    """Contributions over eight orders of magnitude, with zeros and a column of nothing else."""
    random = np.random.default_rng(0)
    X = np.exp(random.normal(-7, 3, (ROWS, NEURONS))).astype(np.float32)
    X[random.random(X.shape) < 0.01] = 0.0
    X[:, 17] = 0.0
    return X


def in_blocks(X: np.ndarray, width: int) -> Iterator[np.ndarray]:
    return (X[:, start : start + width] for start in range(0, X.shape[1], width))


def whole(columns: FileColumns | ArrayColumns) -> np.ndarray:
    return np.concatenate([block.copy() for _, block in columns.blocks()], axis=1)


def written(path: Path, X: np.ndarray, stored: Stored) -> FileColumns:
    return write_columns(path / "x.safetensors", in_blocks(X, 1000), *X.shape, stored)


def test_float32_comes_back_to_the_bit(tmp_path: Path, X: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_file, "READ_AT_ONCE", 1 << 20)  # several readings, the last of them short
    columns = written(tmp_path, X, "float32")
    np.testing.assert_array_equal(whole(columns), X)
    in_memory = ArrayColumns(X)
    assert [start for start, _ in columns.blocks()] == [start for start, _ in in_memory.blocks()]
    assert 2 * block_width(ROWS) < NEURONS


@pytest.mark.parametrize("indices", [[5], [0, 1, 2, 8999], [42, 7, 7, 8, 41], []])
@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_columns_by_number(tmp_path: Path, X: np.ndarray, stored: Stored, indices: list[int]) -> None:
    columns = written(tmp_path, X[:, :9000], stored)
    chosen = np.array(indices, dtype=np.int64)
    taken = columns.take(chosen)
    assert taken.dtype == np.float64
    assert taken.flags.f_contiguous
    np.testing.assert_array_equal(taken, whole(columns)[:, chosen])


def test_scaled_halves_keep_eleven_bits(tmp_path: Path, X: np.ndarray) -> None:
    columns = written(tmp_path, X, "float16")
    found = whole(columns)
    least = np.maximum(X, np.maximum(X.max(axis=0), 1e-9) * 2.0**-28)
    assert (np.abs(found - X) / least).max() <= 2.0**-11
    plain = X.astype(np.float16).astype(np.float32)  # what the exponents are for
    assert (np.abs(plain - X) / least).max() > 0.5
    assert (found[:, 17] == 0).all()


def test_the_file_is_open_to_anyone(tmp_path: Path, X: np.ndarray) -> None:
    written(tmp_path, X, "float16")
    tensors = load_file(tmp_path / "x.safetensors")
    by_hand = tensors["columns"].astype(np.float64).T * 2.0 ** tensors["exponents"].astype(np.float64)
    np.testing.assert_allclose(by_hand, X, rtol=2.0**-11, atol=1e-9 * X.max())


def test_what_does_not_add_up_is_refused_and_leaves_nothing(tmp_path: Path, X: np.ndarray) -> None:
    file = tmp_path / "x.safetensors"
    with pytest.raises(ProbeError, match="there are 9000 columns for a matrix"):
        write_columns(file, in_blocks(X, 1000), ROWS, NEURONS + 1)
    with pytest.raises(ProbeError, match="have shape"):
        write_columns(file, in_blocks(X, 1000), ROWS, NEURONS - 1)
    wrong = X.copy()
    wrong[3, 4321] = np.nan
    with pytest.raises(ProbeError, match="neuron 4321 are not finite"):
        write_columns(file, in_blocks(wrong, 1000), ROWS, NEURONS)
    with pytest.raises(ProbeError, match="empty"):
        write_columns(file, iter(()), 0, NEURONS)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(tmp_path: Path, X: np.ndarray) -> None:
    columns = written(tmp_path, X, "float32")
    data = columns.path.read_bytes()
    for broken in (data[:-1], data[:4], b"", b"\xff" * 64):
        columns.path.write_bytes(broken)
        with pytest.raises(CorruptRunError, match="no matrix of columns"):
            FileColumns.open(columns.path)
    with pytest.raises(CorruptRunError, match="no matrix of columns"):
        FileColumns.open(tmp_path / "missing")
