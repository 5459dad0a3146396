"""Linear CKA in its debiased form: how alike two sets of states arrange the same answers.

    CKA(X, Y) = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))        K = X X^T,  L = Y Y^T

(Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, section 3), each HSIC by its
unbiased estimator over n rows, with the diagonals of K and L set to zero

    HSIC_1(K, L) = [ tr(K L) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 / (n - 2) 1'K L 1 ] / (n (n - 3))

(Song et al., "Feature Selection via Dependence Maximization", JMLR 2012, equation 5). The usual, biased form tends to 1
where there are more dimensions than answers, whatever the states; this one is 0 on average where nothing is shared, so
it can also be a little below.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.stats import t as student

from hneurons.probes.bootstrap import Estimate

BLOCKS = 20
"""Parts that the jackknife leaves out in turn, at most."""
MIN_ROWS = 4
"""Below, the unbiased estimator is not defined."""


def gram(X: Float[np.ndarray, "rows hidden"]) -> Float64[np.ndarray, "rows rows"]:
    """Inner products of the rows about their mean, its diagonal zero; scaled, which CKA does not see."""
    wide = X.astype(np.float64)
    wide -= wide.mean(axis=0)
    found: Float64[np.ndarray, "rows rows"] = wide @ wide.T
    np.fill_diagonal(found, 0.0)
    scale = float(np.abs(found).max(initial=0.0))
    return found / scale if scale > 0 else found


def cka(
    K: Float64[np.ndarray, "rows rows"],
    L: Float64[np.ndarray, "rows rows"],
    chosen: Bool[np.ndarray, "draws rows"] | None = None,
) -> Float64[np.ndarray, " draws"]:
    """Debiased linear CKA of two matrices of `gram`, over all rows or over those chosen in each draw; NaN if undefined.

    It is undefined below four rows, and where a matrix has no structure: its own HSIC is not positive.
    """
    S = None if chosen is None else chosen.astype(np.float64)
    first, second = hsic(K, K, S), hsic(L, L, S)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((first > 0) & (second > 0), hsic(K, L, S) / np.sqrt(np.abs(first * second)), np.nan)


def hsic(
    K: Float64[np.ndarray, "rows rows"],
    L: Float64[np.ndarray, "rows rows"],
    S: Float64[np.ndarray, "draws rows"] | None = None,
) -> Float64[np.ndarray, " draws"]:
    """Unbiased HSIC over all rows, or over those with a one in each draw of `S`; the diagonals of K and L are zero."""
    if S is None:
        k, l_ = K.sum(axis=0), L.sum(axis=0)
        n = np.array([float(len(K))])
        trace, middle, cross = np.vdot(K, L), k.sum() * l_.sum(), k @ l_
    else:
        k, l_ = S @ K, S @ L
        n = S.sum(axis=1)
        trace = ((S @ (K * L)) * S).sum(axis=1)
        middle, cross = (k * S).sum(axis=1) * (l_ * S).sum(axis=1), (k * l_ * S).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (trace + middle / ((n - 1) * (n - 2)) - 2 / (n - 2) * cross) / (n * (n - 3))
    return np.where(n >= MIN_ROWS, found, np.nan)


def shuffled(
    K: Float64[np.ndarray, "rows rows"],
    L: Float64[np.ndarray, "rows rows"],
    orders: Int[np.ndarray, "draws rows"],
) -> Float64[np.ndarray, " draws"]:
    """CKA where the rows of L are put into each of these orders: what partners drawn anew give."""
    n = len(K)
    if n < MIN_ROWS or not min(hsic(K, K)[0], hsic(L, L)[0]) > 0:
        return np.full(len(orders), np.nan)
    own = float(hsic(K, K)[0] * hsic(L, L)[0])
    k, l_ = K.sum(axis=0), L.sum(axis=0)
    middle = k.sum() * l_.sum() / ((n - 1) * (n - 2))
    found = [np.vdot(K, L[np.ix_(order, order)]) + middle - 2 / (n - 2) * float(k @ l_[order]) for order in orders]
    similar: Float64[np.ndarray, " draws"] = np.array(found) / (n * (n - 3)) / np.sqrt(own)
    return similar


def blocks(n_rows: int, seed: int = 0) -> Bool[np.ndarray, "blocks rows"]:
    """Rows that stay when a block is left out: they are dealt into at most `BLOCKS` by the seed."""
    n_blocks = min(BLOCKS, n_rows)
    dealt = np.random.default_rng(seed).permutation(n_rows) % n_blocks
    return np.stack([dealt != number for number in range(n_blocks)])


def jackknife(value: float, without: Float64[np.ndarray, " blocks"]) -> Estimate:
    """A figure with the 95% interval of the delete-a-block jackknife (Student's t).

    A bootstrap would put the same answer into a set twice, and CKA would take the two for alike.
    """
    if np.isnan(value):
        return Estimate(value=None, low=None, high=None, reason="the states have no structure that could be compared")
    n = len(without)
    if n < 2 or np.isnan(without).any():
        return Estimate(value=value, low=None, high=None, reason="undefined where a block is left out; no interval")
    half = float(student.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    return Estimate(value=value, low=value - half, high=value + half)
