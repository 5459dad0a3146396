"""Which patches share a forward pass, where the layers below the lowest one of a pass are left out."""

from __future__ import annotations

from collections.abc import Sequence

FIXED = {"cpu": 48}
"""Tokens that cost as much as a layer does before it sees any: memory that its weights are read from, and overhead."""
ELSEWHERE = 2048
"""The same on a GPU, which is idle in small batches."""


def plan(
    starts: Sequence[int], lengths: Sequence[int], n_layers: int, batch_rows: int, device: str = "cpu"
) -> list[list[int]]:
    """Batches of patches, by number, lowest layers first.

    A batch of rows from layer s on costs (n_layers - s) * (fixed + rows * tokens). The cut of the ordered patches into
    ranges of starting layers that costs least in all is found by dynamic programming.

    Args:
        starts: layers below which each patch changes nothing.
        lengths: tokens of each.
        n_layers: of the model.
        batch_rows: rows of a batch, at most.
        device: type of the device.
    """
    fixed = FIXED.get(device, ELSEWHERE)
    groups = [[n for n in range(len(starts)) if starts[n] == start] for start in sorted(set(starts))]
    widths = [max(lengths[n] for n in own) for own in groups]
    best: list[tuple[float, int]] = [(0.0, 0)]  # what the first k groups cost, and where their last range begins
    for end in range(1, len(groups) + 1):
        options = []
        for first in range(end):
            rows = sum(map(len, groups[first:end]))
            passes = -(-rows // batch_rows)
            tokens = rows * max(widths[first:end])
            layers = n_layers - starts[groups[first][0]] + 1  # and what follows the last one
            options.append((best[first][0] + layers * (passes * fixed + tokens), first))
        best.append(min(options))
    ranges, end = [], len(groups)
    while end:
        first = best[end][1]
        ranges.append([n for own in groups[first:end] for n in own])
        end = first
    batches = []
    for own in reversed(ranges):
        passes = -(-len(own) // batch_rows)
        size = -(-len(own) // passes)
        ordered = sorted(own, key=lambda n: (starts[n], lengths[n]))
        batches += [ordered[place : place + size] for place in range(0, len(ordered), size)]
    return batches
