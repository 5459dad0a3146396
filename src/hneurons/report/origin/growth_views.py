"""What the tables of a growth show, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

from hneurons.origins.record import Growth
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.report.numbers import NONE, count, decimal
from hneurons.report.origin.steps import accuracies, aurocs, by_step, draws, ordered
from hneurons.report.origin.views import distance
from hneurons.report.views import Cell, drawn, plain, share
from hneurons.study.evaluating import H_NEURONS, MATCHED, RANDOM, REFIT


@dataclass(frozen=True)
class StepLine:
    """A checkpoint: `accuracies` in the order of `growth_columns`, and the H-Neurons' distance to the last one."""

    step: str
    name: str
    accuracies: tuple[Cell, ...]
    distance: Cell
    random: str
    matched: str
    mean_rank: str


def growth_columns(growth: Growth) -> list[str]:
    """The strata, or the sets where there are none."""
    return list(accuracies(growth))


def step_lines(growth: Growth) -> list[StepLine]:
    """What every checkpoint knows, and how far it is from the last."""
    known = {name: {each.step: figure for each, figure in line} for name, line in accuracies(growth).items()}
    lines = []
    for each in ordered(growth):
        cells = tuple(share(line[each.step]) if each.step in line else Cell(NONE) for line in known.values())
        moved = each.drift
        if moved is None:
            parts: tuple[Cell, str, str, str] = (Cell(NONE), NONE, NONE, NONE)
        else:
            parts = (
                Cell(distance(moved.hneurons.value), _interval(moved.hneurons), moved.hneurons.reason),
                _spread(moved.random),
                _spread(moved.matched),
                decimal(moved.mean_rank),
            )
        lines.append(StepLine(count(each.step), each.name, cells, *parts))
    return lines


def _interval(found: Estimate) -> str:
    """[0.0012, 0.0034]; empty where there is none."""
    return "" if found.low is None or found.high is None else f"[{distance(found.low)}, {distance(found.high)}]"


def _spread(band: Band) -> str:
    """0.0012 to 0.0034."""
    return NONE if band.low is None or band.high is None else f"{distance(band.low)} to {distance(band.high)}"


@dataclass(frozen=True)
class DetectionLine:
    """The H-Neurons on one set at one checkpoint, beside their controls."""

    step: str
    answers: str
    refit: Cell
    probe: Cell
    random: Cell
    matched: Cell


def detection_lines(growth: Growth, eval_set: str) -> list[DetectionLine]:
    """AUROC over the checkpoints on one set."""
    refit, probe = (by_step(aurocs(growth, eval_set, name)) for name in (REFIT, H_NEURONS))
    random, matched = (by_step(draws(growth, eval_set, name)) for name in (RANDOM, MATCHED))
    lines = []
    for each in ordered(growth):
        here = next((figure for figure in each.figures if figure.eval_set == eval_set), None)
        if here is not None:
            lines.append(
                DetectionLine(
                    count(each.step),
                    count(here.n_hallucinated + here.n_faithful),
                    *(plain(found[each.step]) if each.step in found else Cell(NONE) for found in (refit, probe)),
                    *(
                        drawn(found[each.step], shares=False) if each.step in found else Cell(NONE)
                        for found in (random, matched)
                    ),
                )
            )
    return lines
