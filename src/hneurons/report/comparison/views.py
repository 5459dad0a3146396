"""What the tables of a comparison show, cell by cell, on its page and in the terminal alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.report.comparison.reading import size
from hneurons.report.numbers import NONE, count, decimal, p_value, points_spread, regular, spread
from hneurons.report.sweep.views import VERDICTS, moved
from hneurons.report.views import Cell, plain
from hneurons.study.side_by_side import AskedAlike, OriginFound, RunFound, SideBySide

ABOVE = {True: "above", False: "NOT above", None: NONE}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class RunLine:
    """One run: its model, its H-Neurons, and how stable and how deep they are."""

    number: str
    label: str
    model: str
    parameters: str
    layers: str
    neurons: str
    hneurons: str
    per_mille: str
    C: str
    jaccard: str
    depth: Cell


def run_lines(found: SideBySide) -> list[RunLine]:
    """Every run, in the order in which they were given."""
    return [
        RunLine(
            number,
            run.label,
            run.model.name,
            size(run.parameters),
            count(run.model.n_layers),
            count(run.n_neurons),
            count(run.n_hneurons),
            decimal(run.per_mille, 2),
            regular(run.C),
            decimal(run.jaccard, 2),
            two(run.mean_depth),
        )
        for number, run in numbered(found)
    ]


@dataclass(frozen=True)
class SetLine:
    """One run on one evaluation set. `group` tells apart who was asked other questions; empty where all are alike."""

    number: str
    label: str
    group: str
    answers: str
    probe: Cell
    refit: Cell
    random: str
    random_verdict: str
    matched: str
    matched_verdict: str
    best: str
    best_auroc: Cell


def set_lines(found: SideBySide, name: str) -> list[SetLine]:
    """The runs that were evaluated on a set."""
    lines = []
    for number, run in numbered(found):
        if (each := run.sets.get(name)) is None:
            continue
        lines.append(
            SetLine(
                number,
                run.label,
                group(found.sets, name, run.label),
                count(each.answers),
                plain(each.probe),
                plain(each.refit),
                _band(each.random),
                ABOVE[each.beats_random],
                _band(each.layer_matched),
                ABOVE[each.beats_layer_matched],
                each.best or NONE,
                plain(each.best_auroc) if each.best_auroc else Cell(NONE),
            )
        )
    return lines


@dataclass(frozen=True)
class SlopeLine:
    """A slope of one run, in points per unit of alpha, beside the span of its control sets."""

    number: str
    label: str
    group: str
    slope: Cell
    random: str
    matched: str
    verdict: str


def average_lines(found: SideBySide) -> list[SlopeLine]:
    """The average slope of every run that was swept; what it is beyond is told benchmark by benchmark."""
    return [
        _slope_line(number, run, "", turning.average, turning.average_random, turning.average_layer_matched, None)
        for number, run in numbered(found)
        if (turning := run.turning) is not None
    ]


def benchmark_lines(found: SideBySide, name: str) -> list[SlopeLine]:
    """The slopes on one benchmark of the runs that were swept on it."""
    return [
        _slope_line(
            number, run, group(found.benchmarks, name, run.label), each.slope, each.random, each.layer_matched,
            each.beyond,
        )
        for number, run in numbered(found)
        if run.turning is not None and (each := run.turning.benchmarks.get(name)) is not None
    ]  # fmt: skip


def _slope_line(
    number: str,
    run: RunFound,
    among: str,
    slope: Estimate,
    random: Sequence[float],
    matched: Sequence[float],
    beyond: bool | None,
) -> SlopeLine:
    def span(values: Sequence[float]) -> str:
        return points_spread(min(values, default=None), max(values, default=None))

    return SlopeLine(number, run.label, among, moved(slope), span(random), span(matched), VERDICTS[beyond])


@dataclass(frozen=True)
class OriginLine:
    """Where the H-Neurons of one run come from: transfer to the base model by set, and their rank by drift."""

    number: str
    label: str
    base: str
    backward: tuple[Cell, ...]
    rank: Cell
    matched: str
    matched_p: str
    matched_p_more: str


def origin_sets(found: SideBySide) -> list[str]:
    """The sets on which any run was carried over to its base model."""
    carried = {name for run in found.runs if run.origin for name in run.origin.backward}
    return [each.name for each in found.sets if each.name in carried]


def origin_lines(found: SideBySide) -> list[OriginLine]:
    """The runs that were traced."""
    names = origin_sets(found)
    lines = []
    for number, run in numbered(found):
        if (origin := run.origin) is None:
            continue
        test = origin.drift
        lines.append(
            OriginLine(
                number,
                run.label,
                origin.base,
                tuple(_carried(origin, name) for name in names),
                plain(test.mean_rank) if test else Cell(NONE),
                _band(test.matched) if test else NONE,
                p_value(test.matched_p) if test else NONE,
                p_value(test.matched_p_more) if test else NONE,
            )
        )
    return lines


def _carried(origin: OriginFound, name: str) -> Cell:
    """AUROC on the base model's answers, with the range of as many random neurons that were carried over likewise."""
    if name not in origin.backward:
        return Cell(NONE)
    cell = plain(origin.backward[name])
    random = origin.backward_random.get(name)
    beside = f"random {_band(random)}" if random is not None and random.values else ""
    return Cell(cell.value, "; ".join(filter(None, (cell.range, beside))), cell.why)


def setting_lines(found: SideBySide) -> list[list[str]]:
    """Every setting in which runs differ: its name, then its value in every run."""
    return [
        [each.setting, *(_written(each.values[run.label]) if run.label in each.values else NONE for run in found.runs)]
        for each in found.settings
    ]


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def group(asked: Sequence[AskedAlike], name: str, label: str) -> str:
    """A letter for those who were asked the same as a run; empty where all were."""
    each = next(each for each in asked if each.name == name)
    if each.same:
        return ""
    place = next(k for k, labels in enumerate(each.groups) if label in labels)
    return LETTERS[place] if place < len(LETTERS) else str(place + 1)


def numbered(found: SideBySide) -> list[tuple[str, RunFound]]:
    """The runs with their numbers, as in the figures."""
    return [(str(k + 1), run) for k, run in enumerate(found.runs)]


def two(figure: Estimate) -> Cell:
    """0.61 with [0.55, 0.67]."""
    if figure.low is None or figure.high is None:
        return Cell(decimal(figure.value, 2), "", figure.reason)
    return Cell(decimal(figure.value, 2), f"[{decimal(figure.low, 2)}, {decimal(figure.high, 2)}]")


def _band(band: Band) -> str:
    return spread(band.low, band.high)
