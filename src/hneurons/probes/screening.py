"""One pass over all neurons for many fits at once, and what it leaves: the columns that pull hardest, a bounded number.

The pull of neuron j on a fit is |C sum_i r_i x_ij| with residuals r_i = sigmoid(w.x_i + b) - y_i: a neuron of weight
zero may stay at zero where its pull is at most 1. Columns are read block after block, the residuals of all fits form
one matrix, and a block's pulls are one matrix product. Of these nothing is kept but the strongest, so that memory does
not depend on the number of neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int

from hneurons.probes.columns import Columns


@dataclass(frozen=True)
class Strongest:
    """What a pass found, by fit.

    `indices[k]` are the neurons that pull hardest on fit k among those above the threshold and not excluded, at most as
    many as were asked for, hardest first; `pulls[k]` belongs to them. `above[k]` counts all that are above the
    threshold, `largest[k]` is the hardest pull of any neuron that is not excluded.
    """

    indices: tuple[Int[np.ndarray, " _"], ...]
    pulls: tuple[Float32[np.ndarray, " _"], ...]
    above: Int[np.ndarray, " fits"]
    largest: Float64[np.ndarray, " fits"]


def strongest(
    columns: Columns,
    residuals: Float64[np.ndarray, "rows fits"],
    *,
    most: int,
    threshold: float,
    excluded: Int[np.ndarray, " excluded"] | None = None,
    scaling: Float64[np.ndarray, " neurons"] | None = None,
) -> Strongest:
    """Read all columns once and keep, for every fit, the `most` that pull hardest, in float32.

    Args:
        columns: the data.
        residuals: of every fit, times its C.
        most: how many to keep of each fit.
        threshold: only pulls above it count.
        excluded: neurons that are left out, ascending: those that were looked at elsewhere.
        scaling: factor of every column (1 / deviation), where columns are scaled.
    """
    R = torch.from_numpy(np.ascontiguousarray(residuals, dtype=np.float32))
    heap = _Heap(R.shape[1], most, threshold)
    above, largest = torch.zeros(R.shape[1], dtype=torch.int64), torch.zeros(R.shape[1])
    out = np.empty(0, dtype=np.int64) if excluded is None else excluded
    for start, block in columns.blocks():
        X = torch.from_numpy(np.ascontiguousarray(block.T, dtype=np.float32))
        pulls = torch.mm(X, R).abs_()
        stop = start + len(X)
        if scaling is not None:
            pulls *= torch.from_numpy(scaling[start:stop, None].astype(np.float32))
        first, last = np.searchsorted(out, (start, stop))
        pulls[torch.from_numpy(out[first:last] - start)] = 0.0
        torch.maximum(largest, pulls.amax(dim=0), out=largest)
        above += (pulls > threshold).sum(dim=0)
        heap.offer(start, pulls)
    indices, kept = heap.sorted()
    return Strongest(indices, kept, above.numpy(), largest.double().numpy())


class _Heap:
    """The largest values of each column of a long matrix that comes block by block."""

    def __init__(self, fits: int, most: int, threshold: float) -> None:
        self._most = most
        self._bounds = torch.full((fits,), threshold)  # what a value must exceed to be among the largest
        self._parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._held = 0

    def offer(self, start: int, values: Float[torch.Tensor, "width fits"]) -> None:
        places = (values > self._bounds).nonzero()
        if not len(places):
            return
        rows, fits = places[:, 0], places[:, 1]
        self._parts.append((fits, rows + start, values[rows, fits]))
        self._held += len(rows)
        if self._held > 4 * self._most * len(self._bounds):
            self._prune()

    def _prune(self) -> None:
        fits, neurons, values = (torch.cat(part) for part in zip(*self._parts, strict=True))
        order = torch.argsort(values, descending=True, stable=True)
        order = order[torch.argsort(fits[order], stable=True)]
        fits, neurons, values = fits[order], neurons[order], values[order]
        counts = torch.bincount(fits, minlength=len(self._bounds))
        starts = counts.cumsum(0) - counts
        rank = torch.arange(len(fits)) - starts[fits]
        full = counts >= self._most
        self._bounds[full] = torch.maximum(self._bounds[full], values[starts[full] + self._most - 1])
        kept = rank < self._most
        self._parts = [(fits[kept], neurons[kept], values[kept])]
        self._held = int(kept.sum())

    def sorted(self) -> tuple[tuple[Int[np.ndarray, " _"], ...], tuple[Float32[np.ndarray, " _"], ...]]:
        """Neurons and values of each fit, largest value first."""
        if not self._parts:
            nothing = tuple(np.empty(0) for _ in self._bounds)
            return tuple(each.astype(np.int64) for each in nothing), tuple(each.astype(np.float32) for each in nothing)
        self._prune()
        fits, neurons, values = (part.numpy() for part in self._parts[0])
        ends = np.cumsum(np.bincount(fits, minlength=len(self._bounds)))[:-1]
        return tuple(np.split(neurons, ends)), tuple(np.split(values, ends))
