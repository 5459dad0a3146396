"""Passes over all neurons with bounded memory: the strongest by plain sorting, and paths that need several passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hneurons.probes import following
from hneurons.probes.candidates import Candidates
from hneurons.probes.columns import ArrayColumns
from hneurons.probes.columns_file import write_columns
from hneurons.probes.following import Problem
from hneurons.probes.path import c_grid, fit_path, fit_paths
from hneurons.probes.screening import strongest
from hneurons.probes.solution import Solution

ROWS, NEURONS, TELL = 200, 1500, 30


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Correlated, heavy-tailed columns, of which some tell; so narrow in blocks that there are many."""
    random = np.random.default_rng(3)
    y = random.random(ROWS) < 0.4
    log = random.normal(-7, 0.6, NEURONS) + random.normal(size=(ROWS, 8)) @ random.normal(0, 0.3, (8, NEURONS))
    log = log + random.normal(0, 0.6, (ROWS, NEURONS))
    log[:, :TELL] += 0.5 * y[:, None]
    return np.exp(log).astype(np.float32), y


@pytest.mark.parametrize("most", [1, 7, 400, NEURONS])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_strongest_are_those_of_a_plain_sort(data: tuple[np.ndarray, np.ndarray], most: int, scaled: bool) -> None:
    X, _ = data
    random = np.random.default_rng(0)
    residuals = random.normal(size=(ROWS, 3))
    scaling = random.random(NEURONS) + 0.5 if scaled else None
    pulls = np.abs(residuals.T @ X.astype(np.float64)) * (1.0 if scaling is None else scaling)
    threshold = float(np.quantile(pulls, 0.8))
    excluded = np.sort(random.choice(NEURONS, 100, replace=False))
    found = strongest(
        ArrayColumns(X, width=37), residuals, most=most, threshold=threshold, excluded=excluded, scaling=scaling
    )
    pulls[:, excluded] = 0
    for k in range(3):
        order = np.argsort(-pulls[k])
        above = order[pulls[k][order] > threshold]
        np.testing.assert_array_equal(found.indices[k], above[:most])
        np.testing.assert_allclose(found.pulls[k], pulls[k][above[:most]], rtol=1e-4)
        assert found.above[k] == len(above)
        assert found.largest[k] == pytest.approx(pulls[k].max(), rel=1e-4)
    every = strongest(ArrayColumns(X), residuals, most=NEURONS, threshold=threshold, scaling=scaling)
    assert (every.above > found.above).all()  # what is excluded does count otherwise


def test_nothing_above_the_threshold_is_nothing(data: tuple[np.ndarray, np.ndarray]) -> None:
    found = strongest(ArrayColumns(data[0]), np.ones((ROWS, 2)), most=5, threshold=1e9)
    assert [len(each) for each in found.indices] == [0, 0]
    assert found.above.tolist() == [0, 0]


def test_candidates_are_the_columns_they_say_and_give_way_when_not_in_use(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = data
    held = Candidates(ArrayColumns(X), 50, None)
    held.add(np.arange(40, 0, -1), np.empty(0, dtype=np.int64))
    held.products(np.random.default_rng(0).normal(size=(ROWS, 1)))
    in_use = np.arange(1, 11)
    held.add(np.array([700, 900, 900, 5, 800, *range(1000, 1060)]), in_use)
    assert len(held.neurons) == 1024 or set(in_use) <= set(held.neurons.tolist())
    assert {700, 800, 900} <= set(held.neurons.tolist())
    np.testing.assert_array_equal(held.take(held.neurons), X.T[held.neurons])
    residual = np.random.default_rng(1).normal(size=(ROWS, 2))
    products = held.products(residual)
    for neuron in (700, 3):
        assert products[1, held.places(np.array([neuron]))[0]] == pytest.approx(
            float(residual[:, 1] @ X[:, neuron]), 1e-3
        )


def supports(solutions: tuple[Solution, ...]) -> list[set[int]]:
    return [set(solution.indices.tolist()) for solution in solutions]


@pytest.mark.parametrize("scale", ["none", "std"])
def test_few_candidates_give_the_path_of_all(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    X, y = data
    Cs = c_grid(X, y, 5, 30.0, scale=scale)
    whole = fit_path(X, y, Cs, scale=scale, tol=1e-5)
    monkeypatch.setattr(following, "CANDIDATE_BYTES", 4 * ROWS * 120)
    monkeypatch.setattr(following, "MOST_NEW", 20)
    few = fit_path(X, y, Cs, scale=scale, tol=1e-5)
    assert max(solution.n_iter for solution in few.solutions) > 1  # several passes: the first candidates do not do
    assert max(solution.violation for solution in few.solutions) < 1e-4
    for a, b in zip(whole.solutions, few.solutions, strict=True):
        np.testing.assert_allclose(a.logits(X), b.logits(X), atol=2e-3)
    assert supports(few.solutions) == supports(whole.solutions)


def test_without_the_checks_few_candidates_give_another_path(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data
    Cs = c_grid(X, y, 5, 30.0)
    monkeypatch.setattr(following, "CANDIDATE_BYTES", 4 * ROWS * 120)
    monkeypatch.setattr(following, "MAX_PASSES", 1)
    assert max(solution.violation for solution in fit_path(X, y, Cs).solutions) > 1e-2  # and the certificate says so


def test_problems_beyond_one_group_and_paths_that_stop(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data
    random = np.random.default_rng(5)
    halves = [np.sort(random.choice(ROWS, ROWS // 2, replace=False)) for _ in range(5)]
    problems = [Problem(half, y[half]) for half in halves]
    Cs = c_grid(X, y, 5, 60.0)
    expected = fit_paths(X, problems, Cs, stop_above=15, tol=1e-5)
    monkeypatch.setattr(following, "CANDIDATE_BYTES", 4 * ROWS * 300)
    monkeypatch.setattr("hneurons.probes.path.TOGETHER", 2)
    found = fit_paths(X, problems, Cs, stop_above=15, tol=1e-5, exact=True)
    assert [len(path) for path in found] == [len(path) for path in expected]
    assert min(len(path) for path in found) < len(Cs)
    for a, b in zip(expected, found, strict=True):
        assert supports(a) == supports(b)
        assert max(solution.violation for solution in b) < 1e-4


def test_a_file_gives_the_path_of_an_array_to_the_bit(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data
    monkeypatch.setattr(following, "CANDIDATE_BYTES", 4 * ROWS * 200)
    file = write_columns(tmp_path / "x.safetensors", iter([X[:, :900], X[:, 900:]]), *X.shape)
    Cs = c_grid(X, y, 4, 20.0)
    assert c_grid(file, y, 4, 20.0) == Cs
    for a, b in zip(fit_path(X, y, Cs).solutions, fit_path(file, y, Cs).solutions, strict=True):
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_array_equal(a.weights, b.weights)
        assert (a.intercept, a.violation) == (b.intercept, b.violation)
