"""Stage 6: the probe beside its controls and its rivals, on every evaluation set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from pydantic import BaseModel, ConfigDict

from hneurons.files import write_json
from hneurons.models.language_model import LanguageModel
from hneurons.probes.answers import Answers
from hneurons.probes.baselines import Addition, adds_to_entropy, baselines
from hneurons.probes.columns import deviations
from hneurons.probes.controls import Control, control_bands, permuted_probes, random_neurons, refit
from hneurons.probes.detectors import Detector, ProbeDetector, recalibrate
from hneurons.probes.labels import Scheme, flat, training_rows
from hneurons.probes.names import H_NEURONS as H_NEURONS
from hneurons.probes.names import MATCHED as MATCHED
from hneurons.probes.names import PERMUTED as PERMUTED
from hneurons.probes.names import PERMUTED_ANSWERS as PERMUTED_ANSWERS
from hneurons.probes.names import RANDOM as RANDOM
from hneurons.probes.names import REFIT as REFIT
from hneurons.probes.path import c_grid
from hneurons.probes.probe import Probe
from hneurons.probes.solution import Solution
from hneurons.probes.table import Detection, detection_table
from hneurons.study.fitting import Fit
from hneurons.study.measuring import Measured, joined, read_measured
from hneurons.study.run import Run, read_record


class Scored(BaseModel):
    """The probe's probability that one answer is hallucinated, and whether it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    probability: float
    hallucinated: bool


class Evaluation(BaseModel):
    """Every detector and every control on every set, and what the H-Neurons add to entropy.

    `details` says of a detector what it was left to choose (a layer, a number of neurons). `scores` are the probe's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detection: tuple[Detection, ...]
    controls: tuple[Control, ...]
    additions: tuple[Addition, ...]
    details: dict[str, str]
    scores: dict[str, tuple[Scored, ...]]


@dataclass(frozen=True)
class Fitted:
    """Every detector that a run fits on its training answers, and the draws of every control, none tested yet.

    `sparse` is the probe itself, the first of `detectors`.
    """

    sparse: Detector
    detectors: tuple[Detector, ...]
    draws: dict[str, Sequence[Detector]]


def evaluation_sets(run: Run) -> dict[str, Answers]:
    """The evaluation sets; one of unanswerable questions with as many faithful answers of another beside its own.

    A set of which nothing is used has no rows.
    """
    own = {name: read_measured(run, name, "test").answers for name in run.config.evaluate}
    found = {}
    for name, parts in evaluation_rows(run, {each: answers.hallucinated for each, answers in own.items()}).items():
        if len(parts) == 1:
            found[name] = own[name]
        else:
            first, second = (own[source].take(rows) for source, rows in parts)
            found[name] = joined(name, first, second)
    return found


def evaluation_rows(
    run: Run, hallucinated: Mapping[str, Bool[np.ndarray, " rows"]]
) -> dict[str, list[tuple[str, Int[np.ndarray, " rows"]]]]:
    """Which rows of which sets each evaluation set is made of, in order; all of its own, where it is of one alone.

    `hallucinated` are the verdicts on the answers of every set, in the order in which they were judged.
    """
    found: dict[str, list[tuple[str, Int[np.ndarray, " rows"]]]] = {}
    for name, chosen in run.config.evaluate.items():
        if chosen.faithful_from is None:
            found[name] = [(name, np.arange(len(hallucinated[name])))]
        else:
            pools = np.arange(len(hallucinated[name])), np.flatnonzero(~hallucinated[chosen.faithful_from])
            n = min(map(len, pools))
            random = np.random.default_rng(run.config.seed)
            first, second = (pool[np.sort(random.permutation(len(pool))[:n])] for pool in pools)
            found[name] = [(name, first), (chosen.faithful_from, second)]
    return found


def fitted_detectors(run: Run) -> Fitted:
    """Fit every baseline and control of a run on its training answers, beside its probe.

    Raises:
        ProbeError: the run's probe cannot be read.
    """
    settings, seed = run.config.controls, run.config.seed
    fit, held = read_measured(run, "train", "fit"), read_measured(run, "train", "dev")
    train, dev = fit.answers, held.answers
    probe = Probe.load(run.probe)
    n_neurons, absent = probe.card.model.n_neurons, probe.card.model.absent
    hneurons = flat(probe.hneurons, n_neurons)
    sparse = replace(recalibrate(ProbeDetector(H_NEURONS, solution_of(probe)), dev), name=H_NEURONS)
    draws: dict[str, Sequence[Detector]] = {
        RANDOM: random_neurons(hneurons, n_neurons, train, dev, draws=settings.n_random, absent=absent, seed=seed),
        MATCHED: random_neurons(
            hneurons,
            n_neurons,
            train,
            dev,
            draws=settings.n_layer_matched,
            layer_matched=True,
            absent=absent,
            seed=seed,
        ),
        PERMUTED: _permuted(run, n_neurons, fit, dev, run.config.probe.scheme),
    }
    if run.config.probe.scheme != "1-vs-1":
        draws[PERMUTED_ANSWERS] = _permuted(run, n_neurons, fit, dev, "1-vs-1")
    return Fitted(sparse, (sparse, refit(hneurons, train, dev, REFIT), *baselines(train, dev)), draws)


def evaluate(run: Run, model: LanguageModel) -> None:
    """Fit every control and baseline on the training answers, test all of them, and write it down, once."""
    if run.detection.exists():
        return
    settings, seed = run.config.controls, run.config.seed
    Probe.load(run.probe).require(model.fingerprint)
    dev = read_measured(run, "train", "dev").answers
    sets = list(evaluation_sets(run).values())
    fitted = fitted_detectors(run)
    found = Evaluation(
        detection=tuple(detection_table(fitted.detectors, sets, resamples=settings.n_bootstrap, seed=seed)),
        controls=tuple(control for name, each in fitted.draws.items() for control in control_bands(name, each, sets)),
        additions=tuple(adds_to_entropy(fitted.sparse, dev, sets, resamples=settings.n_bootstrap, seed=seed)),
        details={each.name: str(detail) for each in fitted.detectors if (detail := getattr(each, "detail", ""))},
        scores=_scores(run, fitted.sparse),
    )
    write_json(run.detection, found.model_dump(mode="json"))


def _permuted(run: Run, n_neurons: int, fit: Measured, dev: Answers, scheme: Scheme) -> list[ProbeDetector]:
    """The whole pipeline on permuted labels, on a grid of C of this scheme's own."""
    settings, train = run.config.probe, fit.answers
    rows = training_rows(scheme, train.hallucinated, train.groups, fit.has_other)
    X = rows.matrix(train.contributions, fit.other)
    return permuted_probes(
        X,
        rows,
        train,
        dev,
        c_grid(X, rows.y, settings.n_grid, settings.span, scale=settings.scale),
        n_neurons,
        permutations=run.config.controls.n_permuted,
        max_ratio=settings.max_ratio,
        deviation=deviations(X) if settings.scale == "std" else None,
        seed=run.config.seed,
    )


def _scores(run: Run, detector: Detector) -> dict[str, tuple[Scored, ...]]:
    scores = {}
    for name in run.config.evaluate:
        measured = read_measured(run, name, "test")
        values = detector.scores(measured.answers)
        scores[name] = tuple(
            Scored(key=answer.key, probability=float(value), hallucinated=answer.hallucinated)
            for answer, value in zip(measured.judged, values, strict=True)
        )
    return scores


def solution_of(probe: Probe) -> Solution:
    """A saved probe as a solution on flat neuron numbers."""
    indices = flat(probe.neurons, probe.card.model.n_neurons)
    return Solution(probe.card.C, indices, probe.weights, probe.card.intercept, probe.card.violation, 0)


def read_fit(run: Run) -> Fit:
    """What stage 5 wrote."""
    return read_record(run.fit, Fit)


def read_evaluation(run: Run) -> Evaluation:
    """What `evaluate` wrote."""
    return read_record(run.detection, Evaluation)
