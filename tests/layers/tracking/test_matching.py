"""Pairs, and what is said of them, against scipy and hand-made samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test

from hneurons.layers.tracking.matching import Pairs, match, paired_gaps


def test_pairs_are_of_one_kind_nearest_in_length_and_nobody_twice() -> None:
    random = np.random.default_rng(0)
    keys = [f"k{i}" for i in range(120)]
    kinds = random.choice(["a", "b", "c"], size=120).tolist()
    lengths = random.integers(8, 30, size=120).tolist()
    hallucinated = random.random(120) < 0.4
    pairs = match(keys, kinds, lengths, hallucinated)
    assert len(set(pairs.hallucinated.tolist())) == len(set(pairs.faithful.tolist())) == len(pairs)
    assert hallucinated[pairs.hallucinated].all()
    assert not hallucinated[pairs.faithful].any()
    assert all(kinds[i] == kinds[j] for i, j in zip(pairs.hallucinated, pairs.faithful, strict=True))
    apart = [abs(lengths[i] - lengths[j]) for i, j in zip(pairs.hallucinated, pairs.faithful, strict=True)]
    first = pairs.hallucinated[0]
    assert apart[0] == min(
        abs(lengths[j] - lengths[first]) for j in range(120) if kinds[j] == kinds[first] and not hallucinated[j]
    )
    assert np.mean(apart) < np.mean(np.abs(np.subtract.outer(lengths, lengths)))
    assert len(match(["a", "b"], ["x", "y"], [1, 1], np.array([True, False]))) == 0


def test_gaps_of_pairs_and_their_p() -> None:
    random = np.random.default_rng(0)
    n = 30
    values = np.column_stack([random.normal(size=2 * n), random.normal(size=2 * n)])
    values[:n, 0] -= 1.2
    pairs = Pairs(np.arange(n), np.arange(n, 2 * n))
    groups = [f"g{i}" for i in range(2 * n)]
    estimates, p = paired_gaps(values, pairs, groups, resamples=2000, permutations=4000, seed=0)
    assert p is not None
    for column in range(2):
        left, right = values[:n, column], values[n:, column]
        assert estimates[column].value == pytest.approx((left - right).mean())
        reference = permutation_test(
            (left, right), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=4000,
            vectorized=True, rng=np.random.default_rng(1),
        )  # fmt: skip
        assert p[column] == pytest.approx(reference.pvalue, abs=0.03)
        spread = (left - right).std(ddof=1) / np.sqrt(n)
        low, high = estimates[column].low, estimates[column].high
        assert low is not None
        assert high is not None
        assert (high - low) == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert p[0] < 0.05 < p[1]  # flips of one sign only would halve both
    few, none = paired_gaps(
        values, Pairs(np.arange(3), np.arange(n, n + 3)), groups, resamples=10, permutations=10, seed=0
    )
    assert none is None
    assert few[0].value is None


def test_pairs_of_one_question_are_resampled_together() -> None:
    values = np.concatenate([np.repeat([1.0, 0.0, 2.0, -1.0], 10), np.zeros(40)])[:, None]
    pairs = Pairs(np.arange(40), np.arange(40, 80))
    wide, _ = paired_gaps(values, pairs, [str(i // 10) for i in range(80)], resamples=500, permutations=10, seed=0)
    narrow, _ = paired_gaps(values, pairs, [str(i) for i in range(80)], resamples=500, permutations=10, seed=0)
    assert _width(wide[0]) > 2 * _width(narrow[0])


def _width(estimate: object) -> float:
    return float(estimate.high - estimate.low)  # type: ignore[attr-defined]
