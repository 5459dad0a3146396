"""The path against skglm's, which works along the samples: same objective, same neurons."""

from __future__ import annotations

import numpy as np
import pytest
from skglm.datafits import Logistic
from skglm.penalties import L1
from skglm.solvers import ProxNewton

from hneurons.probes.path import c_grid, fit_path


@pytest.mark.slow  # skglm compiles for half a minute
def test_solutions_equal_those_of_skglm() -> None:
    random = np.random.default_rng(0)
    n, neurons = 150, 400
    y = random.random(n) < 0.4
    log = random.normal(-1, 0.6, neurons) + random.normal(size=(n, 5)) @ random.normal(0, 0.3, (5, neurons))
    log = log + random.normal(0, 0.6, (n, neurons))
    log[:, :15] += 0.8 * y[:, None]
    X = np.asfortranarray(np.exp(log))
    signed = np.where(y, 1.0, -1.0)

    def objective(C: float, weights: np.ndarray, intercept: float) -> float:
        return float(C * np.logaddexp(0, -signed * (X @ weights + intercept)).sum() + np.abs(weights).sum())

    for solution in fit_path(X, y, c_grid(X, y, 4, 30.0), tol=1e-6).solutions:
        solver = ProxNewton(tol=1e-9, max_iter=200, max_pn_iter=2000, fit_intercept=True)
        theirs = solver.solve(X, signed, Logistic(), L1(1 / (solution.C * n)))[0]
        ours = np.zeros(neurons)
        ours[solution.indices] = solution.weights
        best = objective(solution.C, theirs[:-1], theirs[-1])
        assert objective(solution.C, ours, solution.intercept) == pytest.approx(best, rel=1e-8)
        assert set(np.flatnonzero(theirs[:-1])) == set(solution.indices)
        np.testing.assert_allclose(ours, theirs[:-1], atol=1e-4 * np.abs(theirs[:-1]).max())
        bent = ours * 1.01
        assert objective(solution.C, bent, solution.intercept) > best * (1 + 1e-7)  # the comparison can fail
