"""L2 logistic regression: the Gram route, and the choice of C."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from hneurons.errors import ProbeError
from hneurons.probes.logistic import fit_logistic


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
