"""Means, ratios and their differences over resampled groups, against loops over the same draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hneurons.probes.bootstrap import Bootstrap, Estimate

N, RESAMPLES, SEED = 40, 300, 5
RANDOM = np.random.default_rng(3)
GROUPS = np.array([f"g{each}" for each in RANDOM.integers(0, 12, N)])
OVER, UNDER = RANDOM.normal(2.0, 1.0, N), RANDOM.uniform(0.5, 3.0, N)
ROWS = RANDOM.random(N) < 0.6


@pytest.fixture(scope="module")
def bootstrap() -> Bootstrap:
    return Bootstrap(GROUPS, resamples=RESAMPLES, seed=SEED)


def drawn(groups: np.ndarray = GROUPS) -> list[list[int]]:
    """The rows of every resample, each as often as its group was drawn."""
    names = sorted(set(groups))
    shares = np.full(len(names), 1 / len(names))
    counts = np.random.default_rng(SEED).multinomial(len(names), shares, size=RESAMPLES)
    return [
        [
            row
            for name, times in zip(names, own, strict=True)
            for row in np.flatnonzero(groups == name)
            for _ in range(times)
        ]
        for own in counts
    ]


def by_loop(figure: Callable[[list[int]], float], groups: np.ndarray = GROUPS) -> tuple[float, float, float]:
    replicates = [figure(rows) for rows in drawn(groups)]
    low, high = np.percentile([each for each in replicates if not np.isnan(each)], [2.5, 97.5])
    return figure(list(range(N))), low, high


def mean_of(rows: list[int], values: np.ndarray, kept: np.ndarray) -> float:
    own = [float(values[row]) for row in rows if kept[row]]
    return sum(own) / len(own) if own else np.nan


def told(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, estimate.low, estimate.high


def test_a_mean_is_that_of_its_rows(bootstrap: Bootstrap) -> None:
    every = np.ones(N, dtype=bool)
    assert told(bootstrap.mean(OVER)) == pytest.approx(by_loop(lambda rows: mean_of(rows, OVER, every)), abs=1e-12)
    found = told(bootstrap.mean(OVER, ROWS))
    assert found == pytest.approx(by_loop(lambda rows: mean_of(rows, OVER, ROWS)), abs=1e-12)
    assert found != pytest.approx(told(bootstrap.mean(OVER)), abs=1e-3)
    alone = np.array([f"{row:03}" for row in range(N)])
    assert found != pytest.approx(by_loop(lambda rows: mean_of(rows, OVER, ROWS), alone), abs=1e-3)  # not by row
    hidden = np.where(ROWS, OVER, np.nan)  # what is not kept may be anything
    assert told(bootstrap.mean(hidden, ROWS)) == found
    assert bootstrap.mean(hidden).value is None
    assert bootstrap.mean(OVER, ~every, "there is none").reason == "there is none"


def test_a_ratio_is_one_of_sums(bootstrap: Bootstrap) -> None:
    def ratio(rows: list[int]) -> float:
        return sum(OVER[row] for row in rows if ROWS[row]) / sum(UNDER[row] for row in rows if ROWS[row])

    found = told(bootstrap.ratio(OVER, UNDER, ROWS))
    assert found == pytest.approx(by_loop(ratio), abs=1e-12)
    assert found[0] != pytest.approx((OVER / UNDER)[ROWS].mean(), abs=1e-3)  # no mean of ratios
    nothing = bootstrap.ratio(OVER, np.zeros(N), undefined="nothing below")
    assert (nothing.value, nothing.reason) == (None, "nothing below")


def test_columns_are_taken_one_by_one(bootstrap: Bootstrap) -> None:
    values = np.stack([OVER, UNDER, OVER * UNDER], axis=1)
    kept = np.stack([ROWS, ~ROWS, ROWS | (OVER > 2)], axis=1)
    for column, found in enumerate(bootstrap.means(np.where(kept, values, np.nan), kept)):
        alone = bootstrap.mean(values[:, column], kept[:, column])
        assert told(found) == pytest.approx(told(alone), abs=1e-12)
        assert told(found) != pytest.approx(told(bootstrap.mean(values[:, column], kept[:, column - 1])), abs=1e-3)
    shared = bootstrap.ratios(values, UNDER[:, None])
    for column, found in enumerate(shared):
        assert told(found) == pytest.approx(told(bootstrap.ratio(values[:, column], UNDER)), abs=1e-12)


def test_a_gap_is_one_mean_less_the_other(bootstrap: Bootstrap) -> None:
    rows, others = ROWS & (OVER < 3), ~ROWS & (OVER > 0.5)
    found = told(bootstrap.gap(np.where(rows | others, OVER, np.nan), rows, others))
    expected = by_loop(lambda chosen: mean_of(chosen, OVER, rows) - mean_of(chosen, OVER, others))
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[0] == -told(bootstrap.gap(OVER, others, rows))[0]
    one_kind = bootstrap.gap(OVER, ROWS, np.zeros(N, dtype=bool), "one kind only")
    assert (one_kind.value, one_kind.reason) == (None, "one kind only")


def test_resamples_without_such_a_row_are_left_out() -> None:
    """With one of 12 groups, a third of the resamples have none; with two rows of one, the mean is theirs."""
    one = GROUPS[0] == GROUPS
    found = told(Bootstrap(GROUPS, resamples=RESAMPLES, seed=SEED).mean(OVER, one))
    assert found == pytest.approx((OVER[one].mean(),) * 3)
    everywhere = by_loop(lambda rows: mean_of(rows, OVER, one))
    assert found == pytest.approx(everywhere)
