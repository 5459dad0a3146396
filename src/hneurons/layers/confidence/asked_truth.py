"""What P(True) tells on one set, beside what is left of it where the answer shown is another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from hneurons.layers.confidence.record import AskedTruth
from hneurons.layers.confidence.sampled import permuted_aurocs, permuted_labels, two_sided
from hneurons.probes import metrics
from hneurons.probes.bootstrap import Bootstrap, single_class


@dataclass(frozen=True)
class TruthRows:
    """Answers that were asked about: P(True) and the mass of the words, with the own answer and with a swapped one.

    `swapped` is NaN where no other answer could be put in the place of the own.
    """

    hallucinated: Bool[np.ndarray, " rows"]
    groups: Shaped[np.ndarray, " rows"]
    own: Float64[np.ndarray, " rows"]
    swapped: Float64[np.ndarray, " rows"]
    mass: Float64[np.ndarray, " rows"]


def asked_truth(
    eval_set: str, rows: TruthRows, *, resamples: int = 1000, permutations: int = 1000, seed: int = 0
) -> AskedTruth:
    """AUROC of 1 - P(True) for hallucination with its controls.

    Args:
        eval_set: its name.
        rows: of the set.
        resamples: of groups, for intervals.
        permutations: of labels, for a p-value.
        seed: of both.
    """
    y, doubt = rows.hallucinated, 1 - rows.own
    bootstrap = Bootstrap(rows.groups, resamples=resamples, seed=seed)
    auroc = bootstrap.estimate(metrics.auroc, y, doubt, single_class(y))
    both = np.isfinite(rows.swapped)
    swapped_from = Bootstrap(rows.groups[both], resamples=resamples, seed=seed) if both.any() else bootstrap
    faithful = both & ~y
    groups = np.concatenate([rows.groups[faithful]] * 2)
    is_swapped = np.repeat([True, False], faithful.sum())
    shown = np.concatenate([1 - rows.swapped[faithful], 1 - rows.own[faithful]])
    nothing = "no answer could be swapped"
    seen = Bootstrap(groups, resamples=resamples, seed=seed) if faithful.any() else bootstrap
    chance = None
    if auroc.value is not None:
        labels = permuted_labels(y, rows.groups, permutations, seed)
        chance = two_sided(permuted_aurocs(labels, doubt), auroc.value)
    return AskedTruth(
        eval_set=eval_set,
        n=len(y),
        auroc=auroc,
        swapped=(
            swapped_from.estimate(metrics.auroc, y[both], 1 - rows.swapped[both], single_class(y[both]))
            if both.any()
            else bootstrap.interval(float("nan"), np.zeros(0), nothing)
        ),
        sees_answer=(
            seen.estimate(metrics.auroc, is_swapped, shown)
            if faithful.any()
            else bootstrap.interval(float("nan"), np.zeros(0), nothing)
        ),
        chance=chance,
        p_true=float(rows.own.mean()),
        mass=float(rows.mass.mean()),
    )
