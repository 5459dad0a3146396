"""Effect sizes against plain loops, and what they are by chance."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.layers.comparison.effects import centred, cross_fitted, halves, hedges, mean_abs_d, standardised


def plain_g(first: np.ndarray, second: np.ndarray) -> float:
    """Hedges' g of two lists of numbers, written out."""
    n1, n0 = len(first), len(second)
    squares = sum((x - first.mean()) ** 2 for x in first) + sum((x - second.mean()) ** 2 for x in second)
    d = (first.mean() - second.mean()) / np.sqrt(squares / (n1 + n0 - 2))
    return float(d * (1 - 3 / (4 * (n1 + n0 - 2) - 1)))


def plain_cross_fitted(Z: np.ndarray, y: np.ndarray, first: np.ndarray, counts: np.ndarray) -> float:
    """The same with a direction in the space of dimensions, and rows that are repeated as often as they count."""
    found = []
    for own in first:
        for train, test in ((own, ~own), (~own, own)):
            rows = {
                (name, kind): np.repeat(np.flatnonzero(part & (y == kind)), counts[part & (y == kind)])
                for name, part in (("train", train), ("test", test))
                for kind in (True, False)
            }
            direction = Z[rows["train", True]].mean(axis=0) - Z[rows["train", False]].mean(axis=0)
            found.append(plain_g(Z[rows["test", True]] @ direction, Z[rows["test", False]] @ direction))
    return float(np.mean(found))


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States of 60 rows in 12 dimensions, labels, groups of up to three rows."""
    random = np.random.default_rng(3)
    y = random.random(60) < 0.45
    X = random.standard_normal((60, 12)) * np.linspace(0.1, 5, 12)
    X[y, :4] += 0.8
    return X, y, random.integers(0, 40, 60)


def test_cross_fitted_g_is_the_plain_loop(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, groups = data
    Z, first = standardised(X), halves(groups, 0)
    counts = np.random.default_rng(1).integers(0, 3, (3, 60))
    counts[0] = 1
    found = cross_fitted(Z, counts * y * 1.0, counts * ~y * 1.0, first)
    expected = [plain_cross_fitted(Z.astype(np.float64), y, first, own) for own in counts]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # judged on the answers that it was fitted on, the figure would be higher
    whole = np.ones((2, 60), dtype=bool)
    direction = Z[y].mean(axis=0) - Z[~y].mean(axis=0)
    assert plain_g(Z[y] @ direction, Z[~y] @ direction) > found[0] + 0.1
    assert np.isnan(cross_fitted(Z, counts[:1] * y * 1.0, counts[:1] * ~y * 1.0, whole)[0])  # an empty half


def test_halves_keep_groups_together_and_are_halves(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    groups = data[2]
    for own in halves(groups, 5):
        assert not set(groups[own]) & set(groups[~own])
        assert abs(len(set(groups[own])) - len(set(groups[~own]))) <= 1
    assert not np.array_equal(halves(groups, 5), halves(groups, 6))


def test_hedges_g_is_nan_without_both_kinds() -> None:
    scores, ones, none = np.arange(6.0)[None], np.ones((1, 6)), np.zeros((1, 6))
    assert np.isnan(hedges(scores, ones, none)[0])


def test_mean_abs_d_is_the_plain_loop(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, _ = data
    X = np.column_stack([X, np.full(60, 7.0)])  # a dimension that does not vary is left out
    labels = np.stack([y, np.random.default_rng(0).permutation(y)])
    expected = []
    for own in labels:
        d = []
        for column in X.T[:-1]:
            first, second = column[own], column[~own]
            freedom = len(first) + len(second) - 2
            pooled = (first.var(ddof=1) * (len(first) - 1) + second.var(ddof=1) * (len(second) - 1)) / freedom
            d.append(abs(first.mean() - second.mean()) / np.sqrt(pooled))
        expected.append(np.mean(d))
    found = mean_abs_d(standardised(X), labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert abs(found[0] * 12 / 13 - expected[0]) > 1e-3  # a mean over all thirteen would not pass


def test_moved_replicates_have_the_figure_as_their_mean() -> None:
    found = centred(1.0, np.array([0.2, np.nan, 0.6]))
    np.testing.assert_allclose(found, [0.8, np.nan, 1.2])


@pytest.mark.slow
def test_intervals_cover() -> None:
    """Of the bootstrap as it is used; those of fixed directions would not."""
    from hneurons.probes.bootstrap import Bootstrap

    values, ranges = [], []
    for seed in range(100):
        random = np.random.default_rng(seed)
        y = np.arange(160) < 80
        X = random.standard_normal((160, 32))
        X[y, :4] += 0.4
        bootstrap = Bootstrap(np.arange(160), resamples=200, seed=seed)
        counts = np.concatenate([np.ones((1, 160)), bootstrap.totals(np.eye(160))])
        g = cross_fitted(standardised(X), counts * y, counts * ~y, halves(np.arange(160), seed))
        values.append(g[0])
        interval = bootstrap.interval(float(g[0]), centred(float(g[0]), g[1:]))
        ranges.append((interval.low, interval.high))
    covered = np.mean([low <= np.mean(values) <= high for low, high in ranges])
    assert covered >= 0.9
