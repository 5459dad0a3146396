"""Figures of merit of a detector, each for many weightings of the rows at once.

Every function takes labels (True for hallucinated), probabilities, and weights (resamples, rows), and returns one
number per resample, NaN where it is undefined. A bootstrap sample is a weighting by counts; the figure itself is the
weighting by ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64

Labels = Bool[np.ndarray, " rows"]
Scores = Float64[np.ndarray, " rows"]
Weights = Float64[np.ndarray, "resamples rows"]
Values = Float64[np.ndarray, " resamples"]
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

ECE_BINS = 10


def auroc(y: Labels, p: Scores, weights: Weights) -> Values:
    """Area under the ROC curve: the chance that a hallucinated row scores above a faithful one, ties counting half."""
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * y[order], starts, axis=1)
    negative = np.add.reduceat(ordered * ~y[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return _divide((positive * below).sum(axis=1), pairs)


def accuracy(y: Labels, p: Scores, weights: Weights, threshold: float = 0.5) -> Values:
    """Share of rows on the right side of the threshold; a row is flagged when p >= threshold."""
    return _mean((p >= threshold) == y, weights)


def balanced_accuracy(y: Labels, p: Scores, weights: Weights, threshold: float = 0.5) -> Values:
    """Mean of the accuracies on hallucinated and on faithful rows."""
    right = (p >= threshold) == y
    both: Values = (_mean(right, weights * y) + _mean(right, weights * ~y)) / 2
    return both


def precision(y: Labels, p: Scores, weights: Weights, threshold: float = 0.5) -> Values:
    """Share of hallucinated rows among the flagged."""
    return _mean(y, weights * (p >= threshold))


def recall(y: Labels, p: Scores, weights: Weights, threshold: float = 0.5) -> Values:
    """Share of flagged rows among the hallucinated."""
    return _mean(p >= threshold, weights * y)


def flagged(y: Labels, p: Scores, weights: Weights, threshold: float = 0.5) -> Values:
    """Share of rows flagged, whatever their label."""
    return _mean(p >= threshold, weights)


def brier(y: Labels, p: Scores, weights: Weights) -> Values:
    """Mean squared error of the probability."""
    return _mean((p - y) ** 2, weights)


def log_loss(y: Labels, p: Scores, weights: Weights) -> Values:
    """Mean negative log-likelihood in nats; probabilities are kept 1e-15 from 0 and 1."""
    q = np.clip(p, 1e-15, 1 - 1e-15)
    return _mean(-np.log(np.where(y, q, 1 - q)), weights)


def ece(y: Labels, p: Scores, weights: Weights) -> Values:
    """Expected calibration error: mean |accuracy - confidence| over ten bins of equal width in p, by share of rows."""
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    member = (bins[:, None] == np.arange(ECE_BINS)).astype(np.float64)
    gaps = weights @ (member * (y - p)[:, None])
    return _divide(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def _mean(values: np.ndarray, weights: Weights) -> Values:
    return _divide(weights @ values.astype(np.float64), weights.sum(axis=1))


def _divide(a: Values, b: Values) -> Values:
    quotient = np.full(len(a), np.nan)
    np.divide(a, b, out=quotient, where=b > 0)
    return quotient
