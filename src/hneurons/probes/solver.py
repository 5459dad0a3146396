"""One small l1 problem, solved by skglm: what is left of a fit when screening has named the columns that matter."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float64
from scipy.special import expit
from skglm.datafits import Logistic
from skglm.penalties import L1
from skglm.solvers import ProxNewton
from sklearn.exceptions import ConvergenceWarning

from hneurons.errors import ProbeError


def solve(
    A: Float64[np.ndarray, "samples chosen"],
    y: Float64[np.ndarray, " samples"],
    C: float,
    weights: Float64[np.ndarray, " chosen"],
    intercept: float,
    *,
    free: bool,
    tol: float,
) -> tuple[Float64[np.ndarray, " chosen"], float, Float64[np.ndarray, " samples"]]:
    """Minimise C * sum_i log(1 + exp(-y_i (w.a_i + b))) + ||w||_1 (+ |b| unless `free`) from a warm start.

    skglm minimises the mean loss + alpha ||w||_1, so alpha = 1 / (C n). Columns are multiplied by C n, which brings
    alpha to 1 and makes `tol` a violation in units of the penalty; with a free intercept they are also centred, which
    changes nothing but the intercept and makes coordinate descent several times faster.

    Args:
        A: the columns, in the units in which the penalty acts.
        y: 0 or 1.
        C: inverse strength of the penalty.
        weights, intercept: where to start.
        free: leave the intercept unpenalised; otherwise it is the weight of a constant column of ones (liblinear).
        tol: largest violation of the optimality conditions to accept.

    Returns:
        Weights, intercept, and the logits w.a_i + b.

    Raises:
        ProbeError: the solver diverged.
    """
    samples, chosen = A.shape
    stretch = C * samples
    B = np.empty((samples, chosen + (not free)), order="F")
    centre = A.mean(axis=0) if free else np.zeros(chosen)
    np.subtract(A, centre, out=B[:, :chosen])
    if not free:
        B[:, chosen] = 1.0
    B *= stretch
    start = np.append(weights / stretch, intercept + centre @ weights if free else intercept / stretch)
    logits = B @ start[: B.shape[1]] + (start[-1] if free else 0.0)
    newton = ProxNewton(p0=10, max_iter=50, max_pn_iter=100, tol=tol, fit_intercept=free)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the caller measures the violation itself
        found = newton.solve(B, np.where(y > 0.5, 1.0, -1.0), Logistic(), L1(1.0), start, logits)[0]
    if not np.isfinite(found).all():
        raise ProbeError(f"the fit diverged at C={C:g}; use smaller values of C or scale='std'")
    solved: Float64[np.ndarray, " chosen"] = found[:chosen] * stretch
    if not free:
        b = float(found[-1] * stretch)
        return solved, b, A @ solved + b
    partial = A @ solved
    b = free_intercept(partial, y, float(found[-1] - centre @ solved))
    return solved, b, partial + b


def free_intercept(
    partial: Float64[np.ndarray, " samples"], y: Float64[np.ndarray, " samples"], start: float = 0.0
) -> float:
    """The b that makes the residuals of expit(partial + b) sum to zero: safeguarded Newton steps in one dimension."""
    b = start
    for _ in range(50):
        p = expit(partial + b)
        slope = float(p @ (1.0 - p))
        excess = float(p.sum() - y.sum())
        if abs(excess) <= 1e-12 * len(y):
            break
        step = excess / max(slope, 1e-12)
        b -= float(np.clip(step, -2.0, 2.0))
    return b


def warm_up() -> None:
    """Have skglm's inner loops compiled (several seconds, once a process), so that later fits take their true time."""
    random = np.random.default_rng(0)
    A = np.asfortranarray(random.random((8, 3)))
    y = np.array([0.0, 1.0] * 4)
    for free in (True, False):
        solve(A, y, 100.0, np.zeros(3), 0.0, free=free, tol=1e-2)
