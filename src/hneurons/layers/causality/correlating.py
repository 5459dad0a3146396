"""How well one figure tells another, with intervals over pairs: Pearson and Spearman in every resample at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Shaped

from hneurons.layers.causality.record import Agreement
from hneurons.probes.bootstrap import Bootstrap


def agreement(
    exact: Float64[np.ndarray, " patches"],
    estimated: Float64[np.ndarray, " patches"],
    groups: Shaped[np.ndarray, " patches"],
    *,
    resamples: int,
    seed: int,
) -> Agreement:
    """Pearson's and Spearman's correlation of estimated with exact effects; patches of a group stay together."""
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    reason = "all values are the same" if len(set(exact)) < 2 or len(set(estimated)) < 2 else ""
    ignored = np.zeros(len(exact), dtype=bool)
    return Agreement(
        pearson=bootstrap.estimate(lambda _y, p, w: pearson(exact, p, w), ignored, estimated, reason),
        spearman=bootstrap.estimate(lambda _y, p, w: spearman(exact, p, w), ignored, estimated, reason),
    )


def pearson(
    x: Float64[np.ndarray, "*rows patches"],
    y: Float64[np.ndarray, "*others patches"],
    weights: Float64[np.ndarray, "resamples patches"],
) -> Float64[np.ndarray, " resamples"]:
    """Pearson's correlation under each row of weights; NaN where one of the two does not vary."""
    total = weights.sum(axis=1, keepdims=True)
    dx = x - (weights * x).sum(axis=1, keepdims=True) / total
    dy = y - (weights * y).sum(axis=1, keepdims=True) / total
    over = (weights * dx * dy).sum(axis=1)
    under = np.sqrt((weights * dx**2).sum(axis=1) * (weights * dy**2).sum(axis=1))
    return np.asarray(np.divide(over, under, out=np.full(len(weights), np.nan), where=under > 0))


def spearman(
    x: Float64[np.ndarray, " patches"],
    y: Float64[np.ndarray, " patches"],
    weights: Float64[np.ndarray, "resamples patches"],
) -> Float64[np.ndarray, " resamples"]:
    """Spearman's correlation under each row of weights, which count how often a patch is there."""
    return pearson(_ranks(x, weights), _ranks(y, weights), weights)


def _ranks(
    values: Float64[np.ndarray, " patches"], weights: Float64[np.ndarray, "resamples patches"]
) -> Float64[np.ndarray, "resamples patches"]:
    """The mean rank of each value among all, each as often as it counts; equal values share theirs."""
    order = np.argsort(values, kind="stable")
    _, starts, place = np.unique(values[order], return_index=True, return_inverse=True)
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(counts, axis=1) - counts / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = middle[:, place]
    return ranks
