"""Hallucinated answers beside faithful ones of the same kind of question and about the same length of prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.questions.loading import rank

MIN_PAIRS = 10
FINE, FLIPS = 100, 250


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of hallucinated and of faithful answers, one of each a pair; no row twice."""

    hallucinated: Int64[np.ndarray, " pairs"]
    faithful: Int64[np.ndarray, " pairs"]

    def __len__(self) -> int:
        return len(self.hallucinated)

    def where(self, kept: Bool[np.ndarray, " rows"]) -> Pairs:
        """The pairs of which both rows are kept."""
        both = kept[self.hallucinated] & kept[self.faithful]
        return Pairs(self.hallucinated[both], self.faithful[both])


def match(
    keys: Sequence[str],
    kinds: Sequence[str],
    lengths: Sequence[int],
    hallucinated: Bool[np.ndarray, " rows"],
    *,
    seed: int = 0,
) -> Pairs:
    """Give each hallucinated answer, in an order drawn by `seed`, the faithful one of its kind nearest in length.

    Ties go to the one that is drawn first; an answer whose kind has no faithful one left has no pair.
    """
    order = sorted(range(len(keys)), key=lambda row: rank(keys[row], seed))
    free: dict[str, list[int]] = {}
    for row in order:
        if not hallucinated[row]:
            free.setdefault(kinds[row], []).append(row)
    left, right = [], []
    for row in order:
        own = free.get(kinds[row], [])
        if hallucinated[row] and own:
            nearest = min(own, key=lambda other: abs(lengths[other] - lengths[row]))
            own.remove(nearest)
            left.append(row)
            right.append(nearest)
    return Pairs(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64))


def paired_gaps(
    values: Float64[np.ndarray, "rows columns"],
    pairs: Pairs,
    groups: Sequence[str],
    *,
    resamples: int,
    permutations: int,
    seed: int,
) -> tuple[list[Estimate], Float64[np.ndarray, " columns"] | None]:
    """Mean of hallucinated less faithful over pairs, for each column: intervals, and two-sided p by sign flips.

    Pairs are resampled by the question of their hallucinated answer. With fewer than ten pairs there is neither. There
    are at least `FINE` permutations for each column, so that a p can be small enough to pass a correction for all.
    """
    columns = values.shape[1]
    if len(pairs) < MIN_PAIRS:
        reason = f"{len(pairs)} pairs of one kind of question, and {MIN_PAIRS} are needed"
        return [Estimate(value=None, low=None, high=None, reason=reason)] * columns, None
    gaps = values[pairs.hallucinated] - values[pairs.faithful]
    own = np.array([groups[row] for row in pairs.hallucinated])
    bootstrap = Bootstrap(own, resamples=resamples, seed=seed)
    found, estimates = gaps.mean(axis=0), bootstrap.ratios(gaps, np.ones((len(gaps), 1)))
    random, permutations = np.random.default_rng(seed), max(permutations, FINE * columns)
    above = np.zeros(columns)
    for start in range(0, permutations, FLIPS):
        signs = 2.0 * random.integers(0, 2, size=(min(FLIPS, permutations - start), len(gaps))) - 1
        above += (np.abs(signs @ gaps / len(gaps)) >= np.abs(found) - 1e-12).sum(axis=0)
    return estimates, (1 + above) / (1 + permutations)
