"""What the tables of an origin show, cell by cell, in the report and in the terminal alike."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from hneurons.origins.record import Drift, LayerDrift, Origin
from hneurons.probes.controls import Band
from hneurons.report.numbers import NONE, address, count, counted, decimal, p_value, spread
from hneurons.report.origin.drift import ordered as ordered_tests
from hneurons.report.origin.reading import (
    OURS,
    PAPER,
    Place,
    auroc,
    control_draws,
    detectors,
    directions,
    rank_p,
    spared,
    transfer_findings,
)
from hneurons.report.views import Cell, Kind, drawn, plain, share
from hneurons.report.wording import in_words
from hneurons.study.results import Results

PLACES: tuple[Place, ...] = ("backward", "native", "forward")
CHANGE = {"holds": "less", "opposite": "MORE", "fails": "NOT less", "undefined": NONE}
TOLD = 200
"""H-Neurons that the report lists."""


@dataclass(frozen=True)
class AskedLine:
    """What the base model made of one set; `left_out` in words."""

    eval_set: str
    questions: str
    right: str
    wrong: str
    declined: str
    accuracy: Cell
    faithful: str
    hallucinated: str
    left_out: tuple[tuple[str, str], ...]


def asked_lines(origin: Origin) -> list[AskedLine]:
    """The base model's answers, set by set."""
    return [
        AskedLine(
            each.eval_set,
            count(each.questions),
            count(each.verdicts.get("correct", 0)),
            count(each.verdicts.get("incorrect", 0)),
            count(each.verdicts.get("refusal", 0)),
            share(each.accuracy),
            count(each.faithful),
            count(each.hallucinated),
            tuple((in_words(reason), count(n)) for reason, n in each.left_out.items() if n),
        )
        for each in origin.asked
    ]


@dataclass(frozen=True)
class Setting:
    """How the base model was asked, one thing at a time, spelled out so that blanks are seen."""

    name: str
    value: str


def how_asked(origin: Origin) -> list[Setting]:
    """Prompt and stops; strings as JSON writes them, since they hold line breaks."""
    stops = ", ".join(json.dumps(each, ensure_ascii=False) for each in origin.stop) or "none"
    told = [Setting(name, json.dumps(value, ensure_ascii=False)) for name, value in origin.prompt.items() if value]
    return [*told, Setting("stop", stops)]


@dataclass(frozen=True)
class TransferLine:
    """A detector, or a control, on one set at all three places; `verdict` and `rank` are of the backward transfer."""

    name: str
    note: str
    kind: Kind
    backward: Cell
    native: Cell
    forward: Cell
    rank: str
    verdict: str


def transfer_lines(results: Results, origin: Origin, eval_set: str) -> list[TransferLine]:
    """The H-Neurons first, then their rivals, then the controls; a dash where something was not applied."""
    names: dict[str, None] = {}
    for transfer in directions(origin).values():
        names |= dict.fromkeys(detectors(transfer))
    lines = []
    for name in names:
        backward, native, forward = (_figure(results, origin, place, eval_set, name) for place in PLACES)
        kind: Kind = "ours" if name in OURS else "rival"
        lines.append(TransferLine(name, "", kind, backward, native, forward, "", ""))
    held = {place: control_draws(results, origin, place, eval_set) for place in PLACES}
    controls = dict.fromkeys(name for place in PLACES if place != "native" for name in held[place])
    verdicts = _verdicts(origin, eval_set)
    for name in controls:
        bands = [held[place].get(name) for place in PLACES]
        backward, native, forward = (Cell(NONE) if each is None else drawn(each.auroc, shares=False) for each in bands)
        number = max(each.draws for each in bands if each is not None)
        rank, verdict = verdicts.get(name, ("", ""))
        lines.append(TransferLine(name, counted(number, "draw"), "control", backward, native, forward, rank, verdict))
    return lines


def _figure(results: Results, origin: Origin, place: Place, eval_set: str, detector: str) -> Cell:
    found = auroc(results, origin, place, eval_set, detector)
    return Cell(NONE) if found is None else plain(found)


def _verdicts(origin: Origin, eval_set: str) -> dict[str, tuple[str, str]]:
    """Rank among the draws of each control, and whether the H-Neurons are above them, on the base model's answers."""
    transfer = origin.backward
    if transfer is None:
        return {}
    words = {True: "above", False: "NOT above", None: NONE}
    bands = {each.control: each.auroc for each in transfer.controls if each.eval_set == eval_set}
    empty = Band(mean=None, low=None, high=None, values=())
    return {
        each.control: (p_value(rank_p(each.auroc, bands.get(each.control, empty))), words[each.above])
        for each in transfer_findings(transfer, eval_set)
    }


@dataclass(frozen=True)
class RankLine:
    """One score's test; `less` and `more` are one-sided p-values."""

    score: str
    kind: Kind
    mean_rank: Cell
    t_p: str
    random: str
    random_less: str
    random_more: str
    matched: str
    matched_less: str
    matched_more: str
    verdict: str


def rank_lines(drift: Drift) -> list[RankLine]:
    """The tests, the paper's score first; the verdict is that of the same layers."""
    return [
        RankLine(
            each.score,
            "ours" if each.score == PAPER else "rival",
            plain(each.mean_rank),
            p_value(each.t_p),
            *_against(each.random, each.random_p, each.random_p_more),
            *_against(each.matched, each.matched_p, each.matched_p_more),
            CHANGE[spared(each)],
        )
        for each in ordered_tests(drift)
    ]


def _against(band: Band, less: float, more: float) -> tuple[str, str, str]:
    if band.low is None:
        return NONE, NONE, NONE
    return spread(band.low, band.high), p_value(less), p_value(more)


@dataclass(frozen=True)
class NeuronLine:
    """How far tuning moved one H-Neuron."""

    address: str
    up: str
    gate: str
    down: str
    score: str
    rank: str
    layer_rank: str


def neuron_lines(drift: Drift) -> list[NeuronLine]:
    """The H-Neurons that changed most first, at most `TOLD` of them."""
    found = sorted(drift.hneurons, key=lambda each: (each.rank, each.neuron))[:TOLD]
    return [
        NeuronLine(
            address(each.neuron),
            distance(each.up),
            distance(each.gate),
            distance(each.down),
            decimal(each.score, 2),
            decimal(each.rank),
            decimal(each.layer_rank),
        )
        for each in found
    ]


@dataclass(frozen=True)
class LayerLine:
    """Mean distances of one layer."""

    layer: str
    hneurons: str
    up: str
    gate: str
    down: str
    mean_rank: str


def layer_lines(drift: Drift) -> list[LayerLine]:
    """The layers from the first to the last."""
    held = Counter(each.neuron[0] for each in drift.hneurons)

    def line(each: LayerDrift) -> LayerLine:
        return LayerLine(
            f"{each.layer}",
            count(held[each.layer]),
            distance(each.up),
            distance(each.gate),
            distance(each.down),
            decimal(each.mean_rank),
        )

    return [line(each) for each in drift.layers]


def distance(value: float | None) -> str:
    """A cosine distance in three significant digits."""
    return NONE if value is None else f"{value:#.3g}" if value else "0"
