"""Where contributions are read from, once they are recorded: memory, or a file of columns that is made of the store.

    columns/SET/PART-DIGEST.safetensors     the vectors of one part of a set, column after column (`FileColumns`)

The store holds a chunk for every batch and layer, as the forward pass gives them. A fit reads neuron by neuron, many
times over, so a matrix above `in_memory_mb` is turned once, a layer at a time. Nothing is lost in it: in float32 the
numbers are the store's, and those of a float16 store are float16 numbers still. The digest is of the rows and of how
they were recorded, so that no file is taken for another's; a file that is deleted is made again when it is read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int

from hneurons.contributions import ContributionStore
from hneurons.errors import RunError
from hneurons.probes.columns import ArrayColumns, Columns
from hneurons.probes.columns_file import FileColumns, write_columns
from hneurons.probes.rows import as_rows
from hneurons.probes.states import Array, LayerStates, States
from hneurons.progress import track
from hneurons.study.judging import Part
from hneurons.study.run import Run

WRITTEN_AT_ONCE = 1024
"""Columns of a layer that are turned at a time."""


class Vectors:
    """Rows of a store as `Columns`, not read before they are asked for: then held, or put into a file.

    Args:
        run: the run, which says how much is held in memory.
        name: the set.
        part: which part of it.
        store: of that set.
        rows: which rows of the store, and in which order.
    """

    def __init__(self, run: Run, name: str, part: Part, store: ContributionStore, rows: Int[np.ndarray, " _"]) -> None:
        self._run, self._name, self._part, self._store, self._rows = run, name, part, store, rows
        self._columns: Columns | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, neurons)."""
        return len(self._rows), self._store.layout.n_layers * self._store.layout.n_neurons

    def blocks(self) -> Iterator[tuple[int, Float[np.ndarray, "rows width"]]]:
        """Yield (number of the first column, the columns in float32)."""
        return self._opened().blocks()

    def take(self, indices: Int[np.ndarray, " chosen"]) -> Float64[np.ndarray, "rows chosen"]:
        """The columns of these numbers, in float64 and Fortran order."""
        return self._opened().take(indices)

    @property
    def missing(self) -> int:
        """Bytes of the file that is still to be made; 0 where there is one, or none is needed."""
        if not len(self._rows) or held(self._run, self.shape) or self._file.exists():
            return 0
        rows, neurons = self.shape
        return neurons * (rows * np.dtype(self._store.layout.dtype).itemsize + 2)

    def make(self) -> None:
        """Make the file, if one is needed and missing.

        Raises:
            RunError: the disk has no room for it.
            CorruptRunError: a chunk of the store is missing or damaged.
        """
        if not self.missing:
            return
        require_room(self._run, [self])
        for stale in self._file.parent.glob(f"{self._part}-*.safetensors"):
            stale.unlink()
        layers = track(range(self._store.layout.n_layers), f"turning {self._name}/{self._part} to columns")
        write_columns(self._file, self._turned(layers), *self.shape, self._store.layout.dtype)

    @property
    def _file(self) -> Path:
        layout = self._store.layout
        of = {
            "layout": layout.model_dump(mode="json", exclude={"model"}),
            "weights": layout.model and layout.model.weights_digest,
            "rows": self._rows.tolist(),
        }
        digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
        return self._run.columns / self._name / f"{self._part}-{digest:.16}.safetensors"

    def _opened(self) -> Columns:
        if self._columns is None:
            if not len(self._rows):
                self._columns = as_rows(np.zeros(self.shape, dtype=np.float32))
            elif held(self._run, self.shape):
                self._columns = ArrayColumns(self._whole())
            else:
                self.make()
                self._columns = FileColumns.open(self._file)
        return self._columns

    def _whole(self) -> Float[np.ndarray, "rows neurons"]:
        matrix, done = np.empty(self.shape, dtype=np.float32, order="F"), 0
        for block in self._turned(range(self._store.layout.n_layers)):
            matrix[:, done : done + block.shape[1]] = block
            done += block.shape[1]
        return matrix

    def _turned(self, layers: Iterable[int]) -> Iterator[Float[np.ndarray, "rows width"]]:
        """The matrix in blocks of columns, in Fortran order; one layer is in memory."""
        layer_rows = np.empty((len(self._rows), self._store.layout.n_neurons), dtype=np.float32)
        batch = self._rows // self._store.layout.rows_per_batch
        for layer in layers:
            for own in (np.flatnonzero(batch == each) for each in np.unique(batch)):
                layer_rows[own] = self._store.layer(layer, self._rows[own])
            for first in range(0, layer_rows.shape[1], WRITTEN_AT_ONCE):
                part = torch.from_numpy(layer_rows[:, first : first + WRITTEN_AT_ONCE])
                yield part.T.contiguous().numpy().T  # torch turns a matrix ten times as fast as numpy


def held(run: Run, shape: tuple[int, ...]) -> bool:
    """Whether an array of float32 of that shape is held in memory."""
    return 4 * float(np.prod(shape, dtype=np.float64)) <= 1e6 * run.config.in_memory_mb


def stored_states(run: Run, store: ContributionStore, rows: Int[np.ndarray, " rows"]) -> Array | States:
    """Hidden states of rows of a store, all in memory or read a layer at a time."""
    layout = store.layout
    assert layout.hidden_size is not None
    shape = (len(rows), layout.n_layers, layout.hidden_size)
    if not held(run, shape):
        return LayerStates(shape, lambda layer: store.hidden(layer, rows))
    return np.stack([store.hidden(layer, rows) for layer in range(layout.n_layers)], axis=1)


def require_room(run: Run, vectors: Sequence[Vectors]) -> None:
    """Refuse to begin files for which the disk has no room.

    Raises:
        RunError: how much they take, and how much there is.
    """
    needed, free = sum(each.missing for each in vectors), shutil.disk_usage(run.path).free
    if needed > free:
        raise RunError(
            f"{run.columns} would take {needed} bytes ({needed / 1e9:.1f} GB) and the disk has {free / 1e9:.1f} GB "
            "free; make room, or raise in_memory_mb if there is memory for it"
        )
