"""How well a linear model tells the two kinds apart on questions that it was not fitted on.

L2-regularised logistic regression on standardised dimensions, both kinds weighing the same. Questions are dealt into
folds as groups; a fold is scored by the model of the others, standardised by these. The strength is fixed, not tuned:
C = 1 / dimensions, at which the logit of an answer has, before any label is seen, a deviation of about 1.

Many labellings of the same rows are fitted at once, which is what makes a permuted control of the whole fit affordable.
All share one bound of their Hessians (Böhning and Lindsay, "Monotonicity of quadratic-approximation algorithms", Ann.
Inst. Stat. Math. 1988): with it every step descends, and in the basis of the rows' principal axes it is diagonal.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped
from scipy.linalg import eigh
from scipy.special import expit
from sklearn.model_selection import StratifiedGroupKFold

from hneurons.errors import ProbeError

FOLDS = 5
STEPS = 1000
TOLERANCE = 1e-5
"""Largest change of a logit in a step at which a fit has converged."""


def folds(
    hallucinated: Bool[np.ndarray, " rows"], groups: Shaped[np.ndarray, " rows"], seed: int = 0
) -> Int[np.ndarray, " rows"]:
    """The fold of every row: no group is in two, and each fold has about the same share of either kind."""
    fold = np.zeros(len(groups), dtype=np.int64)
    dealt = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(dealt.split(fold, hallucinated, groups)):
        fold[test] = number
    return fold


def held_out_logits(
    X: Float[np.ndarray, "rows columns"],
    hallucinated: Bool[np.ndarray, "draws rows"],
    fold: Int[np.ndarray, " rows"],
    C: float | None = None,
) -> Float64[np.ndarray, "draws rows"]:
    """The logit of hallucination of every row by the model of the other folds, for many labellings at once.

    Raises:
        ProbeError: all rows outside a fold have one label.
    """
    logits = np.full(hallucinated.shape, np.nan)
    for number in np.unique(fold):
        test = fold == number
        logits[:, test] = fit_logits(X[~test], hallucinated[:, ~test], X[test], C)
    return logits


def fit_logits(
    X: Float[np.ndarray, "rows columns"],
    hallucinated: Bool[np.ndarray, "draws rows"],
    X_test: Float[np.ndarray, "tests columns"],
    C: float | None = None,
) -> Float64[np.ndarray, "draws tests"]:
    """Fit on the rows, once for each labelling, and give the logits of other rows.

    Minimises, for each labelling, C * sum of weighted log losses + ||w||^2 / 2, the intercept free; C is 1 / columns if
    left out. A row weighs rows / (2 * rows of its kind).

    Raises:
        ProbeError: a labelling has one label only.
    """
    Y = hallucinated.T.astype(np.float64)
    n_rows, positive = len(Y), Y.sum(axis=0)
    if (positive == 0).any() or (positive == n_rows).any():
        raise ProbeError(f"all {n_rows} answers have one label; both kinds are needed")
    weights = np.where(Y > 0, n_rows / (2 * positive), n_rows / (2 * (n_rows - positive)))
    axes, F, F_test = _principal(X, X_test)
    strength = 1 / X.shape[1] if C is None else C
    curvature = weights.max(axis=0) / 4
    steps = 1 / (strength * curvature * axes[:, None] + 1)
    W, b = np.zeros((len(axes), Y.shape[1])), np.zeros(Y.shape[1])
    logits = np.zeros_like(Y)
    for _ in range(STEPS):
        residual = weights * (expit(logits) - Y)
        W -= steps * (strength * (F.T @ residual) + W)
        b -= residual.sum(axis=0) / (curvature * n_rows)  # the columns add up to zero, so the two do not mix
        before, logits = logits, F @ W + b
        if np.abs(logits - before).max() < TOLERANCE:
            break
    found: Float64[np.ndarray, "draws tests"] = (F_test @ W + b).T
    return found


def _principal(
    X: Float[np.ndarray, "rows columns"], X_test: Float[np.ndarray, "tests columns"]
) -> tuple[Float64[np.ndarray, " axes"], Float64[np.ndarray, "rows axes"], Float64[np.ndarray, "tests axes"]]:
    """Standardised rows in the basis of their principal axes, with the sum of squares along each.

    An L2 penalty does not see the rotation, and the optimum lies in the span of the rows.
    """
    wide, other = X.astype(np.float64), X_test.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    rounding = np.finfo(np.float32).eps * np.abs(wide).max(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > rounding)
    Z, T = (wide - mean) * scale, (other - mean) * scale
    if Z.shape[1] <= len(Z):
        squares, basis = eigh(Z.T @ Z, driver="evd", check_finite=False)
        kept = squares > squares[-1] * len(Z) * np.finfo(np.float64).eps
        return squares[kept], Z @ basis[:, kept], T @ basis[:, kept]
    squares, rows = eigh(Z @ Z.T, driver="evd", check_finite=False)
    kept = squares > squares[-1] * len(Z) * np.finfo(np.float64).eps
    root = np.sqrt(squares[kept])
    return squares[kept], rows[:, kept] * root, T @ (Z.T @ (rows[:, kept] / root))
