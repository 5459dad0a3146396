"""What the report asks of an origin: one detector, one control, one test at a time, and whether a claim holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hneurons.origins.record import (
    Direction,
    Drift,
    Origin,
    RankTest,
    Score,
    SetAsked,
    Transfer,
    TransferControl,
    TransferFinding,
    Transferred,
)
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.report.reading import CONTROLS, ENTROPY, eval_sets
from hneurons.report.reading import controls as native_controls
from hneurons.study.evaluating import H_NEURONS, RANDOM, REFIT
from hneurons.study.results import Results

OURS = (REFIT, H_NEURONS)
LANDMARKS = (ENTROPY, "token log-probability", "hidden state, best layer")
"""Rivals that a figure shows; the tables have all of them."""
PAPER: Score = "up+down"
LEVEL = 0.05
"""A one-sided p-value below it counts as a difference."""

Place = Literal["backward", "native", "forward"]
"""Where a detector is applied; native: to the answers of the very model that it was fitted on."""
Outcome = Literal["holds", "in part", "fails", "opposite", "undefined"]


def short(name: str, longest: int = 28) -> str:
    """The last part of a model's name, cut where it is very long."""
    return cut(name.rstrip("/").rpartition("/")[2] or name, longest)


def cut(text: str, longest: int) -> str:
    """`text` in at most so many letters."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def base_name(origin: Origin) -> str:
    """The base model's name without its owner or folder."""
    return short(origin.base.name)


def tuned_name(results: Results) -> str:
    """The same of the run's model."""
    return short(results.model.name)


def directions(origin: Origin) -> dict[Direction, Transfer]:
    """The transfers that were made, backward first."""
    found: dict[Direction, Transfer | None] = {"backward": origin.backward, "forward": origin.forward}
    return {direction: each for direction, each in found.items() if each is not None}


def transfer_sets(results: Results, origin: Origin) -> list[str]:
    """The evaluation sets that anything was transferred to, in the run's order."""
    held = [each.eval_set for transfer in directions(origin).values() for each in transfer.figures]
    return [name for name in dict.fromkeys([*eval_sets(results), *held]) if name in held]


def detectors(transfer: Transfer) -> list[str]:
    """Every detector, the H-Neurons first."""
    held = list(dict.fromkeys(each.detector for each in transfer.figures))
    return [*(name for name in OURS if name in held), *(name for name in held if name not in OURS)]


def transferred(transfer: Transfer, eval_set: str, detector: str) -> Transferred | None:
    """One detector on one set."""
    return next((each for each in transfer.figures if (each.eval_set, each.detector) == (eval_set, detector)), None)


def transfer_controls(transfer: Transfer, eval_set: str) -> dict[str, TransferControl]:
    """What chance gives on one set, by kind of control."""
    found = {each.control: each for each in transfer.controls if each.eval_set == eval_set}
    return {name: found[name] for name in (*CONTROLS, *(set(found) - set(CONTROLS))) if name in found}


def transfer_findings(transfer: Transfer, eval_set: str) -> list[TransferFinding]:
    """The H-Neurons against each control on one set."""
    return [each for each in transfer.findings if each.eval_set == eval_set]


def auroc(results: Results, origin: Origin, place: Place, eval_set: str, detector: str) -> Estimate | None:
    """AUROC of one detector on one set; None where it was not applied."""
    if place == "native":
        rows = results.evaluation.detection
        return next((row.auroc for row in rows if (row.eval_set, row.detector) == (eval_set, detector)), None)
    transfer = directions(origin).get(place)
    found = transferred(transfer, eval_set, detector) if transfer else None
    return found.auroc if found else None


@dataclass(frozen=True)
class Drawn:
    """A control's draws at one place."""

    draws: int
    auroc: Band


def control_draws(results: Results, origin: Origin, place: Place, eval_set: str) -> dict[str, Drawn]:
    """What chance gives at one place on one set."""
    if place == "native":
        return {name: Drawn(each.draws, each.auroc) for name, each in native_controls(results, eval_set).items()}
    transfer = directions(origin).get(place)
    found = transfer_controls(transfer, eval_set) if transfer else {}
    return {name: Drawn(each.draws, each.auroc) for name, each in found.items()}


def asked(origin: Origin, eval_set: str) -> SetAsked | None:
    """What the base model made of one set."""
    return next((each for each in origin.asked if each.eval_set == eval_set), None)


def rank_p(value: float | None, draws: Band) -> float | None:
    """(1 + draws at least as high) / (1 + draws); None where either is not there."""
    if value is None or not draws.values:
        return None
    return (1 + sum(each >= value for each in draws.values)) / (1 + len(draws.values))


def carries(transfer: Transfer, eval_set: str) -> Outcome:
    """Whether the H-Neurons tell hallucinations apart in the other model, too.

    It holds where their AUROC lies above 0.5 with its interval and above every control; in part where random neurons
    are among those that it is above; it is the opposite where the interval lies below 0.5.
    """
    found = transfer_findings(transfer, eval_set)
    known = [each for each in found if each.above is not None]
    if not known:
        return "undefined"
    if all(each.above and each.carries for each in found if each.above is not None):
        return "holds"
    if any(each.control == RANDOM and each.above and each.carries for each in known):
        return "in part"
    below = [each.high is not None and each.high < 0.5 for each in known]
    return "opposite" if all(below) else "fails"


def rank_test(drift: Drift, score: Score = PAPER) -> RankTest | None:
    """The test of one score."""
    return next((each for each in drift.tests if each.score == score), None)


def spared(test: RankTest) -> Outcome:
    """Whether H-Neurons changed less than as many neurons of the same layers, at `LEVEL`."""
    if test.matched.mean is None or test.mean_rank.value is None:
        return "undefined"
    if test.matched_p < LEVEL:
        return "holds"
    return "opposite" if test.matched_p_more < LEVEL else "fails"
