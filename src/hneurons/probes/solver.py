"""One small l1 problem, all of it in memory: what is left of a fit when screening has named the columns that matter.

Proximal Newton steps on the Gram matrix. With p = sigmoid(w.a + b), the loss is replaced by its second-order model at
the current weights, of gradient g = C A (p - y) and Hessian H = C A diag(p (1 - p)) A^T (a column of the data is a row
of A; where b is free, the rows are centred by the same weights, which eliminates it). Coordinate descent on H minimises
model and penalty, helped by Cholesky factors of the part that is not zero: a coordinate costs as many operations as
there are columns, not samples. A line search makes it descend, and the loop ends by the optimality conditions of the
problem itself.

Steps through samples, as in skglm or liblinear, take as many operations a coordinate as there are samples;
`benchmarks/path.py` holds these against it, and tests/parity compares the solutions.
"""

from __future__ import annotations

from inspect import unwrap

import numpy as np
from jaxtyping import Float64
from numba import njit
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

from hneurons.errors import ProbeError

MAX_STEPS, MAX_TURNS, SWEEPS = 100, 200, 20
NEAR = 0.7
"""A column of weight zero takes part in a Newton step where its gradient is at least this share of the penalty."""


def solve(
    A: Float64[np.ndarray, "chosen samples"],
    y: Float64[np.ndarray, " samples"],
    C: float,
    weights: Float64[np.ndarray, " chosen"],
    intercept: float,
    *,
    free: bool,
    tol: float,
) -> tuple[Float64[np.ndarray, " chosen"], float, Float64[np.ndarray, " samples"]]:
    """Minimise C * sum_i log(1 + exp(-y_i (w.a_i + b))) + ||w||_1 (+ |b| unless `free`) from a warm start.

    Args:
        A: the columns, one a row, in the units in which the penalty acts.
        y: 0 or 1.
        C: inverse strength of the penalty.
        weights, intercept: where to start.
        free: leave the intercept unpenalised; otherwise it is the weight of a constant column of ones (liblinear).
        tol: largest violation of the optimality conditions to accept, in units of the penalty.

    Returns:
        Weights, intercept, and the logits w.a_i + b.

    Raises:
        ProbeError: the numbers overflow.
    """
    w, b = weights.copy(), intercept
    if not free:
        A, w, b = np.vstack([A, np.ones(A.shape[1])]), np.append(w, b), 0.0
    z = _logits(A, w)
    for _ in range(MAX_STEPS):
        if free:
            b = free_intercept(z, y, b)
        p = expit(z + b)
        g = C * (A @ (p - y))
        distance = np.where(w != 0, np.abs(g + np.sign(w)), np.maximum(np.abs(g) - 1.0, 0.0))
        worst = float(distance.max(initial=0.0))
        if not np.isfinite(worst):
            raise ProbeError(f"the fit diverged at C={C:g}; use smaller values of C or scale='std'")
        if worst <= tol:
            break
        part = np.flatnonzero((w != 0) | (np.abs(g) >= NEAR))
        new, move = w[part], C * _gram(A, part, p * (1.0 - p), free)
        _minimise(move, g[part].copy(), new, 0.02 * worst)
        step = new - w[part]
        along = _logits(A[part], step) if len(part) < len(w) else _logits(A, step)
        t = _line_search(z, along, b, y, C, w[part], step, float(g[part] @ step), free)
        if t == 0:
            break  # rounding: nothing is left to be gained
        w[part] = new if t == 1 else w[part] + t * step
        z = z + t * along if t == 1 else _logits(A, w)
    if free:
        return w, b, z + b
    return w[:-1], float(w[-1]), z


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
    """Have the inner loop compiled (seconds, the first time on a machine), so that later fits take their true time."""
    _descend(np.eye(2), np.ones(2), np.zeros(2), 1e-3, 1)


def _logits(A: Float64[np.ndarray, "chosen samples"], w: Float64[np.ndarray, " chosen"]) -> np.ndarray:
    own = np.flatnonzero(w)
    logits: np.ndarray = w[own] @ A[own] if len(own) < len(w) else w @ A
    return logits


def _gram(A: np.ndarray, part: np.ndarray, spread: np.ndarray, free: bool) -> Float64[np.ndarray, "part part"]:
    """A diag(spread) A^T of some rows, centred where the intercept is free; in float32, which only steers the steps."""
    rows = A[part].astype(np.float32)
    weight = spread.astype(np.float32)
    if free:
        rows -= ((rows @ weight) / max(float(weight.sum()), 1e-30))[:, None]
    rows *= np.sqrt(weight)
    gram: Float64[np.ndarray, "part part"] = (rows @ rows.T).astype(np.float64)
    gram[np.diag_indices_from(gram)] *= 1.0 + 1e-6  # rounding must not make it indefinite
    return gram


def _minimise(H: np.ndarray, g: np.ndarray, w: np.ndarray, eps: float) -> None:
    """Minimise g.d + d.H d / 2 + ||w + d||_1 up to `eps`, in place: w becomes w + d, g becomes g + H d.

    Sweeps over the coordinates find which weights are zero; between them, the others go to the minimum for their signs
    at once, by one Cholesky factor. Sweeps alone creep where columns are correlated and labels nearly separable.
    """
    for _ in range(MAX_TURNS):
        if _descend(H, g, w, eps, SWEEPS) <= eps:
            return
        own = np.flatnonzero(w)
        part, slope = H[np.ix_(own, own)], g[own] + np.sign(w[own])
        try:
            step = -cho_solve(cho_factor(part, check_finite=False), slope, check_finite=False)
        except LinAlgError:  # rounding; sweeps do not need a positive definite matrix
            continue
        target = w[own] + step
        crossing = target * w[own] < 0
        if crossing.any():  # to zero with those that would change sign, if that is a gain; else only up to the first
            move = np.where(crossing, -w[own], step)
            gain = g[own] @ move + move @ part @ move / 2 + np.abs(w[own] + move).sum() - np.abs(w[own]).sum()
            if gain > 0:
                move = step * float(np.min(w[own][crossing] / -step[crossing]))
        else:
            move = step
        w[own] += move
        w[own[crossing & (np.abs(w[own]) <= 1e-12 * np.abs(move))]] = 0.0
        g += H[:, own] @ move


def _descending(H: np.ndarray, g: np.ndarray, w: np.ndarray, eps: float, sweeps: int) -> float:
    """The same coordinate by coordinate; ends with the optimality conditions, since coordinates may creep.

    Returns:
        The largest violation of the conditions that is left.
    """
    worst = np.inf
    for _ in range(sweeps):
        for j in range(len(w)):
            h = H[j, j]
            if h <= 0.0 or (w[j] == 0.0 and abs(g[j]) <= 1.0):
                continue
            u = h * w[j] - g[j]
            new = (u - 1.0) / h if u > 1.0 else ((u + 1.0) / h if u < -1.0 else 0.0)
            d = new - w[j]
            if d != 0.0:
                w[j] = new
                for i in range(len(w)):
                    g[i] += d * H[j, i]
        worst = 0.0
        for j in range(len(w)):
            at = g[j] + np.sign(w[j])
            worst = max(worst, abs(at) if w[j] != 0.0 else abs(at) - 1.0)
        if worst <= eps:
            break
    return worst


# Unwrapped: where annotations are checked, each function is wrapped in Python that cannot be compiled.
_descend = njit(nogil=True, cache=True)(unwrap(_descending))


def _line_search(
    z: np.ndarray,
    along: np.ndarray,
    b: float,
    y: np.ndarray,
    C: float,
    w: np.ndarray,
    step: np.ndarray,
    slope: float,
    free: bool,
) -> float:
    """The largest of 1, 1/2, 1/4, ... by which the objective falls as it should (Armijo); 0 where none does."""
    signed = np.where(y > 0.5, -1.0, 1.0)

    def objective(t: float) -> float:
        logits = z + t * along
        shift = free_intercept(logits, y, b) if free else b
        return C * float(np.logaddexp(0.0, signed * (logits + shift)).sum()) + float(np.abs(w + t * step).sum())

    start = objective(0.0)
    expected = slope + float(np.abs(w + step).sum() - np.abs(w).sum())
    t = 1.0
    while t > 1e-8:
        if objective(t) <= start + 1e-4 * t * expected:
            return t
        t /= 2
    return 0.0
