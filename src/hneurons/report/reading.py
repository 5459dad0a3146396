"""What the report asks of a `Results` record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from hneurons.probes.baselines import Addition
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Control
from hneurons.probes.labels import Neuron
from hneurons.probes.stability import Frequency, wilson
from hneurons.probes.table import Detection
from hneurons.study.evaluating import H_NEURONS, MATCHED, PERMUTED, PERMUTED_ANSWERS, RANDOM, REFIT
from hneurons.study.results import Comparison, Results

CONTROLS = (RANDOM, MATCHED, PERMUTED, PERMUTED_ANSWERS)
ENTROPY = "token entropy"
CUT = 0.5
"""Probability from which the report calls an answer flagged."""


def eval_sets(results: Results) -> list[str]:
    """The evaluation sets in the order in which they were evaluated."""
    return list(dict.fromkeys(row.eval_set for row in results.evaluation.detection))


def set_names(results: Results) -> list[str]:
    """Every question set, the training set first."""
    return ["train", *eval_sets(results)]


def detections(results: Results, eval_set: str) -> list[Detection]:
    """Every detector on one set, highest AUROC first, or highest share flagged where AUROC is not defined."""
    rows = [row for row in results.evaluation.detection if row.eval_set == eval_set]
    return sorted(rows, key=lambda row: -(figure_of(row).value or 0.0))


def detection(results: Results, eval_set: str, detector: str = H_NEURONS) -> Detection:
    """One detector on one set.

    Raises:
        KeyError: it was not evaluated there.
    """
    for row in results.evaluation.detection:
        if (row.eval_set, row.detector) == (eval_set, detector):
            return row
    raise KeyError(f"{detector} was not evaluated on {eval_set}")


def rivals(results: Results, eval_set: str) -> list[Detection]:
    """The baselines on one set, best first: every detector that reads something else than the H-Neurons."""
    return [row for row in detections(results, eval_set) if row.detector not in (H_NEURONS, REFIT)]


def landmarks(results: Results, eval_set: str) -> list[Detection]:
    """The baselines that a reader asks for first: the best one, and entropy."""
    every = [row for row in rivals(results, eval_set) if row.auroc.value is not None]
    return [row for row in every if row is every[0] or row.detector == ENTROPY]


def controls(results: Results, eval_set: str) -> dict[str, Control]:
    """What chance gives on one set, by kind of control."""
    found = {each.control: each for each in results.evaluation.controls if each.eval_set == eval_set}
    return {name: found[name] for name in CONTROLS if name in found}


def comparisons(results: Results, eval_set: str) -> list[Comparison]:
    """The H-Neurons against random ones on one set."""
    return [each for each in results.comparisons if each.eval_set == eval_set]


def addition(results: Results, eval_set: str) -> Addition | None:
    """What the H-Neurons add to entropy on one set."""
    return next((each for each in results.evaluation.additions if each.eval_set == eval_set), None)


def ranked(results: Results, eval_set: str) -> bool:
    """Whether a set holds both kinds of answers, so that AUROC means something."""
    return detection(results, eval_set).auroc.value is not None


def figure_of(row: Detection) -> Estimate:
    """AUROC, or the share flagged where there is nothing to rank."""
    return row.flagged if row.auroc.value is None else row.auroc


def weights(results: Results) -> dict[Neuron, float]:
    """The H-Neurons with their weights, heaviest first."""
    return dict(zip(results.probe.neurons, results.probe.weights, strict=True))


def frequencies(results: Results) -> list[Frequency]:
    """How often each H-Neuron is selected over the resamples, most often first; also those that never are.

    Empty where no resample reached the chosen C.
    """
    fit = results.fit
    found = {each.neuron: each for each in fit.frequencies}
    resamples = next(iter(found.values())).resamples if found else fit.stability[fit.chosen].resamples
    if not resamples:
        return []
    low, high = wilson(0, resamples)

    def never(neuron: Neuron) -> Frequency:
        return Frequency(neuron=neuron, selected=0, resamples=resamples, share=0.0, low=low, high=high)

    every = [found.get(each) or never(each) for each in results.probe.neurons]
    return sorted(every, key=lambda each: (-each.selected, each.neuron))


def others_selected(results: Results, at_least: float = 0.5) -> list[Frequency]:
    """Neurons that are no H-Neurons and yet are selected in at least this share of the resamples."""
    chosen = set(results.probe.neurons)
    return [each for each in results.fit.frequencies if each.neuron not in chosen and each.share >= at_least]


def faithful_from(results: Results, eval_set: str) -> str:
    """The set whose right answers stand beside the hallucinations of this one; empty where it has its own."""
    return results.config["evaluate"][eval_set].get("faithful_from") or ""


@dataclass(frozen=True)
class Scores:
    """The probe's probabilities on one set, with the truth."""

    p: Float64[np.ndarray, " answers"]
    hallucinated: Bool[np.ndarray, " answers"]


def scores(results: Results, eval_set: str) -> Scores:
    """Probabilities on one set, with the faithful answers of another beside them where the set was evaluated so."""
    every = results.evaluation.scores
    found = list(every[eval_set])
    if source := faithful_from(results, eval_set):
        found += [each for each in every[source] if not each.hallucinated]
    p = np.array([each.probability for each in found], dtype=np.float64)
    return Scores(p, np.array([each.hallucinated for each in found], dtype=np.bool_))
