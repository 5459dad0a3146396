"""What the tables of this part show, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

from hneurons.layers.mitigation.record import Measure, MethodFound, Mitigation
from hneurons.probes.bootstrap import Estimate
from hneurons.report.numbers import NONE, interval, percent, percent_interval, points, points_spread, times
from hneurons.report.views import Cell


@dataclass(frozen=True)
class MethodLine:
    """One method: shares of the unchanged model, and changes against it of all others."""

    number: str
    name: str
    setting: str
    kind: str
    hallucinated: Cell
    correct: Cell
    refused: Cell
    known: Cell
    compliance: Cell
    perplexity: Cell
    altered: str
    cut_off: str
    tokens: str
    seconds: Cell


@dataclass(frozen=True)
class PlaceLine:
    """One method's changes in hallucinated answers by set, and in compliance by benchmark."""

    name: str
    sets: tuple[Cell, ...]
    benchmarks: tuple[Cell, ...]


@dataclass(frozen=True)
class ControlLine:
    """What random parts do in the place of those that were found: from the least to the most change."""

    method: str
    what: str
    hallucinated: str
    correct: str
    known: str
    compliance: str


def method_lines(found: Mitigation) -> list[MethodLine]:
    """The methods in order; the unchanged model, as shares, first."""
    return [_line(number, each) for number, each in enumerate(found.methods)]


def place_lines(found: Mitigation) -> list[PlaceLine]:
    """The methods by set and by benchmark; the unchanged model, as shares, first."""
    return [
        PlaceLine(
            each.name,
            tuple(_figure(number, each.by_set[name]) for name in found.questions),
            tuple(_figure(number, each.by_benchmark[name]) for name in found.cases),
        )
        for number, each in enumerate(found.methods)
    ]


def control_lines(found: Mitigation) -> list[ControlLine]:
    """The controls in order."""
    return [
        ControlLine(
            each.method,
            f"{each.what}; {len(each.hallucinated)} draws",
            _spread(each.hallucinated),
            _spread(each.correct),
            _spread(each.known),
            _spread(each.compliance),
        )
        for each in found.controls
    ]


def _line(number: int, each: MethodFound) -> MethodLine:
    price = each.price
    range_ = "" if number == 0 else f"[{price.seconds_low:.2f}, {price.seconds_high:.2f}]"
    return MethodLine(
        number=str(number) if number else "",
        name=each.name,
        setting=each.setting,
        kind="ours" if each.frontier else "rival",
        hallucinated=_figure(number, each.hallucinated),
        correct=_figure(number, each.correct),
        refused=_figure(number, each.refused),
        known=_figure(number, each.known),
        compliance=_figure(number, each.compliance) if each.compliance else Cell(NONE, why="no benchmark was asked"),
        perplexity=_multiple(each.perplexity),
        altered=percent(each.altered, 0) if number else NONE,
        cut_off=percent(each.cut_off, 0),
        tokens=times(price.tokens, 2),
        seconds=Cell(times(price.seconds, 2), range_),
    )


def _figure(number: int, measure: Measure) -> Cell:
    if number == 0:
        return Cell(percent(measure.value.value), percent_interval(measure.value), measure.value.reason)
    return Cell(points(measure.change.value), percent_interval(measure.change), measure.change.reason)


def _multiple(found: Estimate) -> Cell:
    return Cell(times(found.value), interval(found), found.reason)


def _spread(values: tuple[float, ...]) -> str:
    return points_spread(min(values), max(values)) if values else NONE
