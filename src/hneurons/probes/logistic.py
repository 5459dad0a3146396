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

CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths tried: minimise C * log loss sum + ||w||^2 / 2 on standardised columns, intercept free."""

NEWTON_COLUMNS = 400


@dataclass(frozen=True)
class Logistic:
    """A fitted model for raw columns: probability = sigmoid(x.w + b)."""

    weights: Float64[np.ndarray, " columns"]
    intercept: float
    C: float
    heldout_accuracy: float
    heldout_auroc: float

    def probabilities(self, X: Float[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""
        p: Float64[np.ndarray, " rows"] = expit(X.astype(np.float64) @ self.weights + self.intercept)
        return p


def fit_logistic(
    X: Float[np.ndarray, "rows columns"],
    y: Bool[np.ndarray, " rows"],
    X_dev: Float[np.ndarray, "heldout columns"],
    y_dev: Bool[np.ndarray, " heldout"],
    Cs: Sequence[float] = CS,
) -> Logistic:
    """Fit at every C and keep the best on the held-out rows: highest accuracy at 0.5, then AUROC, then smallest C.

    Columns are standardised with the training rows' mean and deviation; constant ones get no weight. With more columns
    than rows the fit runs on the eigenvectors of the Gram matrix, which has the same solution: the L2 optimum lies in
    the span of the rows.

    Raises:
        ProbeError: only one label in the training or held-out rows.
    """
    for name, labels in (("training", y), ("held-out", y_dev)):
        if labels.all() or not labels.any():
            raise ProbeError(f"all {len(labels)} {name} answers have one label; both kinds are needed")
    mean, deviation = _moments(X)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    Z = (X - mean) * scale
    basis = None
    if Z.shape[1] > len(Z):
        basis = _basis(Z)
        Z = Z @ basis
    solver = "newton-cholesky" if Z.shape[1] <= NEWTON_COLUMNS else "lbfgs"
    model = LogisticRegression(solver=solver, tol=1e-6, max_iter=2000, warm_start=True)
    best: Logistic | None = None
    ones = np.ones((1, len(y_dev)))
    for C in sorted(Cs):
        model.set_params(C=C).fit(Z, y)
        standard = model.coef_[0] if basis is None else basis @ model.coef_[0]
        weights = standard * scale
        candidate = Logistic(weights, float(model.intercept_[0] - mean @ weights), C, 0.0, 0.0)
        p = candidate.probabilities(X_dev)
        accuracy = float(metrics.accuracy(y_dev, p, ones)[0])
        auroc = float(metrics.auroc(y_dev, p, ones)[0])
        if best is None or (accuracy, auroc) > (best.heldout_accuracy, best.heldout_auroc):
            best = Logistic(weights, candidate.intercept, C, accuracy, auroc)
    if best is None:
        raise ProbeError("no value of C to fit with; pass at least one")
    return best


def _moments(
    X: Float[np.ndarray, "rows columns"],
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, " columns"]]:
    mean = X.mean(axis=0, dtype=np.float64)
    deviation = X.std(axis=0, dtype=np.float64)
    rounding = np.finfo(X.dtype).eps * np.abs(mean)
    return mean, np.where(deviation > rounding, deviation, 0.0)


def _basis(Z: Float64[np.ndarray, "rows columns"]) -> Float64[np.ndarray, "columns rank"]:
    """Orthonormal directions, in the space of columns, that span the rows."""
    values, vectors = eigh(Z @ Z.T)
    kept = values > values[-1] * len(Z) * np.finfo(np.float64).eps
    basis: Float64[np.ndarray, "columns rank"] = Z.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return basis
