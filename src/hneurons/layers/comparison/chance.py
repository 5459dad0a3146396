"""What figures are by chance: labels permuted, pairs exchanged, and where a figure lies among such draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy.stats import false_discovery_control

from hneurons.layers.comparison.record import Against, Null
from hneurons.probes.controls import permute_labels

Tail = Literal["high", "low", "both"]


def permuted(
    hallucinated: Bool[np.ndarray, " rows"], groups: Shaped[np.ndarray, " rows"], draws: int, seed: int
) -> Bool[np.ndarray, "draws rows"]:
    """Labels permuted `draws` times, those of a group together."""
    random = np.random.default_rng(seed)
    return np.stack([permute_labels(hallucinated, groups, random) for _ in range(draws)])


def flips(n_pairs: int, draws: int, seed: int) -> Bool[np.ndarray, "draws pairs"]:
    """Which pairs are exchanged: each with probability one half."""
    return np.random.default_rng(seed).integers(0, 2, size=(draws, n_pairs)).astype(bool)


def exchanged(flipped: Bool[np.ndarray, "draws pairs"]) -> Bool[np.ndarray, "draws rows"]:
    """Labels of rows (faithful, hallucinated, faithful, ...) of which the pairs in `flipped` are exchanged."""
    return np.stack([flipped, ~flipped], axis=2).reshape(len(flipped), -1)


def null_of(draws: Float64[np.ndarray, " draws"]) -> Null:
    """Mean and middle 95%; draws in which the figure is undefined are left out."""
    used = draws[~np.isnan(draws)]
    if not len(used):
        return Null(mean=None, low=None, high=None, n=0)
    low, high = np.percentile(used, [2.5, 97.5])
    return Null(mean=float(used.mean()), low=float(low), high=float(high), n=len(used))


def finite(value: float) -> float | None:
    """The figure, or None where it is undefined."""
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True)
class Drawn:
    """A figure and its draws by chance, before the adjustment for many of them; NaN figures have p = 1."""

    value: float
    draws: Float64[np.ndarray, " draws"]
    tail: Tail = "high"

    @property
    def p(self) -> float:
        """(1 + draws at least as extreme) / (1 + draws)."""
        if np.isnan(self.value):
            return 1.0
        used = self.draws[~np.isnan(self.draws)]
        slack = 1e-12 * max(1.0, abs(self.value))  # a draw that is the figure itself counts, whatever the rounding
        if self.tail == "both":
            extreme = np.abs(used) >= abs(self.value) - slack
        else:
            extreme = used >= self.value - slack if self.tail == "high" else used <= self.value + slack
        return float((1 + extreme.sum()) / (1 + len(used)))


def against(family: Sequence[Drawn]) -> list[Against]:
    """Each figure of a family against its draws, its p adjusted for the number of them."""
    if not family:
        return []
    p = np.array([each.p for each in family])
    q = false_discovery_control(p, method="bh")
    return [
        Against(null=null_of(each.draws), p=float(own), q=float(adjusted))
        for each, own, adjusted in zip(family, p, q, strict=True)
    ]
