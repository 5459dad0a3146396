"""L2-regularised logistic regression for few columns or many, its C chosen on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.linalg import eigh
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hneurons.errors import ProbeError
from hneurons.probes import metrics
from hneurons.probes.columns import Columns
from hneurons.probes.rows import aligned, as_rows, dense

CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths tried: minimise C * log loss sum + ||w||^2 / 2 on standardised columns, intercept free."""

NEWTON_COLUMNS = 400

_Train = Columns | Float[np.ndarray, "rows columns"]
_Heldout = Columns | Float[np.ndarray, "heldout columns"]


@dataclass(frozen=True)
class Logistic:
    """A fitted model for raw columns: probability = sigmoid(x.w + b)."""

    weights: Float64[np.ndarray, " columns"]
    intercept: float
    C: float
    heldout_accuracy: float
    heldout_auroc: float

    def logits(self, X: Columns | Float[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " rows"]:
        """x.w + b, in one pass where the rows are not an array."""
        if isinstance(X, np.ndarray):
            found: Float64[np.ndarray, " rows"] = X.astype(np.float64) @ self.weights + self.intercept
            return found
        logits = np.full(X.shape[0], self.intercept)
        for start, block in X.blocks():
            logits += block.astype(np.float64) @ self.weights[start : start + block.shape[1]]
        return logits

    def probabilities(self, X: Columns | Float[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""
        p: Float64[np.ndarray, " rows"] = expit(self.logits(X))
        return p


def fit_logistic(
    X: Columns | Float[np.ndarray, "rows columns"],
    y: Bool[np.ndarray, " rows"],
    X_dev: Columns | Float[np.ndarray, "heldout columns"],
    y_dev: Bool[np.ndarray, " heldout"],
    Cs: Sequence[float] = CS,
) -> Logistic:
    """Fit at every C and keep the best on the held-out rows: highest accuracy at 0.5, then AUROC, then smallest C.

    Columns are standardised with the training rows' mean and deviation; constant ones get no weight. With more columns
    than rows the fit runs on the eigenvectors of the Gram matrix, which has the same solution: the L2 optimum lies in
    the span of the rows. Such columns are read block by block, twice, and take rows^2 and two numbers a column of
    memory.

    Raises:
        ProbeError: only one label in the training or held-out rows, no column varies, or one is not finite.
    """
    for name, labels in (("training", y), ("held-out", y_dev)):
        if labels.all() or not labels.any():
            raise ProbeError(f"all {len(labels)} {name} answers have one label; both kinds are needed")
    data = _Wide(X, X_dev) if X.shape[1] > X.shape[0] else _Narrow(X, X_dev)
    solver = "newton-cholesky" if data.train.shape[1] <= NEWTON_COLUMNS else "lbfgs"
    model = LogisticRegression(solver=solver, tol=1e-6, max_iter=2000, warm_start=True)
    best: tuple[tuple[float, float], float, Float64[np.ndarray, " features"], float] | None = None
    ones = np.ones((1, len(y_dev)))
    for C in sorted(Cs):
        model.set_params(C=C).fit(data.train, y)
        slopes, intercept = model.coef_[0].copy(), float(model.intercept_[0])
        p = expit(data.heldout @ slopes + intercept)
        reached = (float(metrics.accuracy(y_dev, p, ones)[0]), float(metrics.auroc(y_dev, p, ones)[0]))
        if best is None or reached > best[0]:
            best = (reached, C, slopes, intercept)
    if best is None:
        raise ProbeError("no value of C to fit with; pass at least one")
    (accuracy, auroc), C, slopes, intercept = best
    weights = data.weights(slopes)
    return Logistic(weights, intercept - float(data.mean @ weights), C, accuracy, auroc)


class _Narrow:
    """Standardised columns themselves, as features."""

    def __init__(self, X: _Train, X_dev: _Heldout) -> None:
        train, heldout = (each if isinstance(each, np.ndarray) else dense(each) for each in (X, X_dev))
        self.mean, self._scale = _moments(train)
        self.train, self.heldout = (train - self.mean) * self._scale, (heldout - self.mean) * self._scale

    def weights(self, slopes: Float64[np.ndarray, " columns"]) -> Float64[np.ndarray, " columns"]:
        """Weights on raw columns."""
        found: Float64[np.ndarray, " columns"] = slopes * self._scale
        return found


class _Wide:
    """Coordinates of the standardised rows along orthonormal directions that span the training rows, as features.

    With Z Z^T = V diag(s) V^T the directions are Z^T V / sqrt(s), which are never made: the training rows lie at
    V sqrt(s), others at Z_dev Z^T V / sqrt(s), so that products of rows with rows are all that is needed.
    """

    def __init__(self, X: _Train, X_dev: _Heldout) -> None:
        self._X, heldout = as_rows(X), as_rows(X_dev)
        n, d = self._X.shape
        self.mean, self._scale = np.empty(d), np.empty(d)
        gram, cross = np.zeros((n, n)), np.zeros((heldout.shape[0], n))
        for start, (block, other) in aligned([self._X, heldout]):
            here = slice(start, start + block.shape[1])
            self.mean[here], self._scale[here] = _moments(block)
            Z, Z_dev = ((each - self.mean[here]) * self._scale[here] for each in (block, other))
            gram += Z @ Z.T
            cross += Z_dev @ Z.T
        values, vectors = eigh(gram)
        kept = values > values[-1] * n * np.finfo(np.float64).eps
        if not kept.any():
            raise ProbeError("no column varies over the training rows; there is nothing to fit on")
        roots = np.sqrt(values[kept])
        self._dual = vectors[:, kept] / roots
        self.train, self.heldout = vectors[:, kept] * roots, cross @ self._dual

    def weights(self, slopes: Float64[np.ndarray, " directions"]) -> Float64[np.ndarray, " columns"]:
        """Weights on raw columns, from one more pass over the training rows."""
        dual, found = self._dual @ slopes, np.empty(len(self.mean))
        for start, block in self._X.blocks():
            here = slice(start, start + block.shape[1])
            found[here] = (dual @ (block - self.mean[here])) * self._scale[here] ** 2
        return found


def _moments(
    X: Float[np.ndarray, "rows columns"],
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, " columns"]]:
    """Mean and 1 / deviation, 0 for a column that is constant up to the rounding of float32, as recorded."""
    mean = X.mean(axis=0, dtype=np.float64)
    deviation = X.std(axis=0, dtype=np.float64)
    varies = deviation > np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
