"""Batches of patches against every way to cut them."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from hneurons.layers.causality.batching import FIXED, plan


def cost(batches: list[list[int]], starts: list[int], lengths: list[int], n_layers: int) -> float:
    return sum(
        (n_layers + 1 - min(starts[n] for n in own)) * (FIXED["cpu"] + len(own) * max(lengths[n] for n in own))
        for own in batches
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_into_ranges_of_layers_costs_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    starts = random.integers(0, 7, size=24).tolist()
    lengths = [20] * 24
    batches = plan(starts, lengths, 6, 64)
    assert sorted(n for own in batches for n in own) == list(range(24))
    own = cost(batches, starts, lengths, 6)
    levels = sorted(set(starts))
    costs = []
    for count in range(len(levels)):
        for cuts in combinations(range(1, len(levels)), count):
            edges = [0, *cuts, len(levels)]
            parts = [levels[a:b] for a, b in pairwise(edges)]
            costs.append(cost([[n for n in range(24) if starts[n] in part] for part in parts], starts, lengths, 6))
    assert own == pytest.approx(min(costs))
    assert own < max(costs)


def test_batches_are_no_larger_than_asked_and_even() -> None:
    batches = plan([0] * 70, [5] * 70, 4, 64)
    assert [len(own) for own in batches] == [35, 35]
    assert max(map(len, plan([k % 3 for k in range(50)], [5] * 50, 4, 8))) <= 8
    assert plan([], [], 4, 8) == []
    deep = plan([k // 4 for k in range(16)], [200] * 16, 4, 64)
    assert [len(own) for own in deep] == [4, 4, 4, 4]  # long inputs: a batch for each layer
    short = plan([k // 4 for k in range(16)], [1] * 16, 4, 64)
    assert len(short) == 1
    gpu = plan([k // 4 for k in range(16)], [200] * 16, 4, 64, "cuda")
    assert len(gpu) < 4
