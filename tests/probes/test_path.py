"""The sparse path: optimality by code of our own, agreement with scipy, and everything it must refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from hneurons.errors import ProbeError
from hneurons.probes.columns import ArrayColumns, correlated, deviations
from hneurons.probes.following import Problem
from hneurons.probes.labels import training_rows
from hneurons.probes.path import c_grid, fit_path, fit_paths, violations
from hneurons.probes.rows import dense


@pytest.fixture(scope="module")
def training(world):
    rows = training_rows("3-vs-1", world.answers.hallucinated, world.answers.groups, world.has_other)
    return dense(rows.matrix(world.answers.contributions, world.other)), rows.y


def naive_violation(X, y, solution, deviation, penalised=False):
    """The optimality conditions one neuron at a time, in plain float64."""
    worst, residuals = 0.0, []
    for row, label in zip(X.astype(np.float64), y, strict=True):
        z = solution.intercept + sum(w * row[j] for j, w in zip(solution.indices, solution.weights, strict=True))
        residuals.append(1 / (1 + np.exp(-z)) - label)
    weights = dict(zip(solution.indices.tolist(), solution.weights.tolist(), strict=True))
    for j in range(X.shape[1]):
        g = solution.C * sum(r * x for r, x in zip(residuals, X[:, j].tolist(), strict=True)) / deviation[j]
        worst = max(worst, abs(g + np.sign(weights[j])) if j in weights else abs(g) - 1)
    if not penalised:
        return max(worst, abs(np.mean(residuals)))
    g = solution.C * sum(residuals)
    return max(worst, abs(g + np.sign(solution.intercept)) if solution.intercept else abs(g) - 1)


@pytest.mark.parametrize(("scale", "intercept"), [("none", "free"), ("std", "free"), ("none", "penalised")])
def test_every_solution_is_optimal_by_a_naive_loop(training, scale, intercept):
    X, y = training
    path = fit_path(X, y, c_grid(X, y, 3, 20.0, scale=scale), scale=scale, intercept=intercept)
    deviation = np.ones(X.shape[1]) if scale == "none" else X.astype(np.float64).std(axis=0)
    for solution in path.solutions:
        naive = naive_violation(X, y, solution, deviation, intercept == "penalised")
        assert naive <= 3e-4
        assert naive == pytest.approx(solution.violation, abs=1e-9)
    assert len(path.solutions[-1].indices) > len(path.solutions[0].indices) > 0


def test_the_violation_shows_what_is_wrong_with_a_solution(training):
    X, y = training
    problem = Problem(np.arange(len(y)), y)
    good = fit_path(X, y, [c_grid(X, y, 3, 20.0)[1]]).solutions[0]
    less = replace(good, indices=good.indices[1:], weights=good.weights[1:])
    bent = replace(good, weights=good.weights * 1.05)
    moved = replace(good, intercept=good.intercept + 0.1)
    other = replace(good, C=good.C * 1.1)
    right, *wrong = violations(X, problem, [good, less, bent, moved, other])
    assert right < 3e-4
    assert min(wrong) > 1e-2


def test_the_objective_equals_that_of_a_general_purpose_solver(training):
    X, y = training
    C = c_grid(X, y, 3, 20.0)[1]
    solution = fit_path(X, y, [C], tol=1e-6).solutions[0]
    A = X[:, solution.indices].astype(np.float64)
    signed = np.where(y, 1.0, -1.0)

    def objective(v):
        k = A.shape[1]
        z = A @ (v[:k] - v[k : 2 * k]) + v[-1]
        r = -signed / (1 + np.exp(signed * z))
        gradient = C * (A.T @ r)
        value = C * np.logaddexp(0, -signed * z).sum() + v[:-1].sum()
        return value, np.concatenate([gradient + 1, -gradient + 1, [C * r.sum()]])

    unit = np.abs(solution.weights).max()
    start = np.zeros(2 * A.shape[1] + 1)
    bounds = [(0, None)] * (len(start) - 1) + [(None, None)]

    def scaled(v):
        value, gradient = objective(np.append(v[:-1] * unit, v[-1]))
        return value, np.append(gradient[:-1] * unit, gradient[-1])

    found = minimize(
        scaled, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 5000, "ftol": 1e-14}
    )
    ours = np.concatenate([np.maximum(solution.weights, 0), np.maximum(-solution.weights, 0), [solution.intercept]])
    assert objective(ours)[0] == pytest.approx(found.fun, rel=1e-7)
    assert objective(ours * np.append(np.full(len(ours) - 1, 1.05), 1.0))[0] > found.fun * (1 + 1e-6)


def test_the_grid_begins_where_the_first_neuron_enters(training):
    X, y = training
    for scale in ("none", "std"):
        grid = c_grid(X, y, 5, 32.0, scale=scale)
        smallest = grid[-1] / 32
        assert np.allclose(np.diff(np.log(grid)), np.log(2))
        below, above = fit_path(X, y, [smallest * 0.99, smallest * 1.01], scale=scale).solutions
        assert len(below.indices) == 0
        assert len(above.indices) > 0
        assert below.intercept == pytest.approx(np.log(y.mean() / (1 - y.mean())))


def test_float32_and_float64_data_give_one_path(training):
    X, y = training
    Cs = c_grid(X, y, 4, 20.0)
    single, double = fit_path(X, y, Cs, tol=1e-5), fit_path(X.astype(np.float64), y, Cs, tol=1e-5)
    for a, b in zip(single.solutions, double.solutions, strict=True):
        assert set(a.indices) == set(b.indices)
        np.testing.assert_allclose(a.weights, b.weights, rtol=1e-2)


def test_weights_belong_to_raw_contributions_whatever_the_scale(training):
    X, y = training
    path = fit_path(X, y, c_grid(X, y, 2, 5.0, scale="std"), scale="std", tol=1e-6)
    by_hand = fit_path(X / path.deviations, y, [s.C for s in path.solutions], tol=1e-6)
    for a, b in zip(path.solutions, by_hand.solutions, strict=True):
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_allclose(a.logits(X), b.logits(X / path.deviations), atol=1e-3)
    assert set(path.solutions[-1].indices) != set(fit_path(X, y, c_grid(X, y, 2, 5.0)).solutions[-1].indices)


def test_planted_neurons_are_found(world, training):
    X, y = training
    found = fit_path(X, y, c_grid(X, y, 6, 10.0, scale="std"), scale="std").solutions[3].positive
    assert np.isin(world.planted, found).mean() >= 0.9
    assert np.isin(found, world.planted).mean() >= 0.5


def test_problems_in_step_equal_problems_alone(training):
    X, y = training
    random = np.random.default_rng(1)
    half = random.choice(len(y), len(y) // 2, replace=False)
    twice = random.integers(0, len(y), len(y))
    problems = [Problem(half, y[half]), Problem(twice, y[twice]), Problem(np.arange(len(y)), random.permutation(y))]
    Cs = c_grid(X, y, 3, 15.0)
    together = fit_paths(X, problems, Cs, tol=1e-5, exact=True)
    for problem, path in zip(problems, together, strict=True):
        alone = fit_path(X[problem.rows], problem.y, Cs, tol=1e-5)
        for a, b in zip(path, alone.solutions, strict=True):
            assert a.violation < 1e-4
            np.testing.assert_allclose(a.logits(X), b.logits(X), atol=5e-3)


def test_a_path_stops_where_it_is_told(training):
    X, y = training
    problem = Problem(np.arange(len(y)), y)
    Cs = c_grid(X, y, 6, 50.0)
    (whole,) = fit_paths(X, [problem], Cs)
    (short,) = fit_paths(X, [problem], Cs, stop_above=3)
    assert len(whole) == 6
    assert len(short) < 6
    assert len(short[-1].positive) > 3 >= len(short[-2].positive)


def test_constant_columns_are_never_chosen_and_the_order_of_the_grid_does_not_matter(training):
    X, y = training
    X = np.asfortranarray(np.column_stack([X, np.full(len(y), 0.37, dtype=np.float32)]))
    Cs = c_grid(X, y, 3, 20.0, scale="std")
    for solution in fit_path(X, y, Cs[::-1], scale="std").solutions:
        assert X.shape[1] - 1 not in solution.indices
    assert deviations(ArrayColumns(X))[-1] == 0
    assert [s.C for s in fit_path(X, y, Cs[::-1]).solutions] == sorted(Cs)


def test_products_are_the_same_over_blocks(training):
    X, _ = training
    X = dense(X) if not isinstance(X, np.ndarray) else X
    residuals = np.random.default_rng(0).normal(size=(len(X), 3))
    expected = X.astype(np.float64).T @ residuals
    for width in (50, 7):
        found = np.concatenate([products for _, products in correlated(ArrayColumns(X, width=width), residuals)])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(deviations(ArrayColumns(X, width=50)), X.astype(np.float64).std(axis=0), rtol=1e-12)


@pytest.mark.usefixtures("as_a_user_calls")
def test_what_cannot_be_fitted_is_refused_with_the_reason(training):
    X, y = training
    broken = X.copy()
    broken[3, 5] = np.nan
    with pytest.raises(ProbeError, match="neuron 5"):
        fit_path(broken, y, [1.0])
    with pytest.raises(ProbeError, match="hallucinated"):
        fit_path(X, np.ones(len(y), dtype=bool), [1.0])
    with pytest.raises(ProbeError, match="labels"):
        fit_path(X[:-1], y, [1.0])
    with pytest.raises(ProbeError, match="C must be positive"):
        fit_path(X, y, [0.0])
    with pytest.raises(ProbeError, match="span"):
        c_grid(X, y, 5, 1.0)
    with pytest.raises(ProbeError, match="constant"):
        c_grid(np.zeros((4, 3), dtype=np.float32), np.array([True, False, True, False]))
