"""The methods of a run, with settings that are chosen on held-out training questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hneurons.compliance.settings import SweepSettings
from hneurons.errors import HNeuronsError, InterventionError, ModelError, NotEnoughDataError, ProbeError, ResponseError
from hneurons.kept import Arrays, kept
from hneurons.layers.concepts.directions import fit_directions
from hneurons.layers.mitigation.abstaining import by_probe, by_surprise, lowest_threshold, scores
from hneurons.layers.mitigation.comparing import VERDICTS
from hneurons.layers.mitigation.harness import answer
from hneurons.layers.mitigation.methods import Method, contrasted, gated, recalibrated, scaled, steered, unchanged
from hneurons.layers.mitigation.methods import withheld as held_back
from hneurons.layers.mitigation.record import Tried
from hneurons.layers.mitigation.tuning import KEPT, Outcome, choose, listed
from hneurons.responses.judging import judge
from hneurons.responses.response import Verdict
from hneurons.responses.sampling import sample
from hneurons.study.layers.mitigation_terms import TUNING, Terms
from hneurons.study.layers.work import LayersWork
from hneurons.study.measuring import read_measured
from hneurons.study.sweep_plan import find_gate

STRENGTHS = (0.05, 0.1, 0.2)
"""Of steering, in lengths of the stream; mildest first, as everything that is tried."""
FACTORS = (2.0, 4.0, 8.0)
"""Of attention to the source."""
N_EARLY = 3
"""Early layers that are contrasted with, at most; and the farthest of them at every position."""

ZERO, HALF, GATED = "H-Neurons × 0", "H-Neurons × 0.5", "H-Neurons × 0, gated"
STEERING, ATTENTION, CONTRAST = "Steering", "Attention to the source", "Contrastive decoding"
BY_PROBE, BY_SURPRISE = "Silence, by the probe", "Silence, by token probability"


@dataclass(frozen=True)
class Towards:
    """Steering at one layer with one strength."""

    method: Method
    layer: int
    strength: float


@dataclass(frozen=True)
class Tuned:
    """What was chosen: the methods that are compared, the one of steering among them, and all that was tried.

    `layers` is steering with the largest strength at every layer, whatever was chosen; `missing` says what could not
    be had, and why.
    """

    methods: tuple[Method, ...]
    steering: Towards | None
    layers: tuple[Towards, ...]
    tried: tuple[Tried, ...]
    missing: Mapping[str, str]


def tune(work: LayersWork, terms: Terms) -> Tuned:
    """Choose the settings of every method that has any."""
    missing: dict[str, str] = {}
    steps = _steered(work, missing)
    families = {STEERING: [each.method for each in steps]} if steps else {}
    families |= _families(work, missing)
    for name, family in list(families.items()):
        if reason := _refusal(work, terms, family[0]):
            missing[name] = reason
            del families[name]
    settings = [unchanged(), *(each for family in families.values() for each in family)]
    shares = iter(_shares(work, terms, settings))
    intact, _ = next(shares)
    chosen: dict[str, int] = {}
    notes: list[Tried] = []
    for name, family in families.items():
        outcomes = [Outcome(each, *next(shares)) for each in family]
        chosen[name] = choose(outcomes, intact)
        notes += listed(outcomes, chosen[name])
    picked = [families[name][k] for name, k in chosen.items()]
    return Tuned(
        methods=(*_turned(work, missing), *picked, *_silent(work, terms, notes, missing)),
        steering=steps[chosen[STEERING]] if STEERING in chosen else None,
        layers=tuple(each for each in steps if each.strength == STRENGTHS[-1]) if STEERING in chosen else (),
        tried=tuple(notes),
        missing=missing,
    )


def _families(work: LayersWork, missing: dict[str, str]) -> dict[str, list[Method]]:
    """Attention and contrast: all settings of each."""
    families = {ATTENTION: [recalibrated(ATTENTION, factor) for factor in FACTORS]}
    if (n_layers := work.model.n_layers) < 2:
        missing[CONTRAST] = "the model has one layer, and none before it to contrast with"
        return families
    early = sorted({round(each) for each in np.linspace(0, n_layers - 2, min(N_EARLY, n_layers - 1))})
    families[CONTRAST] = [contrasted(CONTRAST, layer) for layer in early]
    if len(early) > 1:
        families[CONTRAST].append(contrasted(CONTRAST, tuple(early)))
    return families


def _steered(work: LayersWork, missing: dict[str, str]) -> list[Towards]:
    """Steering towards factual answers: at every layer with the least strength, then with the next."""
    model = work.model
    try:
        found = fit_directions(
            read_measured(work.run, "train", "fit").answers,
            read_measured(work.run, "train", "dev").answers,
            model.fingerprint,
            concepts=("factuality",),
            hows=("means",),
        )
    except ProbeError as error:
        missing[STEERING] = str(error)
        return []
    return [
        Towards(steered(STEERING, layer, found.direction("factuality", layer), strength), layer, strength)
        for strength in STRENGTHS
        for layer in range(model.n_layers)
    ]


def _turned(work: LayersWork, missing: dict[str, str]) -> list[Method]:
    """The H-Neurons turned: everywhere, and behind the gate of a sweep."""
    probe = work.probe
    methods = [scaled(ZERO, probe.hneurons, 0.0), scaled(HALF, probe.hneurons, 0.5)]
    try:
        gate = find_gate(work.run, work.model, probe, SweepSettings().gate_quantile)
    except (InterventionError, NotEnoughDataError) as error:
        missing[GATED] = str(error)
        return methods
    return [*methods, gated(GATED, probe, gate.threshold, 0.0)]


def _refusal(work: LayersWork, terms: Terms, method: Method) -> str:
    """Why a method cannot be had of this model; empty where it can."""
    put = terms.tuning[0]
    try:
        answer(work.model, method, [put.prompt], [put.shown], terms.sampling.model_copy(update={"max_new_tokens": 2}))
    except (InterventionError, ModelError) as error:
        return str(error)
    return ""


def _shares(work: LayersWork, terms: Terms, methods: Sequence[Method]) -> list[tuple[float, float]]:
    """Shares of the held-out questions that each method answers right, and hallucinates on."""
    tasks = [(method, number) for method in methods for number in range(len(terms.chunks[TUNING]))]

    def ask(task: tuple[Method, int]) -> Arrays:
        return terms.ask(task[0], TUNING, task[1])

    parts = kept(terms.folder("tuning", methods), tasks, ask, work.engine, "choosing settings")
    found = []
    for method in methods:
        own = [part["verdicts"] for (asked, _), part in zip(tasks, parts, strict=True) if asked is method]
        codes = np.concatenate(own)
        found.append((_share(codes, "correct"), _share(codes, "incorrect")))
    return found


def _share(codes: np.ndarray, verdict: Verdict) -> float:
    return float((codes == VERDICTS.index(verdict)).mean())


def _silent(work: LayersWork, terms: Terms, notes: list[Tried], missing: dict[str, str]) -> list[Method]:
    """Abstention, each score with the lowest threshold that the rule allows."""
    model, probe = work.model, work.probe

    def ask(numbers: np.ndarray) -> Arrays:
        puts = [terms.tuning[i] for i in numbers]
        responses = [each for (each,) in sample(model, [put.prompt for put in puts], terms.sampling)]
        read = scores(model, probe, [put.shown for put in puts], responses)
        verdicts = [judge(each.text, put.question) for each, put in zip(responses, puts, strict=True)]
        codes = np.array([VERDICTS.index(each) for each in verdicts], dtype=np.int8)
        return {"probe": read[0], "surprise": read[1], "verdicts": codes}

    folder = terms.folder("scores", ())
    try:
        parts = kept(folder, list(terms.chunks[TUNING]), ask, work.engine, "scoring held-out answers")
    except ResponseError as error:
        missing[BY_PROBE] = missing[BY_SURPRISE] = str(error)
        return []
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("probe", "surprise", "verdicts")}
    right, wrong = (joined["verdicts"] == VERDICTS.index(each) for each in ("correct", "incorrect"))
    made = []
    for name, score, by in ((BY_PROBE, "probe", by_probe(probe)), (BY_SURPRISE, "surprise", by_surprise(probe))):
        try:
            threshold = lowest_threshold(joined[score], right, KEPT)
        except HNeuronsError as error:
            missing[name] = str(error)
            continue
        stands = ~(joined[score] > threshold)
        made.append(held_back(name, by, threshold))
        shares = float((right & stands).mean()), float((wrong & stands).mean())
        notes += listed([Outcome(made[-1], *shares)], 0)
    return made
