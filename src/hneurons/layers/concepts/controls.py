"""Bands of control draws, means with intervals, and AUROCs of many scorings at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.stats import rankdata

from hneurons.layers.concepts.record import Band, Concept

WORDS: dict[Concept, tuple[str, str]] = {
    "factuality": ("factual", "hallucinated"),
    "uncertainty": ("uncertain", "certain"),
}
"""What answers are called where a concept is present, and where it is absent."""


def band(values: Float[np.ndarray, " draws"]) -> Band | None:
    """Mean and middle 95% of the draws that are defined; None where none is."""
    used = values[~np.isnan(values)]
    if not len(used):
        return None
    low, high = np.percentile(used, [2.5, 97.5])
    return Band(mean=float(used.mean()), low=float(low), high=float(high), n=len(used))


def aurocs(y: Bool[np.ndarray, " rows"], scores: Float[np.ndarray, "rows draws"]) -> Float64[np.ndarray, " draws"]:
    """AUROC of each column, from mean ranks (Mann-Whitney); NaN where all rows are of one kind."""
    present, absent = int(y.sum()), int((~y).sum())
    if not present or not absent:
        return np.full(scores.shape[1], np.nan)
    ranks = rankdata(scores, axis=0)[y].sum(axis=0)
    found: Float64[np.ndarray, " draws"] = (ranks - present * (present + 1) / 2) / (present * absent)
    return found


def one_kind(y: Bool[np.ndarray, " rows"], concept: Concept) -> str:
    """Why a figure that compares the two kinds has no value on these rows; empty where it has one."""
    present, absent = WORDS[concept]
    if y.all():
        return f"all {len(y)} answers are {present}"
    return "" if y.any() else f"all {len(y)} answers are {absent}"


def mean_differences(
    X: Float[np.ndarray, "rows hidden"], ys: Bool[np.ndarray, "draws rows"]
) -> Float64[np.ndarray, "draws hidden"]:
    """For each labelling, the mean of the rows where it holds less that of the others."""
    held = ys.astype(np.float64)
    present, absent = held.sum(axis=1, keepdims=True), (1 - held).sum(axis=1, keepdims=True)
    found: Float64[np.ndarray, "draws hidden"] = (held / present - (1 - held) / absent) @ X.astype(np.float64)
    return found
