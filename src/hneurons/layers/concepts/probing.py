"""What directions tell on evaluation sets, beside permuted labels, control tasks, and what the question gives away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.special import expit

from hneurons.errors import ProbeError
from hneurons.layers.concepts.controls import aurocs, band, mean_differences, one_kind
from hneurons.layers.concepts.directions import HOWS, Directions, fit_one
from hneurons.layers.concepts.labels import CONCEPTS, control_labels, labels, permuted_labels
from hneurons.layers.concepts.record import Baseline, Concept, How, Reading, Selectivity
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.logistic import fit_logistic
from hneurons.probes.states import States

N_CONTROL = 10
"""Control tasks: labellings of types, each fitted and tested anew."""
N_REFITS = 20
"""Permutations that a logistic probe is refitted to; differences of means take `MEANS` of them."""
MEANS = 200


@dataclass(frozen=True)
class Asked:
    """Answers with the kind of question and the type that each is of (kind and first answer token, say)."""

    answers: Answers
    kinds: tuple[str, ...]
    types: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.kinds) == len(self.types) == len(self.answers):
            raise ProbeError(f"{self.answers.name}: give a kind and a type for each of the {len(self.answers)} answers")

    @property
    def states(self) -> Float[np.ndarray, "rows layers hidden"] | States:
        """Mean states of the answers, to be read as `states[rows, layer]`."""
        if self.answers.hidden is None:
            raise ProbeError(f"{self.answers.name}: hidden states were not recorded, and probes read them")
        return self.answers.hidden


Boots = Callable[[Answers], Bootstrap]
"""Makes the bootstrap of a set."""


def read_layer(
    directions: Directions, layer: int, fit: Asked, sets: Sequence[Asked], boot: Boots, *, seed: int = 0
) -> list[Reading]:
    """Accuracy and AUROC of every direction of a layer on every set, with the AUROC of fits to permuted labels."""
    found = []
    X, median = fit.states[:, layer], directions.card.entropy_median
    for concept in CONCEPTS:
        y = labels(fit.answers, concept, median)
        nulls = {how: _null_weights(X, y, directions, concept, how, layer, seed) for how in HOWS}
        for asked in sets:
            truth, states = labels(asked.answers, concept, median), asked.states[:, layer]
            why, bootstrap = one_kind(truth, concept), boot(asked.answers)
            for how, weights in nulls.items():
                p = scores(directions, states, concept, layer, how)
                found.append(
                    Reading(
                        concept=concept,
                        how=how,
                        layer=layer,
                        eval_set=asked.answers.name,
                        accuracy=bootstrap.estimate(metrics.accuracy, truth, p),
                        auroc=bootstrap.estimate(metrics.auroc, truth, p, why),
                        permuted=band(aurocs(truth, states.astype(np.float64) @ weights.T)),
                    )
                )
    return found


def scores(
    directions: Directions, states: Float[np.ndarray, "rows hidden"], concept: Concept, layer: int, how: How
) -> Float64[np.ndarray, " rows"]:
    """Readings as numbers between 0 and 1, a half where the reading is 0; the ranking is that of the readings."""
    p: Float64[np.ndarray, " rows"] = expit(directions.readings(states, concept, layer, how))
    return p


def selectivity(
    directions: Directions,
    layer: int,
    fit: Asked,
    dev: Asked,
    sets: Sequence[Asked],
    boot: Boots,
    *,
    draws: int = N_CONTROL,
    seed: int = 0,
) -> list[Selectivity]:
    """The logistic probe of a layer less the same probe on control tasks, on answers of types that were trained on.

    Selectivity is the accuracy on the task less that on the control task (Hewitt & Liang 2019, 2), which a probe can
    only get right where it has learned type by type. The control probe has the C of the probe: other labels, the same
    capacity.
    """
    median, X, X_dev = directions.card.entropy_median, fit.states[:, layer], dev.states[:, layer]
    known, found = set(fit.types), []
    controls: dict[float, list[tuple[np.ndarray, float, int]]] = {}
    for concept in CONCEPTS:
        C = directions.fitted(concept, layer, "logistic").C
        assert C is not None
        if C not in controls:
            controls[C] = [
                (*_fit_control(X, y, X_dev, y_dev, C), draw)
                for draw in range(draws)
                if _both(y := control_labels(fit.types, seed, draw))
                and _both(y_dev := control_labels(dev.types, seed, draw))
            ]
        for asked in sets:
            rows = np.flatnonzero([each in known for each in asked.types])
            covered = len(rows) / max(1, len(asked.types))
            taken = asked.answers.take(rows)
            if not len(rows) or not controls[C]:
                reason = "no answer is of a type that was trained on" if not len(rows) else "there is one type only"
                none = Estimate(value=None, low=None, high=None, reason=reason)
                found.append(
                    Selectivity(
                        concept=concept, layer=layer, eval_set=asked.answers.name, n=len(rows), covered=covered,
                        accuracy=none, control=None, selectivity=none,
                    )
                )  # fmt: skip
                continue
            states, bootstrap = asked.states[rows, layer].astype(np.float64), boot(taken)
            truth = labels(taken, concept, median)
            right = (directions.readings(states, concept, layer, "logistic") >= 0) == truth
            types = [asked.types[row] for row in rows]
            control = np.stack(
                [(states @ unit >= cut) == control_labels(types, seed, draw) for unit, cut, draw in controls[C]]
            )
            found.append(
                Selectivity(
                    concept=concept,
                    layer=layer,
                    eval_set=asked.answers.name,
                    n=len(rows),
                    covered=covered,
                    accuracy=bootstrap.mean(right.astype(np.float64)),
                    control=band(control.mean(axis=1)),
                    selectivity=bootstrap.mean(right - control.mean(axis=0)),
                )
            )
    return found


def baseline(
    directions: Directions, layers: Mapping[Concept, int], fit: Asked, dev: Asked, sets: Sequence[Asked], boot: Boots
) -> list[Baseline]:
    """What kind of question and lengths tell alone, and what the logistic probe of a layer adds to it in AUROC."""
    found, median = [], directions.card.entropy_median
    for concept in CONCEPTS:
        outside = fit_outside(directions, concept, fit, dev)
        for asked in sets:
            truth, bootstrap = labels(asked.answers, concept, median), boot(asked.answers)
            why, q = one_kind(truth, concept), outside(asked)
            p = scores(directions, asked.states[:, layers[concept]], concept, layers[concept], "logistic")
            found.append(
                Baseline(
                    concept=concept,
                    eval_set=asked.answers.name,
                    accuracy=bootstrap.estimate(metrics.accuracy, truth, q),
                    auroc=bootstrap.estimate(metrics.auroc, truth, q, why),
                    gain=bootstrap.difference(metrics.auroc, truth, p, q, why),
                )
            )
    return found


def fit_outside(
    directions: Directions, concept: Concept, fit: Asked, dev: Asked
) -> Callable[[Asked], Float64[np.ndarray, " rows"]]:
    """A logistic model of kind of question and lengths, as what it makes of answers: the chance of the concept."""
    kinds, median = sorted(set(fit.kinds)), directions.card.entropy_median
    y, y_dev = labels(fit.answers, concept, median), labels(dev.answers, concept, median)
    model = fit_logistic(_outside(fit, kinds), y, _outside(dev, kinds), y_dev)
    return lambda asked: model.probabilities(_outside(asked, kinds))


def _outside(asked: Asked, kinds: Sequence[str]) -> Float64[np.ndarray, "rows features"]:
    """Kind of question, one column each, and logarithms of the numbers of answer, response and question words."""
    columns = [np.log1p(asked.answers.read("n_answer", "n_response"))]
    columns.append(np.array([[kind == each for each in kinds] for kind in asked.kinds], dtype=np.float64))
    if asked.answers.questions is not None:
        columns.append(np.log1p([[len(text.split())] for text in asked.answers.questions]))
    return np.concatenate(columns, axis=1)


def _null_weights(
    X: Float[np.ndarray, "rows hidden"],
    y: Bool[np.ndarray, " rows"],
    directions: Directions,
    concept: Concept,
    how: How,
    layer: int,
    seed: int,
) -> Float64[np.ndarray, "draws hidden"]:
    """Directions fitted in the same way to permuted labels of the training answers."""
    if how == "means":
        return mean_differences(X, permuted_labels(y, MEANS, seed))
    C = directions.fitted(concept, layer, "logistic").C
    assert C is not None
    dealt = permuted_labels(y, N_REFITS, seed)
    # with one C there is nothing to choose: what is held out only has to be of both kinds
    return np.stack([fit_logistic(X, each, X[:2], np.array([True, False]), (C,)).weights for each in dealt])


def _fit_control(
    X: Float[np.ndarray, "rows hidden"],
    y: Bool[np.ndarray, " rows"],
    X_dev: Float[np.ndarray, "heldout hidden"],
    y_dev: Bool[np.ndarray, " heldout"],
    C: float,
) -> tuple[Float64[np.ndarray, " hidden"], float]:
    unit, cut, _ = fit_one(X, y, X_dev, y_dev, "logistic", (C,))
    return unit, cut


def _both(y: Bool[np.ndarray, " rows"]) -> bool:
    return bool(y.any() and not y.all())
