"""An invented record of directions: three sets, on one of which all answers are hallucinated."""

from __future__ import annotations

from typing import Any

import numpy as np

from hneurons.layers.concepts.record import (
    Angle,
    Band,
    Baseline,
    Concepts,
    Effect,
    FittedDirection,
    Grouping,
    Moved,
    Pictured,
    Reading,
    Removed,
    Selectivity,
    SetShares,
    Steering,
    Transfer,
)
from hneurons.probes.bootstrap import Estimate

LAYERS = 4
SETS = ("in-domain", "long-tail", "invented")
NONE = Estimate(value=None, low=None, high=None, reason="all 60 answers are hallucinated")


def about(value: float, half: float = 0.03) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def spread(low: float, high: float, n: int = 20) -> Band:
    return Band(mean=(low + high) / 2, low=low, high=high, n=n)


def make_concepts(**changes: Any) -> Concepts:
    """Factuality rises over the layers to 0.8, uncertainty to 0.9; control tasks are learned better."""
    random = np.random.default_rng(0)
    both = [name for name in SETS if name != "invented"]
    readings, selectivity, baselines, removed, transfers, fitted = [], [], [], [], [], []
    for concept, top in (("factuality", 0.8), ("uncertainty", 0.9)):
        for layer in range(LAYERS):
            height = 0.5 + (top - 0.5) * (layer + 1) / LAYERS
            for how in ("means", "logistic"):
                value = height if how == "logistic" else (0.5 + height) / 2
                fitted.append(
                    FittedDirection(
                        concept=concept, how=how, layer=layer, C=0.1 if how == "logistic" else None, scale=2.0,
                        accuracy=value - 0.1, auroc=value + 0.05,
                    )
                )  # fmt: skip
                for name in SETS:
                    alone = name == "invented" and concept == "factuality"
                    readings.append(
                        Reading(
                            concept=concept, how=how, layer=layer, eval_set=name, accuracy=about(value - 0.1),
                            auroc=NONE if alone else about(value), permuted=None if alone else spread(0.43, 0.57),
                        )
                    )  # fmt: skip
            for name in SETS:
                known = name != "long-tail"
                nothing = NONE.model_copy(update={"reason": "no answer is of a type that was trained on"})
                selectivity.append(
                    Selectivity(
                        concept=concept, layer=layer, eval_set=name, n=50 * known, covered=0.9 * known,
                        accuracy=about(height - 0.1) if known else nothing,
                        control=spread(0.7, 0.8, 10) if known else None,
                        selectivity=about(height - 0.85) if known else nothing,
                    )
                )  # fmt: skip
        for name in SETS:
            alone = name == "invented" and concept == "factuality"
            own = {"auroc": NONE, "gain": NONE} if alone else {"auroc": about(0.58), "gain": about(top - 0.58)}
            baselines.append(Baseline(concept=concept, eval_set=name, accuracy=about(0.55), **own))
    for layer in range(LAYERS):
        removed += [
                Removed(
                    layer=layer, eval_set=name, before=about(0.65), after=about(0.6), difference=about(-0.05),
                    refit_before=about(0.7 + 0.02 * layer), refit=about(0.66 + 0.02 * layer),
                    refit_control=spread(0.7, 0.74, 5), uncertainty_left=about(0.5, 0), within=about(0.62),
                    outside_within=about(0.55), within_gain=about(0.07),
                    entropy=about(0.75), entropy_within=about(0.51),
                )
            for name in both
        ]  # fmt: skip
    for source in ("train", *both):
        transfers += [
                Transfer(
                    concept="factuality", layer=3, fitted_on=source, tested_on=target,
                    auroc=about(0.7 if source == target else 0.6), cosine=1.0 if source == target else 0.4,
                )
            for target in ("train", *both)
        ]  # fmt: skip
    pictures = []
    for layer in (0, 2, 3):
        for how in ("pca", "umap"):
            points = random.normal(size=(40, 2)).round(2)
            own = Grouping(
                purity=about(0.54), purity_permuted=spread(0.48, 0.52, 200), silhouette=0.02,
                silhouette_permuted=spread(-0.01, 0.01, 200),
            )  # fmt: skip
            full = own.model_copy(update={"purity": about(0.58)})
            pictures.append(
                Pictured(
                    how=how, layer=layer, eval_set="in-domain", n_fitted=100, n=60,
                    explained=(0.4, 0.1) if how == "pca" else None, trustworthiness=0.9, flat=own, full=full,
                    points=tuple((float(x), float(y), bool(row % 2)) for row, (x, y) in enumerate(points)),
                )
            )  # fmt: skip
    values: dict[str, Any] = {
        "n_layers": LAYERS, "hidden_size": 16, "n_fit": 100, "n_dev": 50, "entropy_median": 0.2,
        "label_correlation": -0.48, "n_types": 12, "directory": "layers/concepts/directions",
        "best": {"factuality": 3, "uncertainty": 3},
        "sets": tuple(
            SetShares(
                name=name, n=60, n_groups=55, factual=0.0 if name == "invented" else 0.5, uncertain=0.7
            )
            for name in SETS
        ),
        "fitted": tuple(fitted), "readings": tuple(readings), "selectivity": tuple(selectivity),
        "baselines": tuple(baselines),
        "angles": tuple(
            Angle(
                layer=layer, cosine=about(-0.8, 0.05), independent=spread(-0.4, 0.4, 500),
                together=spread(-0.6, -0.3, 500), logistic=-0.4,
            )
            for layer in range(LAYERS)
        ),
        "removed": tuple(removed), "transfers": tuple(transfers), "pictures": tuple(pictures),
        "steering": make_steering(), "missing": {},
    }  # fmt: skip
    return Concepts(**{**values, **changes})


def make_steering(sign: int = 1, gain: float = -0.2) -> Steering:
    """Every layer steered; `sign` is how the reading follows, `gain` what right answers change by beyond controls."""
    moved = []
    for layer in range(LAYERS):
        for strength in (2.0, -2.0):
            for control in ("random", "permuted"):
                reading = {
                    later: Effect(
                        value=about(sign * strength * 0.8 ** (later - layer)), control=spread(-0.2, 0.2, 8),
                        difference=about(sign * strength * 0.8 ** (later - layer)),
                    )
                    for later in range(layer, LAYERS)
                }  # fmt: skip
                effect = Effect(value=about(gain - 0.1), control=spread(-0.3, 0.1, 8), difference=about(gain))
                moved.append(
                    Moved(
                        layer=layer, strength=strength, control=control, reading=reading, log_prob=effect,
                        entropy=effect, correct=effect, given=effect,
                    )
                )  # fmt: skip
    return Steering(eval_set="in-domain", n_faithful=30, n_forks=28, n_draws=8, moved=tuple(moved))
