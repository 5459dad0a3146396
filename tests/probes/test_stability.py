"""Stability over resamples, C and seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from hneurons.errors import ProbeError
from hneurons.probes.labels import training_rows
from hneurons.probes.path import c_grid, fit_path
from hneurons.probes.rows import dense
from hneurons.probes.stability import jaccard, jaccard_matrix, mean_jaccard, resample, resampled_selection, wilson


@pytest.fixture(scope="module")
def training(world):
    rows = training_rows("1-vs-1", world.answers.hallucinated, world.answers.groups)
    return dense(rows.matrix(world.answers.contributions)), rows.y, rows.groups


@pytest.mark.parametrize("resampling", ["half", "bootstrap"])
def test_counts_equal_separate_fits(training, resampling):
    X, y, groups = training
    Cs = c_grid(X, y, 3, 8.0)
    found = resampled_selection(X, y, groups, Cs, resampling=resampling, resamples=6, seed=3)
    random = np.random.default_rng(3)
    drawn = [resample(groups, resampling, random) for _ in range(6)]
    size = np.mean([len(rows) for rows in drawn])
    counts = np.zeros((3, X.shape[1]), dtype=int)
    for rows in drawn:
        alone = fit_path(X[rows], y[rows], [C * len(y) / size for C in Cs], tol=1e-3).solutions
        for k, solution in enumerate(alone):
            counts[k, solution.positive] += 1
    every = np.zeros_like(counts)
    every[:, found.selected] = found.counts
    assert (found.counts.max(axis=0) > 0).all()
    assert (every != counts).mean() < 0.005  # both are exact to a tolerance
    assert found.sizes[-1] == pytest.approx(counts[-1].sum() / 6, rel=0.1)
    assert found.fitted.tolist() == [6, 6, 6]


def test_planted_neurons_are_selected_most_often(world, training):
    X, y, groups = training
    found = resampled_selection(X, y, groups, c_grid(X, y, 3, 6.0), resamples=20)
    frequencies = found.frequencies(2, world.n_neurons)
    assert [f.share for f in frequencies] == sorted((f.share for f in frequencies), reverse=True)
    top = [f.neuron[0] * world.n_neurons + f.neuron[1] for f in frequencies[:4]]
    assert np.isin(top, world.planted).all()
    assert frequencies[0].share > 0.8
    assert len(found.frequencies(2, world.n_neurons, at_least=20)) < len(frequencies)
    noise = resampled_selection(X, np.random.default_rng(0).permutation(y), groups, c_grid(X, y, 3, 6.0), resamples=20)
    assert noise.jaccard[2] < found.jaccard[2]


def test_a_resample_takes_whole_groups():
    groups = np.array(["a", "a", "b", "c", "c", "c", "d", "e"])
    for seed in range(20):
        half = resample(groups, "half", np.random.default_rng(seed))
        assert len(set(groups[half])) == 2
        assert len(half) == sum((groups == g).sum() for g in set(groups[half])) == len(set(half.tolist()))
        boot = resample(groups, "bootstrap", np.random.default_rng(seed))
        times = [np.sum(groups[boot] == g) / np.sum(groups == g) for g in "abcde"]
        assert sum(times) == 5
        assert all(t == int(t) for t in times)
    with pytest.raises(ProbeError, match="one group"):
        resample(np.array(["a", "a"]), "half", np.random.default_rng(0))


def test_overlap_of_sets():
    assert jaccard([1, 2, 3], [2, 3, 4]) == 0.5
    assert np.isnan(jaccard([], []))
    sets = [[1, 2, 3], [2, 3, 4], [], [9]]
    matrix = jaccard_matrix([np.array(s, dtype=int) for s in sets])
    for i, a in enumerate(sets):
        for j, b in enumerate(sets):
            np.testing.assert_equal(matrix[i, j], jaccard(a, b))
    assert mean_jaccard(sets[:2]) == 0.5
    assert np.isnan(mean_jaccard([[1]]))


def test_wilson_interval_is_scipys():
    for k, n in ((0, 20), (3, 20), (20, 20), (57, 100)):
        theirs = binomtest(k, n).proportion_ci(method="wilson")
        assert wilson(k, n) == pytest.approx((theirs.low, theirs.high))
        exact = binomtest(k, n).proportion_ci(method="exact")
        assert wilson(k, n) != pytest.approx((exact.low, exact.high))
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_resample_that_stopped_early_does_not_count(training):
    X, y, groups = training
    found = resampled_selection(X, y, groups, c_grid(X, y, 4, 60.0), resamples=5, stop_above=4)
    assert found.fitted[0] == 5
    assert found.fitted[-1] < 5
    assert (found.counts.max(axis=1) <= found.fitted).all()
