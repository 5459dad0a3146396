"""A matrix of rows by neurons in one file, column after column: what the path reads when it does not fit in memory.

The file is a safetensors file of two tensors: `columns` (neurons, rows), float32 or float16, so that the rows of a
neuron lie side by side, and `exponents` (neurons), by which columns were scaled before they were stored:

    stored = x / 2^exponent

In float32 every exponent is 0 and nothing is lost. In float16 the exponent brings a column's largest value just below
2^15. Contributions lie around 1e-3, and below 6e-5 plain half precision thins out to steps of 6e-8; scaled, each
value keeps 11 bits (a relative error of at most 2^-11) down to 2^-28 of its column's largest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int

from hneurons.errors import CorruptRunError, ProbeError
from hneurons.files import atomic_path
from hneurons.probes.columns import block_width, refuse_not_finite

Stored = Literal["float32", "float16"]

READ_AT_ONCE = 1 << 25
"""Bytes of the file that are read at a time."""

_TYPES = {"float32": "F32", "float16": "F16"}
_LARGEST = 15  # the largest stored value of a float16 column lies in [2^14, 2^15)


class FileColumns:
    """A matrix (rows, neurons) that lies in a file of `write_columns`; implements `Columns`.

    Takes about 100 MB of memory, whatever the number of neurons. The blocks it yields are views of one buffer that the
    next block overwrites.
    """

    def __init__(self, path: Path, rows: int, neurons: int, stored: Stored, start: int) -> None:
        self.path = path
        self.stored = stored
        self._rows, self._neurons, self._start = rows, neurons, start
        self._item = 4 if stored == "float32" else 2
        with path.open("rb") as file:
            file.seek(start + self._item * rows * neurons)
            self._scales = np.ldexp(np.float32(1), np.frombuffer(file.read(2 * neurons), dtype="<i2").astype(np.int32))

    @classmethod
    def open(cls, path: Path) -> FileColumns:
        """Open a file of `write_columns`; nothing but its header and exponents is read.

        Raises:
            CorruptRunError: it is missing, damaged, or another file.
        """
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > 1 << 20:
                    raise ValueError("its header is too long")
                header = json.loads(file.read(length))
            described = header["columns"]
            neurons, rows = described["shape"]
            stored: Stored = "float32" if described["dtype"] == "F32" else "float16"
            if described["dtype"] != _TYPES[stored] or header["exponents"]["shape"] != [neurons]:
                raise ValueError("it holds other tensors")
            size = 8 + length + neurons * (rows * (4 if stored == "float32" else 2) + 2)
            if path.stat().st_size != size:
                raise ValueError(f"it has {path.stat().st_size} bytes and should have {size}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptRunError(f"{path} is no matrix of columns ({error}); have it made again") from None
        return cls(path, rows, neurons, stored, 8 + length)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, neurons)."""
        return self._rows, self._neurons

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "rows width"]]]:
        """Yield (number of the first column, the columns in float32), read ahead by one thread.

        A block is valid until the next one is asked for.
        """
        width = block_width(self._rows)
        at_once = width * max(1, READ_AT_ONCE // (width * self._rows * self._item))
        buffers = [np.empty((at_once, self._rows), dtype=self._numpy) for _ in range(2)]
        values = np.empty((width, self._rows), dtype=np.float32)
        starts = range(0, self._neurons, at_once)
        with self.path.open("rb", buffering=0) as file, ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._fill, file, buffers[0], 0)
            for turn, start in enumerate(starts):
                read = ahead.result()
                if start + at_once < self._neurons:
                    ahead = reader.submit(self._fill, file, buffers[(turn + 1) % 2], start + at_once)
                for first in range(0, len(read), width):
                    part = read[first : first + width]
                    yield start + first, self._widened(part, start + first, values[: len(part)]).T

    def take(self, indices: Int[np.ndarray, " chosen"]) -> Float64[np.ndarray, "rows chosen"]:
        """The columns of these numbers, in float64 and Fortran order; neighbours are read together."""
        taken = np.empty((len(indices), self._rows))
        order = np.argsort(indices, kind="stable")
        ascending = np.asarray(indices)[order]
        ends = [*(np.flatnonzero(np.diff(ascending) != 1) + 1), len(ascending)] if len(ascending) else []
        with self.path.open("rb", buffering=0) as file:
            for first, last in zip([0, *ends], ends, strict=False):
                buffer = np.empty((last - first, self._rows), dtype=self._numpy)
                self._fill(file, buffer, int(ascending[first]))
                taken[order[first:last]] = buffer
        taken *= self._scales[indices, None]
        return taken.T

    @property
    def _numpy(self) -> Any:
        return np.dtype("<f4" if self.stored == "float32" else "<f2")

    def _fill(self, file: Any, buffer: np.ndarray, first: int) -> np.ndarray:
        """Read columns from number `first` on into `buffer`: as many as it holds, or as there are."""
        part = buffer[: min(len(buffer), self._neurons - first)]
        view, offset = part.data.cast("B"), self._start + first * self._rows * self._item
        while len(view):
            n = os.preadv(file.fileno(), [view], offset)
            if n == 0:
                raise CorruptRunError(f"{self.path} ends early; have it made again")
            view, offset = view[n:], offset + n
        return part

    def _widened(self, part: np.ndarray, first: int, values: np.ndarray) -> np.ndarray:
        if self.stored == "float32":
            return part
        wide = torch.from_numpy(values)  # torch converts halves several times faster than numpy
        wide.copy_(torch.from_numpy(part))
        wide *= torch.from_numpy(self._scales[first : first + len(part), None])
        return values


def write_columns(
    path: Path, blocks: Iterable[Float[np.ndarray, "rows width"]], rows: int, neurons: int, stored: Stored = "float32"
) -> FileColumns:
    """Write a matrix whole or not at all, from blocks of its columns in order; one block is held at a time.

    Args:
        path: the file; one that is there is replaced.
        blocks: columns, as many at a time as the caller likes (a layer, say).
        rows, neurons: shape of the whole.
        stored: "float16" halves the file and the time of a pass.

    Raises:
        ProbeError: the blocks do not add up to that shape, or a value is not finite.
    """
    if rows < 1 or neurons < 1:
        raise ProbeError(f"the contributions are an empty matrix of shape {(rows, neurons)}; record some first")
    item, kind = (4, "<f4") if stored == "float32" else (2, "<f2")
    size = item * rows * neurons
    header = json.dumps(
        {
            "columns": {"dtype": _TYPES[stored], "shape": [neurons, rows], "data_offsets": [0, size]},
            "exponents": {"dtype": "I16", "shape": [neurons], "data_offsets": [size, size + 2 * neurons]},
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    exponents = np.zeros(neurons, dtype="<i2")
    done = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for block in blocks:
            if block.shape[0] != rows or done + block.shape[1] > neurons:
                raise ProbeError(f"columns {done} on have shape {block.shape} in a matrix of {(rows, neurons)}")
            refuse_not_finite(block, done)
            columns = np.ascontiguousarray(block.T, dtype=np.float32)
            if stored == "float16":
                largest = np.abs(columns).max(axis=1)
                exponent = np.where(largest > 0, np.frexp(largest)[1] - _LARGEST, 0)
                exponents[done : done + len(columns)] = exponent
                columns = np.ldexp(columns, -exponent[:, None])
            file.write(np.ascontiguousarray(columns, dtype=kind).data)
            done += len(columns)
        if done != neurons:
            raise ProbeError(f"there are {done} columns for a matrix of {(rows, neurons)}")
        file.write(exponents.data)
        file.flush()
    return FileColumns.open(path)
