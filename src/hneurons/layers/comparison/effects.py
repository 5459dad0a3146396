"""How far apart the two kinds lie: along one direction that other questions gave, and over all dimensions.

    g = J (m1 - m0) / s        s^2 = (SS1 + SS0) / (n1 + n0 - 2)        J = 1 - 3 / (4 (n1 + n0 - 2) - 1)

is Hedges' g (Hedges, "Distribution theory for Glass's estimator of effect size", J. Educ. Stat. 1981) of projections
x.w of one half of the questions, where w is the difference of means of the other half. A direction that is fitted and
judged on the same answers would find a difference in noise.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Shaped

SPLITS = 4
"""Random halvings of the questions that are averaged over; each is used both ways round."""
CHUNK = 250


def standardised(states: Float[np.ndarray, "rows hidden"]) -> Float32[np.ndarray, "rows hidden"]:
    """Every dimension less its mean and over its deviation, both over all rows; constant dimensions are zero."""
    wide = states.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    deviation = centred.std(axis=0)
    rounding = np.finfo(np.float32).eps * np.abs(wide).max(axis=0, initial=0.0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > rounding)
    Z: Float32[np.ndarray, "rows hidden"] = (centred * scale).astype(np.float32)
    return Z


def halves(groups: Shaped[np.ndarray, " rows"], seed: int, splits: int = SPLITS) -> Bool[np.ndarray, "splits rows"]:
    """Halvings of the groups: whether a row is in the first half of each."""
    _, member = np.unique(groups, return_inverse=True)
    random, n_groups = np.random.default_rng(seed), int(member.max()) + 1
    return np.stack([(random.permutation(n_groups) < (n_groups + 1) // 2)[member] for _ in range(splits)])


def cross_fitted(
    Z: Float32[np.ndarray, "rows hidden"],
    hallucinated: Float64[np.ndarray, "draws rows"],
    faithful: Float64[np.ndarray, "draws rows"],
    first: Bool[np.ndarray, "splits rows"],
) -> Float64[np.ndarray, " draws"]:
    """Hedges' g along the direction of the other half, averaged over all halves, for many weightings of the rows.

    A direction is the difference of the means of `Z`. A draw is how often each row counts as hallucinated and how often
    as faithful: labels, permuted labels, or either times the counts of a resample. NaN where a half of a draw lacks
    one kind. Runs on inner products of rows, so its cost does not grow with the width.
    """
    gram = Z @ Z.T
    found = np.full((2 * len(first), len(hallucinated)), np.nan)
    for number, own in enumerate(first):
        for turn, (train, test) in enumerate(((own, ~own), (~own, own))):
            products = gram[np.ix_(train, test)]
            for start in range(0, len(hallucinated), CHUNK):
                part = slice(start, start + CHUNK)
                direction = _shares(hallucinated[part][:, train]) - _shares(faithful[part][:, train])
                scores = (direction.astype(np.float32) @ products).astype(np.float64)
                found[2 * number + turn, part] = hedges(scores, hallucinated[part][:, test], faithful[part][:, test])
    mean: Float64[np.ndarray, " draws"] = found.mean(axis=0)
    return mean


def hedges(
    scores: Float64[np.ndarray, "draws rows"],
    hallucinated: Float64[np.ndarray, "draws rows"],
    faithful: Float64[np.ndarray, "draws rows"],
) -> Float64[np.ndarray, " draws"]:
    """Hedges' g of each draw's scores, hallucinated less faithful, rows counted as often as these say."""
    n1, n0 = hallucinated.sum(axis=1), faithful.sum(axis=1)
    freedom = n1 + n0 - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        m1, m0 = (hallucinated * scores).sum(axis=1) / n1, (faithful * scores).sum(axis=1) / n0
        squares = (hallucinated * (scores - m1[:, None]) ** 2).sum(axis=1)
        squares += (faithful * (scores - m0[:, None]) ** 2).sum(axis=1)
        g = (1 - 3 / (4 * freedom - 1)) * (m1 - m0) / np.sqrt(squares / freedom)
    return np.where((n1 > 0) & (n0 > 0) & (freedom > 0) & np.isfinite(g), g, np.nan)


def centred(value: float, replicates: Float64[np.ndarray, " resamples"]) -> Float64[np.ndarray, " resamples"]:
    """Replicates moved so that their mean is the figure.

    A resample has fewer different questions to find a direction in, so the replicates lie below the figure by what that
    costs. Simulated, percentile intervals of the moved ones cover a g of 0 to 0.6 in 96 to 98%; holding the directions
    fixed instead covers it in 80%.
    """
    used = replicates[~np.isnan(replicates)]
    return replicates - (used.mean() - value) if len(used) else replicates


def mean_abs_d(
    Z: Float32[np.ndarray, "rows hidden"], hallucinated: Bool[np.ndarray, "draws rows"]
) -> Float64[np.ndarray, " draws"]:
    """Mean over the dimensions of |Cohen's d|, for many labellings; dimensions that do not vary are left out."""
    wide = Z[:, Z.any(axis=0)].astype(np.float64)
    wide -= wide.mean(axis=0)
    total = (wide**2).sum(axis=0)
    found = np.full(len(hallucinated), np.nan)
    for start in range(0, len(hallucinated), CHUNK):
        labels = hallucinated[start : start + CHUNK].astype(np.float64)
        n1 = labels.sum(axis=1, keepdims=True)
        n0 = len(wide) - n1
        with np.errstate(divide="ignore", invalid="ignore"):
            m1 = labels @ wide / n1
            m0 = -m1 * n1 / n0  # the columns add up to zero
            within = np.maximum(total - n1 * m1**2 - n0 * m0**2, 0.0)
            d = np.abs(m1 - m0) / np.sqrt(within / (len(wide) - 2))
            used = np.isfinite(d)
            found[start : start + CHUNK] = np.where(used, d, 0.0).sum(axis=1) / used.sum(axis=1)
    return found


def _shares(counts: Float64[np.ndarray, "draws rows"]) -> Float64[np.ndarray, "draws rows"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        shares: Float64[np.ndarray, "draws rows"] = counts / counts.sum(axis=1, keepdims=True)
    return shares
