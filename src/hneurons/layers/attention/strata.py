"""Two kinds of texts compared within strata: the difference, its interval over groups, and p for many numbers at once.

Strata are sets and kinds of question: a kind that is answered wrong more often must not look like a difference. With
n1, n0 texts of either kind in stratum s and weights w_s = n1 n0 / (n1 + n0),

    difference = sum of w_s (mean1_s - mean0_s) / sum of w_s

which is the coefficient of the kind in a linear model with a constant for each stratum. The test is the score test of
that coefficient with groups as clusters: u_g = sum over the texts i of group g of (y_i - mean y_s)(x_i - mean x_s), and
z = sum of u_g / sqrt(sum of u_g^2). Chance: each group's u_g changes its sign at random (the score bootstrap of Kline
and Santos 2012, Journal of Econometric Methods 1:23-41); the draws of all tests are pooled, as in SAM (Tusher et al.
2001), so that p is as fine as many tests need.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped
from scipy.stats import false_discovery_control

from hneurons.errors import NotEnoughDataError
from hneurons.probes.bootstrap import Bootstrap

AT_ONCE = 512
"""Columns whose draws are in memory together."""


@dataclass(frozen=True, eq=False)
class Design:
    """Which texts are of the second kind, in which stratum each is, and which group it belongs to.

    Texts in a stratum of one kind have no part in any comparison.
    """

    second: Bool[np.ndarray, " rows"]
    strata: Shaped[np.ndarray, " rows"]
    groups: Shaped[np.ndarray, " rows"]

    @cached_property
    def member(self) -> Int[np.ndarray, " rows"]:
        """The number of each text's stratum."""
        return np.asarray(np.unique(self.strata, return_inverse=True)[1])

    @cached_property
    def used(self) -> Bool[np.ndarray, " rows"]:
        """Texts in strata that have both kinds."""
        n = np.bincount(self.member)
        n_second = np.bincount(self.member, weights=self.second)
        return np.asarray(((n_second > 0) & (n_second < n))[self.member])

    @property
    def names(self) -> tuple[str, ...]:
        """The strata that have both kinds."""
        return tuple(str(name) for name in np.unique(self.strata[self.used]))

    def take(self, rows: Shaped[np.ndarray, " some"]) -> Design:
        """The design of some of the texts."""
        return Design(self.second[rows], self.strata[rows], self.groups[rows])

    def permuted(self, random: np.random.Generator) -> Design:
        """The same texts with the kinds dealt out anew within each stratum."""
        order = np.lexsort((random.random(len(self.second)), self.member))
        into = np.argsort(self.member, kind="stable")
        second = np.empty_like(self.second)
        second[into] = self.second[order]
        return Design(second, self.strata, self.groups)

    def require(self, least: int, what: str) -> None:
        """Refuse a design with fewer than `least` texts of a kind.

        Raises:
            NotEnoughDataError: there are too few that can be compared.
        """
        second = int((self.second & self.used).sum())
        first = int((~self.second & self.used).sum())
        if min(first, second) < least:
            raise NotEnoughDataError(
                f"{what}: {first} and {second} that can be compared within a set and kind of question, and {least} "
                "of either are needed; ask more"
            )


def _centred(design: Design, values: Float64[np.ndarray, "rows columns"]) -> Float64[np.ndarray, "rows columns"]:
    """Values less their stratum's mean; 0 in strata of one kind."""
    n = np.bincount(design.member)[:, None]
    sums = np.zeros((len(n), values.shape[1]))
    np.add.at(sums, design.member, values)
    return np.asarray((values - (sums / n)[design.member]) * design.used[:, None])


def means(
    design: Design, values: Float64[np.ndarray, "rows columns"]
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, " columns"]]:
    """The mean of the first and of the second kind, with the strata's weights; the difference is the second less the
    first."""
    n = np.bincount(design.member)
    n_second = np.bincount(design.member, weights=design.second)
    w = np.where((n_second > 0) & (n_second < n), n_second * (n - n_second) / n, 0.0)
    both = []
    for of, counts in ((~design.second, n - n_second), (design.second, n_second)):
        rows = np.where(of & design.used, (w / np.maximum(counts, 1))[design.member], 0.0)
        both.append(rows @ values / w.sum())
    return both[0], both[1]


def difference(design: Design, values: Float64[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " columns"]:
    """The second kind less the first, within strata."""
    first, second = means(design, values)
    return np.asarray(second - first)


def replicates(
    design: Design, values: Float64[np.ndarray, "rows columns"], bootstrap: Bootstrap
) -> Float64[np.ndarray, "resamples columns"]:
    """The difference on every resample of groups; strata that lack a kind in a resample have no part in it.

    `bootstrap` is over the groups of the design's rows.
    """
    total: Float64[np.ndarray, ...] = np.zeros(1)
    weight: Float64[np.ndarray, ...] = np.zeros(1)
    for stratum in np.unique(design.member[design.used]):
        sums = []
        for kind in (design.second, ~design.second):
            rows = (kind & (design.member == stratum)).astype(np.float64)[:, None]
            sums.append(bootstrap.totals(np.concatenate([rows, rows * values], axis=1)))
        n1, n0 = sums[0][:, :1], sums[1][:, :1]
        w = n1 * n0 / np.maximum(n1 + n0, 1)
        apart = sums[0][:, 1:] / np.maximum(n1, 1) - sums[1][:, 1:] / np.maximum(n0, 1)
        total, weight = total + w * apart, weight + w
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / weight)


def scores(
    design: Design, values: Float64[np.ndarray, "rows columns"]
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, "groups columns"]]:
    """z of every column, and the groups' scores over their norm, of which z is the sum; 0 where nothing varies."""
    kinds = _centred(design, design.second.astype(np.float64)[:, None])
    member = np.unique(design.groups, return_inverse=True)[1]
    by_group = np.zeros((member.max() + 1, values.shape[1]))
    np.add.at(by_group, member, kinds * _centred(design, values))
    norms = np.linalg.norm(by_group, axis=0)
    scaled = np.divide(by_group, norms, out=np.zeros_like(by_group), where=norms > 1e-12 * max(1.0, norms.max()))
    return scaled.sum(axis=0), scaled


def p_values(
    design: Design, values: Float64[np.ndarray, "rows columns"], *, draws: int, seed: int
) -> Float64[np.ndarray, " columns"]:
    """Two-sided p of every column: (1 + pooled draws at least as far from 0) / (1 + pooled draws).

    Args:
        design: the texts.
        values: what is compared.
        draws: of the groups' signs; every test adds as many to the pool.
        seed: of the draws.
    """
    z, scaled = scores(design, values)
    signs = np.random.default_rng(seed).integers(0, 2, (draws, len(scaled))) * 2.0 - 1.0
    beyond = np.zeros(len(z))
    order = np.argsort(np.abs(z))
    far = np.abs(z)[order]
    varies = (scaled != 0).any(axis=0)
    for start in range(0, len(z), AT_ONCE):
        some = np.flatnonzero(varies[start : start + AT_ONCE]) + start
        null = np.sort(np.abs(signs @ scaled[:, some]), axis=None)
        # a draw that only rounding keeps from being as far is as far
        beyond += len(null) - np.searchsorted(null, far - 1e-9, side="left")
    found = np.empty(len(z))
    found[order] = (1 + beyond) / (1 + draws * int(varies.sum()))
    return np.where(varies, found, 1.0)


def corrected(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Benjamini and Hochberg's q: the smallest share of false discoveries at which a test is one."""
    return np.asarray(false_discovery_control(p)) if len(p) else p
