"""Pictures: PCA against a singular value decomposition, numbers against scikit-learn, UMAP loaded late."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from hneurons.errors import NotEnoughDataError
from hneurons.layers.concepts.projecting import grouping, pictured, project
from hneurons.probes.bootstrap import Bootstrap


@pytest.fixture(scope="module")
def states() -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=(80, 9)) * np.arange(9, 0, -1) + 5).astype(np.float32)


def test_pca_is_the_singular_value_decomposition(states: np.ndarray) -> None:
    more = states[:7] + 1
    found = project(states, [more])
    mean = states.astype(np.float64).mean(axis=0)
    _, values, axes = np.linalg.svd(states.astype(np.float64) - mean, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][[0, 1], np.abs(axes[:2]).argmax(axis=1)])[:, None]
    np.testing.assert_allclose(found.fitted, (states - mean) @ axes.T, atol=1e-5)
    np.testing.assert_allclose(found.others[0], (more - mean) @ axes.T, atol=1e-5)  # the mean of what was fitted
    np.testing.assert_allclose(found.explained, (values**2 / (values**2).sum())[:2])
    wrong = (more - more.mean(axis=0)) @ axes.T
    assert np.abs(found.others[0] - wrong).max() > 1


def test_purity_and_silhouette_are_those_of_scikit_learn(states: np.ndarray) -> None:
    y = np.arange(80) % 2 == 0
    points = states + 6 * y[:, None]
    alone = np.arange(80)
    found = grouping(points, y, alone, Bootstrap(alone, resamples=200), neighbours=5)
    nearest = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points, return_distance=False)[:, 1:]
    assert found.purity.value == pytest.approx((y[nearest] == y[:, None]).mean())
    assert found.silhouette == pytest.approx(silhouette_score(points, y))
    assert found.purity.value > found.purity_permuted.high
    assert found.silhouette > found.silhouette_permuted.high
    assert abs(found.purity_permuted.mean - 0.5) < 0.05
    assert abs(found.silhouette_permuted.mean) < 0.02
    apart = grouping(states, y, alone, Bootstrap(alone, resamples=200), neighbours=5)
    assert apart.purity_permuted.low < apart.purity.value < apart.purity_permuted.high


def test_answers_of_one_group_are_no_neighbours(states: np.ndarray) -> None:
    twins = np.repeat(states[:40], 2, axis=0)  # two answers at each place, of one kind
    y, groups = np.repeat(np.arange(40) % 2 == 0, 2), np.repeat(np.arange(40), 2)
    fair = grouping(twins, y, groups, Bootstrap(groups, resamples=50), neighbours=1).purity.value
    inflated = grouping(twins, y, np.arange(80), Bootstrap(groups, resamples=50), neighbours=1).purity.value
    assert inflated == 1
    assert fair < 0.7


def test_a_picture_says_what_it_cannot_say(states: np.ndarray) -> None:
    y, groups = np.arange(80) % 2 == 0, np.arange(80)
    made = project(states)
    found = pictured("pca", 3, "some", made, made.fitted, states, y, groups, resamples=20, shown=7)
    assert 0.5 < found.trustworthiness < 1
    assert len(found.points) == 7
    assert found.points[0][0] == pytest.approx(made.fitted[0, 0], rel=5e-3)
    sorted_by_kind = pictured("pca", 3, "some", made, made.fitted, states, np.sort(y), groups, resamples=20, shown=8)
    assert [kind for _, _, kind in sorted_by_kind.points] == [False] * 4 + [True] * 4
    known = pictured("pca", 3, "some", made, made.fitted, states, y, groups, full=found.full, resamples=20)
    assert known.full is found.full
    assert known.points == ()


def test_too_little_is_refused(states: np.ndarray) -> None:
    y = np.arange(80) < 1
    with pytest.raises(NotEnoughDataError, match="at least 3"):
        project(states[:2])
    with pytest.raises(NotEnoughDataError, match="at least 16"):
        project(states[:15], how="umap")
    with pytest.raises(NotEnoughDataError, match="either kind"):
        grouping(states, y, np.arange(80), Bootstrap(np.arange(80), resamples=5))
    with pytest.raises(NotEnoughDataError, match="other groups"):
        grouping(states, np.arange(80) % 2 == 0, np.zeros(80), Bootstrap(np.arange(80), resamples=5))


def test_umap_is_asked_with_a_fixed_state_and_fitted_once(states: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    class StandIn:
        def __init__(self, **settings: object) -> None:
            calls.append(settings)

        def fit_transform(self, X: np.ndarray) -> np.ndarray:
            calls.append(("fit", len(X)))
            return X[:, :2]

        def transform(self, X: np.ndarray) -> np.ndarray:
            calls.append(("transform", len(X)))
            return X[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=StandIn))
    found = project(states, [states[:5]], "umap", seed=3)
    assert calls[0]["random_state"] == 3  # type: ignore[index]
    assert calls[0]["n_components"] == 2  # type: ignore[index]
    assert calls[1:] == [("fit", 80), ("transform", 5)]
    assert found.explained is None
    assert found.others[0].shape == (5, 2)


@pytest.mark.slow
def test_umap_is_not_loaded_before_it_is_asked_for() -> None:
    code = "import hneurons.layers.concepts.projecting, sys; print('umap' in sys.modules, 'numba' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == "False"


@pytest.mark.slow
def test_umap_keeps_planted_clusters_apart_and_is_the_same_again(states: np.ndarray) -> None:
    y = np.arange(80) % 2 == 0
    points = states + 40 * y[:, None]
    first, again = (project(points, [points[:20]], "umap") for _ in range(2))
    np.testing.assert_array_equal(first.fitted, again.fitted)
    np.testing.assert_array_equal(first.others[0], again.others[0])
    assert silhouette_score(first.fitted, y) > 0.5
    assert silhouette_score(first.others[0], y[:20]) > 0.5
