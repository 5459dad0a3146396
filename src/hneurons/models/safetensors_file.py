"""A safetensors file read by its header: which tensors it holds, and at which bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Shaped
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hneurons.errors import ModelError

TYPES = MappingProxyType({"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16})
"""Types in which weights are numbers by themselves, without scales that are stored apart."""

_SAME_WIDTH = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class StoredTensor:
    """Tensor `key` of `file`: `nbytes` bytes from byte `start` on, last axis fastest, little-endian."""

    file: Path
    key: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int

    @property
    def type(self) -> torch.dtype:
        """Its type.

        Raises:
            ModelError: it is not one of `TYPES`.
        """
        if self.dtype not in TYPES:
            raise ModelError(
                f"{self.key} in {self.file.name} is stored as {self.dtype}, whose values need scales that are stored "
                f"apart; get the original weights ({', '.join(TYPES)})"
            )
        return TYPES[self.dtype]

    def values(self, chosen: slice) -> Shaped[Tensor, " some"]:
        """Some of its values, counted as if it were flat; no others are read."""
        integer = _SAME_WIDTH[self.type.itemsize]
        count = math.prod(self.shape)
        if count == 0:
            return torch.empty(0, dtype=self.type)
        width = np.dtype(f"<i{integer.itemsize}")
        mapped = np.memmap(self.file, dtype=width, mode="r", offset=self.start, shape=(count,))
        return torch.from_numpy(np.array(mapped[chosen], dtype=width.newbyteorder("="))).view(self.type)

    def pieces(self, first: int, last: int, at_a_time: int) -> Iterator[Float[Tensor, "rows columns"]]:
        """Rows `first` to `last`, without the last, of a matrix, `at_a_time` of them.

        They are read into one buffer, not mapped, so that no more of the file is held: use each before the next.

        Raises:
            ModelError: its values need scales that are stored apart, or the file has been cut short.
        """
        kind, columns = self.type, self.shape[1]
        width = columns * kind.itemsize
        buffer = memoryview(bytearray(min(at_a_time, last - first) * width))
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.start + first * width)
            for row in range(first, last, at_a_time):
                piece = buffer[: min(at_a_time, last - row) * width]
                if file.readinto(piece) != len(piece):
                    raise ModelError(f"{self.file} ends within {self.key}; download it again")
                yield torch.frombuffer(piece, dtype=kind).reshape(-1, columns)


def read_tensors(file: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by name; only its header is read.

    Raises:
        ModelError: the file is damaged or cut short.
    """
    try:
        with safe_open(file, framework="pt"):  # checks the header, its offsets against shapes, and the file's length
            pass
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{file} is damaged or cut short ({error}); download it again") from error
    found = {}
    for key, entry in header.items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            shape = tuple(entry["shape"])
            found[key] = StoredTensor(file, key, entry["dtype"], shape, 8 + length + begin, end - begin)
    return found
