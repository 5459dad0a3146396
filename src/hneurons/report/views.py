"""What the tables of the report and of the terminal show, cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.report.numbers import (
    NONE,
    counted,
    decimal,
    interval,
    percent,
    percent_interval,
    percent_spread,
    spread,
)
from hneurons.report.reading import CUT, controls, detections, frequencies, ranked, weights
from hneurons.report.wording import in_words
from hneurons.responses.response import Span
from hneurons.study.evaluating import H_NEURONS, REFIT
from hneurons.study.judging import SetCounts
from hneurons.study.results import Example, Results

Kind = Literal["ours", "rival", "control"]


@dataclass(frozen=True)
class Cell:
    """A number and its interval, as written; `why` says why there is none."""

    value: str
    range: str = ""
    why: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.range}".rstrip()


@dataclass(frozen=True)
class Line:
    """A detector, or a control, on one set.

    `detection` is AUROC and `at_threshold` the accuracy at the detector's own threshold; where AUROC is not defined,
    both are the share flagged, at `CUT` and at the threshold.
    """

    name: str
    note: str
    kind: Kind
    detection: Cell
    accuracy: Cell
    at_threshold: Cell
    brier: Cell
    ece: Cell


def plain(found: Estimate) -> Cell:
    """0.843 with [0.812, 0.871]."""
    return Cell(decimal(found.value), interval(found), found.reason)


def share(found: Estimate) -> Cell:
    """78.4% with [75.1, 81.6]."""
    return Cell(percent(found.value), percent_interval(found), found.reason)


def drawn(band: Band, *, shares: bool) -> Cell:
    """The range of a control's draws."""
    written = percent_spread(band.low, band.high) if shares else spread(band.low, band.high)
    return Cell(written, why=band.reason)


def lines(results: Results, eval_set: str) -> list[Line]:
    """The detection table of one set: detectors, best first, then controls."""
    by_auroc = ranked(results, eval_set)
    found = [
        Line(
            row.detector,
            results.evaluation.details.get(row.detector, ""),
            "ours" if row.detector in (H_NEURONS, REFIT) else "rival",
            plain(row.auroc) if by_auroc else share(row.flagged),
            share(row.accuracy),
            share(row.accuracy_at_threshold if by_auroc else row.flagged_at_threshold),
            plain(row.brier),
            plain(row.ece),
        )
        for row in detections(results, eval_set)
    ]
    for name, control in controls(results, eval_set).items():
        found.append(
            Line(
                name,
                counted(control.draws, "draw"),
                "control",
                drawn(control.auroc, shares=False) if by_auroc else drawn(control.flagged, shares=True),
                drawn(control.accuracy, shares=True),
                drawn(control.accuracy_at_threshold, shares=True) if by_auroc else Cell(NONE),
                Cell(NONE),
                Cell(NONE),
            )
        )
    return found


@dataclass(frozen=True)
class Chosen:
    """An H-Neuron: `bar` is its weight as a share of the heaviest; `expert` is empty in a dense layer."""

    layer: int
    index: int
    weight: str
    bar: float
    selected: str
    range: str
    expert: str = ""


def hneurons(results: Results) -> list[Chosen]:
    """The H-Neurons, heaviest first."""
    found = {each.neuron: each for each in frequencies(results)}
    heaviest = max(results.probe.weights, default=1.0)
    return [
        Chosen(
            layer,
            index,
            f"{weight:#.3g}",
            weight / heaviest,
            percent(found[layer, index].share, 0) if found else NONE,
            f"[{decimal(100 * found[layer, index].low, 0)}, {decimal(100 * found[layer, index].high, 0)}]"
            if found
            else "",
            results.model.expert(layer, index),
        )
        for (layer, index), weight in weights(results).items()
    ]


@dataclass(frozen=True)
class Segment:
    """Part of a whole; `code` names its colour."""

    code: str
    label: str
    n: int
    share: float


def segments(counts: dict[str, int], order: Sequence[str] = ()) -> list[Segment]:
    """The parts of a whole that are not empty, in this order."""
    whole = sum(counts.values())
    names = [*(name for name in order if name in counts), *(name for name in counts if name not in order)]
    return [Segment(name, in_words(name), counts[name], counts[name] / whole) for name in names if counts[name]]


OUTCOMES = ("hallucinated", "faithful", "mixed", "some_refusals", "all_refusals", "some_blank", "too_few_responses")


def outcomes(counts: SetCounts) -> list[Segment]:
    """What the questions of the training set came to, over both of its parts."""
    total: Counter[str] = Counter()
    for report in (counts.selection or {}).values():
        total.update({str(name): n for name, n in report.outcomes.items()})
    return segments(dict(total), OUTCOMES)


def used(counts: SetCounts, kind: str) -> int:
    """How many answers of one kind ("hallucinated" or "faithful") are used, over all parts of a set."""
    return sum(n for name, n in counts.used.items() if name.rpartition("_")[2] == kind)


@dataclass(frozen=True)
class Shown:
    """An example as it is shown: the response in pieces, each with whether it carries the answer."""

    question: str
    pieces: tuple[tuple[str, bool], ...]
    probability: str
    depth: int
    flagged: bool
    hallucinated: bool
    came_to: str
    right_answer: str


CAME_TO = {
    (True, True): "hallucinated, flagged",
    (True, False): "hallucinated, missed",
    (False, True): "right, flagged all the same",
    (False, False): "right, not flagged",
}


def shown(results: Results, eval_set: str) -> list[Shown]:
    """The examples of one set: hallucinations first, most probable first."""
    found = [each for each in results.examples if each.eval_set == eval_set]
    return [_shown(each) for each in sorted(found, key=lambda each: (not each.hallucinated, -each.probability))]


def _shown(example: Example) -> Shown:
    flagged = example.probability >= CUT
    return Shown(
        example.question,
        tuple(pieces(example.response, example.spans)),
        decimal(example.probability, 2),
        round(100 * example.probability),
        flagged,
        example.hallucinated,
        CAME_TO[example.hallucinated, flagged],
        example.right_answer,
    )


def pieces(text: str, spans: Sequence[Span]) -> Iterator[tuple[str, bool]]:
    """`text` cut at the spans; each piece with whether it lies in one. Joined, the pieces are the text."""
    inside = [False] * len(text)
    for start, end in spans:
        for place in range(max(0, start), min(end, len(text))):
            inside[place] = True
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or inside[place] != inside[start]:
            yield text[start:place], inside[start]
            start = place
