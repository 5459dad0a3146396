"""Our path against scikit-learn on the same objectives: liblinear (penalised intercept) and saga (free intercept)."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hneurons.probes.path import c_grid, fit_path


@pytest.fixture(scope="module")
def data():
    """Heavy-tailed correlated columns about 1e-3, six of which tell."""
    random = np.random.default_rng(3)
    n, d = 300, 120
    y = random.random(n) < 0.4
    log = random.normal(-7, 0.7, d) + random.normal(size=(n, 5)) @ random.normal(0, 0.2, (5, d))
    log += random.normal(0, 0.5, (n, d))
    log[:, :6] += 0.8 * y[:, None]
    return np.exp(log), y


def objective(X, y, C, w, b, penalised):
    z = X @ w + b
    return C * np.logaddexp(0, np.where(y, -z, z)).sum() + np.abs(w).sum() + penalised * abs(b)


def dense(solution, d):
    w = np.zeros(d)
    w[solution.indices] = solution.weights
    return w


def overlap(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def test_liblinear_selects_the_same_neurons_with_a_penalised_intercept(data):
    X, y = data
    Cs = c_grid(X, y, 3, 10.0)
    ours = fit_path(X, y, Cs, intercept="penalised", tol=1e-6).solutions
    free = fit_path(X, y, Cs, tol=1e-6).solutions
    shared = []
    for C, solution, other in zip(Cs, ours, free, strict=True):
        model = LogisticRegression(
            solver="liblinear", l1_ratio=1.0, C=C, tol=1e-8, max_iter=20000, intercept_scaling=1.0, random_state=0
        ).fit(X, y)
        theirs = objective(X, y, C, model.coef_[0], model.intercept_[0], True)
        mine = objective(X, y, C, dense(solution, X.shape[1]), solution.intercept, True)
        assert mine <= theirs * (1 + 1e-6)
        assert theirs == pytest.approx(mine, rel=1e-4)
        shared.append(overlap(np.flatnonzero(model.coef_[0]), solution.indices))
        # a free intercept is another objective, and shows
        elsewhere = objective(X, y, C, dense(other, X.shape[1]), other.intercept, True)
        assert elsewhere > mine * (1 + 1e-6)
        np.testing.assert_allclose(X @ model.coef_[0] + model.intercept_[0], solution.logits(X), atol=0.02)
    assert min(shared) >= 0.95


def test_saga_agrees_with_a_free_intercept(data):
    X, y = data
    unit = X.std(axis=0).max()  # saga needs columns near 1: one common factor only rescales C
    C = c_grid(X, y, 3, 10.0)[1]
    solution = fit_path(X, y, [C], tol=1e-6).solutions[0]
    model = LogisticRegression(solver="saga", l1_ratio=1.0, C=C * unit, tol=1e-8, max_iter=20000, random_state=0)
    model.fit((X - X.mean(axis=0)) / unit, y)
    w = model.coef_[0] / unit
    b = model.intercept_[0] - X.mean(axis=0) @ w
    mine = objective(X, y, C, dense(solution, X.shape[1]), solution.intercept, False)
    assert objective(X, y, C, w, b, False) == pytest.approx(mine, rel=1e-6)
    large = np.flatnonzero(np.abs(w) > 1e-3 * np.abs(w).max())
    assert overlap(large, solution.indices[np.abs(solution.weights) > 1e-3 * np.abs(w).max()]) == 1.0
    assert mine < objective(X, y, C, dense(solution, X.shape[1]) * 1.05, solution.intercept, False)
