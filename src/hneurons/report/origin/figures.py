"""The figures of where H-Neurons come from, each with a sentence that says what it shows."""

from __future__ import annotations

from functools import partial

from hneurons.report.illustration import Illustration
from hneurons.report.origin.drift import draw_drift
from hneurons.report.origin.growth import draw_growth, draw_sets
from hneurons.report.origin.growth_sentences import growth_sentence, sets_sentence
from hneurons.report.origin.reading import directions
from hneurons.report.origin.sentences import drift_sentence, transfer_sentence
from hneurons.report.origin.steps import growth_sets
from hneurons.report.origin.transfer import draw_transfer
from hneurons.study.results import Results


def origin_illustrations(results: Results) -> list[Illustration]:
    """Those that there is something for: `transfer`, `drift`, `growth`, and `growth-sets` where there are several."""
    found = []
    origin, growth = results.origin, results.growth
    if origin is not None and directions(origin):
        found.append(
            Illustration(
                "transfer",
                "The probe on the base model's answers",
                transfer_sentence(results, origin),
                "A panel for every evaluation set: AUROC of the H-Neurons and of rivals as dots with intervals, before "
                "the spreads of random, layer-matched and permuted controls; below it the same at home and forward.",
                partial(draw_transfer, results, origin),
            )
        )
    if origin is not None and origin.drift is not None:
        found.append(
            Illustration(
                "drift",
                "How far tuning moved them",
                drift_sentence(origin.drift),
                "The share of H-Neurons up to each rank of change, their mean rank by every score before bands of "
                "random and layer-matched neurons, and below it mean distances layer by layer with the H-Neurons' own.",
                partial(draw_drift, origin.drift),
            )
        )
    if growth is not None and growth.checkpoints:
        found.append(
            Illustration(
                "growth",
                "Along the pre-training",
                growth_sentence(growth),
                "Three panels over the training steps: AUROC of the H-Neurons before bands of random and "
                "layer-matched neurons, accuracy, and the distance of the H-Neurons' weights to the last checkpoint.",
                partial(draw_growth, growth),
            )
        )
        if len(growth_sets(growth)) > 1:
            found.append(
                Illustration(
                    "growth-sets",
                    "Along the pre-training, set by set",
                    sets_sentence(growth),
                    "A panel for every evaluation set: AUROC of the H-Neurons over the training steps before bands of "
                    "random and layer-matched neurons.",
                    partial(draw_sets, growth),
                )
            )
    return found
