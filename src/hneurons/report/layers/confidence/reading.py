"""What the figures, the words and the tables of this part read."""

from __future__ import annotations

import numpy as np

from hneurons.layers.confidence.calibration import OWN as OWN
from hneurons.layers.confidence.record import Calibration, Choice, Confidence, Outcome, RiskCoverage, Signal
from hneurons.layers.confidence.truth import P_TRUE as P_TRUE
from hneurons.probes.names import H_NEURONS as H_NEURONS
from hneurons.probes.names import REFIT as REFIT

ENTROPY, LOG_PROB, HIDDEN = "token entropy", "token log-probability", "hidden state, best layer"
SHORT = {
    HIDDEN: "hidden state",
    REFIT: "refit",
    LOG_PROB: "log-probability",
    ENTROPY: "entropy",
    OWN: "own probability",
}
TARGET = 0.2
"""The risk that figures and words are about, where it was asked."""


def eval_sets(found: Confidence) -> list[str]:
    """The evaluation sets, in the order of the run."""
    return list(dict.fromkeys(each.eval_set for each in found.curves))


def calibrated(found: Confidence, eval_set: str, source: str) -> Calibration | None:
    """Calibration of one source on one set."""
    return next((each for each in found.calibration if (each.eval_set, each.source) == (eval_set, source)), None)


def curve_of(found: Confidence, eval_set: str, detector: str) -> RiskCoverage | None:
    """Risk over coverage of one detector on one set."""
    return next((each for each in found.curves if (each.eval_set, each.detector) == (eval_set, detector)), None)


def detectors(found: Confidence) -> list[str]:
    """Detectors with a curve, the H-Neurons first, the others by their mean AURC."""
    names = list(dict.fromkeys(each.detector for each in found.curves))
    areas = {
        name: float(np.mean([each.aurc.value or 0.0 for each in found.curves if each.detector == name]))
        for name in names
    }
    ours = [name for name in (H_NEURONS, REFIT) if name in names]
    return ours + sorted((name for name in names if name not in ours), key=lambda name: areas[name])


def best_rival(found: Confidence, eval_set: str) -> RiskCoverage | None:
    """The detector of lowest AURC on a set, the H-Neurons apart."""
    rivals = [each for each in found.curves if each.eval_set == eval_set and each.detector not in (H_NEURONS, REFIT)]
    return min(rivals, key=lambda each: each.aurc.value or 1.0, default=None)


def targets(found: Confidence) -> list[float]:
    """The risks that thresholds were chosen for."""
    return sorted({each.risk for each in found.abstaining.choices})


def target(found: Confidence) -> float:
    """The risk that is shown: 20%, else the one in the middle."""
    asked = targets(found)
    return TARGET if TARGET in asked else asked[len(asked) // 2]


def choice_of(found: Confidence, detector: str, risk: float, guaranteed: bool) -> Choice | None:
    """One threshold."""
    wanted = (detector, risk, guaranteed)
    return next((e for e in found.abstaining.choices if (e.detector, e.risk, e.guaranteed) == wanted), None)


def outcome_of(found: Confidence, eval_set: str, detector: str, risk: float, guaranteed: bool) -> Outcome | None:
    """What one threshold does on one set."""
    wanted = (eval_set, detector, risk, guaranteed)
    every = found.abstaining.outcomes
    return next((e for e in every if (e.eval_set, e.detector, e.target, e.guaranteed) == wanted), None)


def abstaining(found: Confidence) -> list[str]:
    """Detectors that thresholds were chosen for, in order."""
    return list(dict.fromkeys(each.detector for each in found.abstaining.choices))


def worst_calibrated(found: Confidence) -> str | None:
    """The set on which the detectors are calibrated worst, in the mean."""
    names = eval_sets(found)
    errors = {
        name: float(np.mean([e.debiased.value or 0.0 for e in found.calibration if e.eval_set == name]))
        for name in names
        if any(e.eval_set == name for e in found.calibration)
    }
    return max(errors, key=lambda name: errors[name]) if errors else None


def signal_of(found: Confidence, pool: int, name: str) -> Signal | None:
    """One figure over samples, on one pool of questions."""
    if found.sampled is None or pool >= len(found.sampled.pools):
        return None
    return next((each for each in found.sampled.pools[pool].signals if each.name == name), None)


def short(detector: str) -> str:
    """A detector's name where there is little room."""
    return SHORT.get(detector, detector)
