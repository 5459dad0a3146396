"""What the tables of this part show, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

from hneurons.layers.confidence.record import Confidence
from hneurons.report.layers.confidence.reading import (
    ENTROPY,
    H_NEURONS,
    HIDDEN,
    OWN,
    abstaining,
    eval_sets,
    outcome_of,
    targets,
)
from hneurons.report.numbers import NONE, p_value, percent, spread
from hneurons.report.views import Cell, plain, share

LISTED = (H_NEURONS, HIDDEN, ENTROPY, OWN)
"""Detectors whose thresholds are listed; all are in `results.json`."""
MET = {"met": "kept", "missed": "missed", "open": "undecided", "silent": "says nothing"}


@dataclass(frozen=True)
class AbstentionLine:
    """One detector at one target on one set."""

    detector: str
    target: str
    threshold: str
    coverage: Cell
    risk: Cell
    stopped: Cell
    lost: Cell
    met: str
    own: Cell


def abstention_lines(found: Confidence, eval_set: str) -> list[AbstentionLine]:
    """The thresholds of some detectors on one set, those with a bound first."""
    made = []
    for detector in (each for each in LISTED if each in abstaining(found)):
        for risk in targets(found):
            for guaranteed in (True, False):
                done = outcome_of(found, eval_set, detector, risk, guaranteed)
                if done is not None:
                    made.append(
                        AbstentionLine(
                            detector=detector,
                            target=percent(risk, 0),
                            threshold="bound" if guaranteed else "as found",
                            coverage=share(done.coverage),
                            risk=share(done.risk),
                            stopped=share(done.stopped),
                            lost=share(done.lost),
                            met=MET[done.met],
                            own=share(done.own_risk),
                        )
                    )
    return made


@dataclass(frozen=True)
class SignalLine:
    """One figure of doubt: how well it tells hallucinated first answers on either pool of questions."""

    name: str
    reads: str
    auroc: Cell
    over: Cell
    chance: str
    q: str
    left_over: Cell


def signal_lines(found: Confidence) -> list[SignalLine]:
    """Every figure over samples, and of the first answer alone, best first."""
    if found.sampled is None:
        return []
    pools = found.sampled.pools
    others = {each.name: each for each in pools[1].signals} if len(pools) > 1 else {}
    return [
        SignalLine(
            name=each.name,
            reads=f"{found.sampled.samples} samples" if each.reads == "samples" else "one answer",
            auroc=plain(each.auroc),
            over=plain(each.over_entropy),
            chance=NONE if each.chance is None else spread(each.chance.low, each.chance.high),
            q=p_value(each.chance.q if each.chance else None),
            left_over=plain(others[each.name].auroc) if each.name in others else Cell(NONE),
        )
        for each in sorted(pools[0].signals, key=lambda each: -(each.auroc.value or 0.0))
    ]


def confidence_sets(found: Confidence) -> list[str]:
    """The evaluation sets."""
    return eval_sets(found)
