"""Shares, intervals and tests against computations by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hneurons.layers.causality.effects import (
    band,
    between,
    change,
    corrected,
    effects,
    permuted,
    unchanged,
)
from hneurons.probes.bootstrap import Bootstrap

GROUPS = np.array(["a", "a", "b", "c", "d", "e", "f", "f"])


def test_shares_are_ratios_of_means() -> None:
    total, indirect, direct = np.array([1.0, 9.0]), np.array([1.0, 0.0]), np.array([0.5, 4.5])
    found = effects(Bootstrap(np.array(["a", "b"]), resamples=50), total, indirect, direct)
    assert found.nie.value == 0.5
    assert found.nie_share.value == pytest.approx(0.1)  # the mean of the ratios would be 0.5
    assert found.nde_share.value == pytest.approx(0.5)
    assert found.interaction.value == pytest.approx(np.mean(total - indirect - direct))
    assert found.interaction_share.value == pytest.approx(0.4)
    nothing = effects(Bootstrap(np.array(["a", "b"]), resamples=50), np.zeros(2), np.full(2, np.nan), direct)
    assert nothing.nie.reason == "there is no such answer"
    assert nothing.nie_share.reason == "the total effect is zero"


def readings(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    found = np.stack([random.normal(size=8), random.normal(size=8), random.integers(0, 2, 8).astype(float)], axis=1)
    found[1::2, 1] = np.nan
    return found


def test_changes_are_ablated_minus_intact() -> None:
    intact, ablated, rows = readings(0), readings(1), np.array([True] * 5 + [False] * 3)
    bootstrap = Bootstrap(GROUPS, resamples=20)
    found = change(bootstrap, intact, ablated, rows)
    assert found.logprob.value == pytest.approx((ablated[:5, 0] - intact[:5, 0]).mean())
    assert found.margin is not None
    assert found.margin.value == pytest.approx((ablated[[0, 2, 4], 1] - intact[[0, 2, 4], 1]).mean())
    assert found.first.value == pytest.approx((ablated[:5, 2] - intact[:5, 2]).mean())
    assert found.rate.value == pytest.approx(ablated[:5, 2].mean())
    faithful = np.zeros(8, dtype=bool)
    faithful[1::2] = True
    assert change(bootstrap, intact, ablated, faithful).margin is None
    before = unchanged(bootstrap, intact, rows)
    assert before.n == 5
    assert before.logprob.value == pytest.approx(intact[:5, 0].mean())
    assert unchanged(bootstrap, intact, faithful).margin is None


def test_the_difference_is_hallucinated_less_faithful() -> None:
    values, hallucinated = np.arange(8.0) ** 2, np.arange(8) >= 5
    found = between(Bootstrap(GROUPS, resamples=200), values, hallucinated)
    assert found.value == pytest.approx(values[5:].mean() - values[:5].mean())
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert between(Bootstrap(GROUPS, resamples=20), values, np.ones(8, dtype=bool)).reason == "answers of one kind only"


def test_p_values_are_those_of_scipy() -> None:
    random = np.random.default_rng(3)
    n = 60
    hallucinated, sets = np.arange(n) % 2 == 0, np.array(["one"] * n)
    groups = np.array([f"g{i}" for i in range(n)])
    values = random.normal(size=(n, 3)) + np.outer(hallucinated, [0.0, 0.45, 3.0])
    found = permuted(values, hallucinated, sets, groups, permutations=2000, seed=0)
    for column in range(3):
        expected = stats.permutation_test(
            (values[hallucinated, column], values[~hallucinated, column]),
            lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
            vectorized=True,
            n_resamples=4000,
            random_state=1,
        ).pvalue
        assert found[column] == pytest.approx(expected, abs=0.04)
    assert found[2] == pytest.approx(1 / 2001)


def test_what_lies_between_sets_is_not_taken_for_a_difference_of_kinds() -> None:
    random = np.random.default_rng(3)
    sets = np.repeat(["one", "two"], 40)
    hallucinated = np.concatenate([np.arange(40) < 30, np.arange(40) < 10])  # most of the first set
    values = 5.0 * (sets == "one")[:, None] + random.normal(size=(80, 40))  # the sets differ, the kinds do not
    groups = np.array([f"g{i}" for i in range(80)])
    within = permuted(values, hallucinated, sets, groups, permutations=200, seed=0)
    across = permuted(values, hallucinated, np.array(["all"] * 80), groups, permutations=200, seed=0)
    assert across.max() < 0.05
    assert 0.4 < within.mean() < 0.6


def test_corrections_and_bands() -> None:
    p = [0.001, 0.02, 0.03, 0.5]
    np.testing.assert_allclose(corrected(p), [0.004, 0.04, 0.04, 0.5])
    assert corrected([]) == []
    found = band([1.0, None, 3.0])
    assert (found.mean, found.values) == (2.0, (1.0, 3.0))
    assert band([]).reason


def test_what_lies_between_sets_does_not_hide_a_difference_of_kinds() -> None:
    random = np.random.default_rng(3)
    sets = np.repeat(["one", "two"], 40)
    hallucinated = np.concatenate([np.arange(40) < 30, np.arange(40) < 10])
    values = (
        5.0 * (sets == "one") - 1.5 * hallucinated + random.normal(size=80)
    )  # over all, hallucinated ones lie above
    assert values[hallucinated].mean() > values[~hallucinated].mean()
    groups = np.array([f"g{i}" for i in range(80)])
    assert permuted(values[:, None], hallucinated, sets, groups, permutations=200, seed=0)[0] < 0.01
