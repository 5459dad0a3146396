"""Where the path reads its data: a matrix of rows by neurons, handed out in blocks of columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int

from hneurons.errors import ProbeError


@runtime_checkable
class Columns(Protocol):
    """A matrix (rows, neurons) that need not lie in memory.

    The path asks for two things: all columns once, block after block, and a few columns by number. Whatever holds the
    matrix (an array here, a file in `FileColumns`) implements these and nothing else. A block is valid until the next
    one is asked for. Blocks are `block_width(rows)` wide wherever the matrix lies, so that sums come out alike.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, neurons)."""

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "rows width"]]]:
        """Yield (number of the first column, the columns), in order, without gap."""

    def take(self, indices: Int[np.ndarray, " chosen"]) -> Float64[np.ndarray, "rows chosen"]:
        """The columns of these numbers, in this order, in float64 and Fortran order."""


def block_width(rows: int) -> int:
    """Columns of a block: about 4 MB of float32, which a core's cache holds."""
    return max(16, (1 << 20) // max(1, rows))


def refuse_not_finite(block: Float[np.ndarray, "rows width"], first: int) -> None:
    """Raise a `ProbeError` that names the first neuron with a value that is not finite; `first` is the block's."""
    if not np.isfinite(block).all():
        column = first + int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])
        raise ProbeError(f"contributions of neuron {column} are not finite; leave out rows without a value")


class ArrayColumns:
    """A matrix in memory, float32 or float64; copied only where it is not in Fortran order.

    Raises:
        ProbeError: the matrix is empty or holds a value that is not finite.
    """

    def __init__(self, matrix: Float[np.ndarray, "rows neurons"], width: int | None = None) -> None:
        if matrix.dtype not in (np.float32, np.float64):
            matrix = matrix.astype(np.float32)
        if 0 in matrix.shape:
            raise ProbeError(f"the contributions are an empty matrix of shape {matrix.shape}; record some first")
        self._matrix = np.asfortranarray(matrix)
        self._width = block_width(len(matrix)) if width is None else width
        for start, block in self.blocks():
            refuse_not_finite(block, start)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, neurons)."""
        rows, neurons = self._matrix.shape
        return rows, neurons

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "rows width"]]]:
        """Yield (number of the first column, the columns) as views."""
        for start in range(0, self._matrix.shape[1], self._width):
            yield start, self._matrix[:, start : start + self._width]

    def take(self, indices: Int[np.ndarray, " chosen"]) -> Float64[np.ndarray, "rows chosen"]:
        """The columns of these numbers, in float64 and Fortran order."""
        return np.asarray(self._matrix.T[indices], dtype=np.float64).T


def as_columns(data: Columns | Float[np.ndarray, "rows neurons"]) -> Columns:
    """`data` itself, or an array wrapped."""
    return ArrayColumns(data) if isinstance(data, np.ndarray) else data


def correlated(
    columns: Columns, residuals: Float64[np.ndarray, "rows problems"]
) -> Iterator[tuple[int, Float64[np.ndarray, "width problems"]]]:
    """X^T residuals in float64, in one pass: for each block the number of its first column, and its products."""
    R = torch.from_numpy(np.ascontiguousarray(residuals, dtype=np.float64))
    wide = torch.empty(0, len(R), dtype=torch.float64)  # kept: blocks are freed and had again at the cost of a pass
    for start, block in columns.blocks():
        X = torch.from_numpy(np.ascontiguousarray(block.T))
        if len(wide) < len(X):
            wide = torch.empty(len(X), len(R), dtype=torch.float64)
        yield start, torch.mm(wide[: len(X)].copy_(X), R).numpy()


def deviations(columns: Columns) -> Float64[np.ndarray, " neurons"]:
    """Standard deviation of every column over its rows, in float64; 0 for a column that is constant up to rounding."""
    found = np.empty(columns.shape[1])
    for start, block in columns.blocks():
        values = block.astype(np.float64, copy=False)
        deviation = values.std(axis=0)
        rounding = np.finfo(block.dtype).eps * np.abs(values).max(axis=0)
        found[start : start + block.shape[1]] = np.where(deviation > rounding, deviation, 0.0)
    return found
