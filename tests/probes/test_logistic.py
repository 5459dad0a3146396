"""L2 logistic regression: the Gram route, and the choice of C."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from hneurons.errors import ProbeError
from hneurons.probes.columns import ArrayColumns
from hneurons.probes.logistic import CS, fit_logistic


def make(n, d, seed, weights=None):
    random = np.random.default_rng(seed)
    X = np.exp(random.normal(-7, 0.6, (n, d))).astype(np.float32)
    w = np.random.default_rng(9).normal(size=d) * 1000 * 3 / np.sqrt(d)
    z = (X - np.exp(-7)) @ w
    return X, z + random.logistic(size=n) * 0.5 > np.median(z)


@pytest.mark.parametrize(("n", "d"), [(120, 5), (60, 200), (150, 450)])
def test_equals_a_direct_minimisation_in_all_columns(n, d):
    """With more columns than rows too, where the fit runs on the Gram matrix."""
    X, y = make(n, d, 0)
    X_dev, y_dev = make(80, d, 1)
    C = 0.1
    model = fit_logistic(X, y, X_dev, y_dev, Cs=(C,))
    mean, deviation = X.astype(np.float64).mean(axis=0), X.astype(np.float64).std(axis=0)
    Z, signed = (X - mean) / deviation, np.where(y, 1.0, -1.0)

    def objective(v):
        z = Z @ v[:-1] + v[-1]
        r = -signed / (1 + np.exp(signed * z))
        value = C * np.logaddexp(0, -signed * z).sum() + v[:-1] @ v[:-1] / 2
        return value, np.append(C * (Z.T @ r) + v[:-1], C * r.sum())

    found = minimize(objective, np.zeros(d + 1), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
    expected = 1 / (1 + np.exp(-((X_dev - mean) / deviation @ found.x[:-1] + found.x[-1])))
    np.testing.assert_allclose(model.probabilities(X_dev), expected, atol=2e-4)
    weaker = fit_logistic(X, y, X_dev, y_dev, Cs=(0.01,))
    assert np.abs(weaker.probabilities(X_dev) - expected).max() > 0.01


def test_c_is_the_best_on_held_out_rows_and_ties_go_to_the_smallest():
    X, y = make(100, 60, 2)
    X_dev, y_dev = make(200, 60, 3)
    Cs = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    each = [fit_logistic(X, y, X_dev, y_dev, Cs=(C,)) for C in Cs]
    reached = [((model.probabilities(X_dev) >= 0.5) == y_dev).mean() for model in each]
    chosen = fit_logistic(X, y, X_dev, y_dev, Cs=Cs)
    assert len(set(reached)) > 1
    assert chosen.heldout_accuracy == pytest.approx(max(reached))
    twice = fit_logistic(X, y, np.zeros((4, 60), dtype=np.float32), np.array([True, False, True, False]), Cs=Cs)
    assert min(Cs) == twice.C


def test_constant_columns_get_no_weight_and_one_label_is_refused():
    X, y = make(50, 4, 4)
    X[:, 2] = 0.123
    model = fit_logistic(X, y, X, y)
    assert model.weights[2] == 0
    assert (model.weights[[0, 1, 3]] != 0).all()
    with pytest.raises(ProbeError, match="held-out"):
        fit_logistic(X, y, X, np.ones(50, dtype=bool))
    with pytest.raises(ProbeError, match="training"):
        fit_logistic(X, np.zeros(50, dtype=bool), X, y)
    with pytest.raises(ProbeError, match="no value of C"):
        fit_logistic(X, y, X, y, Cs=())


def at_once(X, y, X_dev, C, *, scaled=True):
    """The same fit with the whole matrix in memory: logits of held-out rows, and weights on raw columns."""
    X, X_dev = X.astype(np.float64), X_dev.astype(np.float64)
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    if not scaled:
        deviation[:] = deviation.mean()
    Z, Z_dev = (X - mean) / deviation, (X_dev - mean) / deviation
    values, vectors = eigh(Z @ Z.T)
    kept = values > values[-1] * len(Z) * np.finfo(np.float64).eps
    basis = Z.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    model = LogisticRegression(solver="newton-cholesky", tol=1e-6, max_iter=2000)
    for each in [c for c in CS if c <= C]:
        model.set_params(C=each, warm_start=True).fit(Z @ basis, y)
    return model.decision_function(Z_dev @ basis), basis @ model.coef_[0] / deviation


@pytest.mark.parametrize("widths", [(64, 64), (50, 7), (1000, 1000)])
def test_read_in_blocks_the_fit_is_that_of_the_whole_matrix(widths):
    X, y = make(90, 400, 5)
    X_dev, y_dev = make(60, 400, 6)
    blocks = (ArrayColumns(each, width) for each, width in zip((X, X_dev), widths, strict=True))
    model = fit_logistic(next(blocks), y, next(blocks), y_dev)
    logits, weights = at_once(X, y, X_dev, model.C)
    np.testing.assert_allclose(model.logits(ArrayColumns(X_dev, widths[1])), logits, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(model.logits(X_dev), logits, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(model.weights, weights, rtol=1e-8, atol=1e-8 * np.abs(weights).max())
    assert model.heldout_accuracy == ((logits >= 0) == y_dev).mean()
    assert np.abs(at_once(X, y, X_dev, model.C, scaled=False)[0] - logits).max() > 1e-3
    other = next(C for C in CS if model.C != C)
    assert np.abs(at_once(X, y, X_dev, other)[0] - logits).max() > 1e-3


def test_few_columns_are_read_from_blocks_too():
    X, y = make(90, 30, 7)
    X_dev, y_dev = make(60, 30, 8)
    model = fit_logistic(ArrayColumns(X, 4), y, ArrayColumns(X_dev, 7), y_dev)
    again = fit_logistic(X, y, X_dev, y_dev)
    np.testing.assert_allclose(model.weights, again.weights, rtol=1e-9)
    assert model.C == again.C


@pytest.mark.parametrize("d", [4, 200])
def test_where_nothing_varies_there_is_no_weight_or_the_reason(d):
    X, y = make(50, 4, 4)
    flat = np.full((50, d), 0.1, dtype=np.float32)
    if d > len(X):
        with pytest.raises(ProbeError, match="no column varies"):
            fit_logistic(flat, y, flat, y)
    else:
        assert not fit_logistic(flat.astype(np.float64), y, flat, y).weights.any()
