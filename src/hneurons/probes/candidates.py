"""The columns that are held in memory while a path is fitted: those that may matter, as many as memory allows."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

from hneurons.probes.columns import Columns

TAKE_AT_ONCE = 1024


class Candidates:
    """A table of columns in float32, scaled as the penalty acts on them, that grows up to a number and then replaces.

    Args:
        columns: where columns are taken from.
        capacity: how many are held. Where more are in use at once, more are held: a solution must fit into memory.
        scaling: factor of every column, where columns are scaled.
    """

    def __init__(self, columns: Columns, capacity: int, scaling: Float64[np.ndarray, " neurons"] | None) -> None:
        self._columns, self._scaling = columns, scaling
        self.capacity = min(capacity, columns.shape[1])
        self._table = torch.empty(self.capacity, columns.shape[0])
        self._neurons = np.empty(0, dtype=np.int64)
        self._order = np.empty(0, dtype=np.int64)
        self._pulls = np.empty(0, dtype=np.float32)  # the hardest of each when pulls were last taken

    @property
    def neurons(self) -> Int[np.ndarray, " held"]:
        """Numbers of the columns that are held, ascending."""
        return self._neurons[self._order]

    @property
    def complete(self) -> bool:
        """Whether every column is held."""
        return len(self._neurons) == self._columns.shape[1]

    def add(self, wanted: Int[np.ndarray, " wanted"], in_use: Int[np.ndarray, " used"]) -> None:
        """Hold `wanted` too, most wanted first; where there is no room, in place of columns that are not in use."""
        new = wanted[np.sort(np.unique(wanted, return_index=True)[1])]
        new = new[~np.isin(new, self._neurons)]
        held = len(self._neurons)
        free = np.flatnonzero(~np.isin(self._neurons, in_use))
        free = free[np.argsort(self._pulls[free], kind="stable")]
        new = new[: max(self.capacity - held + len(free), TAKE_AT_ONCE)]
        grown = max(0, min(len(new), self.capacity - held), len(new) - len(free))
        places = np.concatenate([np.arange(held, held + grown), free[: len(new) - grown]])
        if held + grown > len(self._table):
            more = torch.empty(held + grown - len(self._table), self._table.shape[1])
            self._table = torch.cat([self._table, more])
        for first in range(0, len(new), TAKE_AT_ONCE):
            part = new[first : first + TAKE_AT_ONCE]
            taken = self._columns.take(part).T
            if self._scaling is not None:
                taken = taken * self._scaling[part, None]
            self._table[torch.from_numpy(places[first : first + TAKE_AT_ONCE])] = torch.from_numpy(taken).float()
        self._neurons = np.concatenate([self._neurons, np.full(grown, -1)])
        self._neurons[places] = new
        self._order = np.argsort(self._neurons)
        self._pulls = np.concatenate([self._pulls, np.zeros(grown, dtype=np.float32)])

    def places(self, neurons: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """Where columns lie in the table; they must be held."""
        found: Int[np.ndarray, " some"] = self._order[np.searchsorted(self._neurons, neurons, sorter=self._order)]
        return found

    def take(self, neurons: Int[np.ndarray, " some"]) -> Float32[np.ndarray, "some rows"]:
        """Columns that are held, one a row."""
        found: Float32[np.ndarray, "some rows"] = self._table[torch.from_numpy(self.places(neurons))].numpy()
        return found

    def products(self, residuals: Float64[np.ndarray, "rows fits"]) -> Float32[np.ndarray, "fits held"]:
        """sum_i r_i x_ij of the columns that are held, in the order of the table."""
        R = torch.from_numpy(np.ascontiguousarray(residuals.T, dtype=np.float32))
        found: Float32[np.ndarray, "fits held"] = torch.mm(R, self._table[: len(self._neurons)].T).numpy()
        self._pulls = np.abs(found).max(axis=0)
        return found

    def numbers(self, places: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """The neurons at some places of the table."""
        found: Int[np.ndarray, " some"] = self._neurons[places]
        return found
