"""What was found in one model, on the answers of another: backward and forward transfer, with controls and intervals.

Detectors are applied unchanged and no threshold is carried over, so AUROC is the only figure (H-Neurons, arXiv
2512.01797, section 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from hneurons.origins.record import Direction, Transfer, TransferControl, TransferFinding, Transferred
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate, single_class
from hneurons.probes.controls import band
from hneurons.probes.detectors import Detector, LogisticDetector, ProbeDetector, Recalibrated
from hneurons.probes.names import H_NEURONS, MATCHED, PERMUTED, PERMUTED_ANSWERS, RANDOM, REFIT
from hneurons.progress import track

HELD_AGAINST: Mapping[str, str] = {RANDOM: REFIT, MATCHED: REFIT, PERMUTED: H_NEURONS, PERMUTED_ANSWERS: H_NEURONS}
"""Which detector is like a control in all but its neurons or its labels."""

_DRAWS: Mapping[str, str] = {
    RANDOM: "as many random neurons",
    MATCHED: "as many random neurons of the same layers",
    PERMUTED: "the whole fit on permuted labels",
    PERMUTED_ANSWERS: "the whole fit on permuted labels of answers only",
}
_OF: Mapping[Direction, tuple[str, str]] = {"backward": ("tuned", "base"), "forward": ("base", "tuned")}


def transfer(
    direction: Direction,
    detectors: Sequence[Detector],
    draws: Mapping[str, Sequence[Detector]],
    sets: Sequence[Answers],
    *,
    fitted_on: str,
    applied_to: str,
    resamples: int = 2000,
    seed: int = 0,
) -> Transfer:
    """Apply what was fitted on one model to the answers of another.

    Args:
        direction: "backward" from the tuned model to its base, "forward" from the base to the tuned one.
        detectors: fitted on the first; "H-Neurons" and "H-Neurons, refit" are held against controls.
        draws: the draws of every control by its name, fitted on the first as well.
        sets: answers of the second; they may have one kind of answer only, or no row.
        fitted_on, applied_to: names of the two models.
        resamples, seed: of the cluster bootstrap over groups of questions.
    """
    figures = transferred(detectors, sets, resamples=resamples, seed=seed)
    controls = transfer_controls(draws, sets)
    return Transfer(
        direction=direction,
        fitted_on=fitted_on,
        applied_to=applied_to,
        figures=figures,
        controls=controls,
        findings=findings(direction, figures, controls),
    )


def transferred(
    detectors: Sequence[Detector], sets: Sequence[Answers], *, resamples: int = 2000, seed: int = 0
) -> tuple[Transferred, ...]:
    """AUROC of every detector on every set, with its 95% percentile interval over resampled groups."""
    found = []
    for answers in track(sets, "applying detectors"):
        y, why = answers.hallucinated, _undefined(answers)
        bootstrap = Bootstrap(answers.groups, resamples=resamples, seed=seed) if len(answers) else None
        for detector in detectors:
            if bootstrap is None:
                auroc = Estimate(value=None, low=None, high=None, reason=why)
            else:
                auroc = bootstrap.estimate(metrics.auroc, y, ranking(detector, answers), why)
            found.append(
                Transferred(
                    eval_set=answers.name,
                    detector=detector.name,
                    n_hallucinated=int(y.sum()),
                    n_faithful=int((~y).sum()),
                    auroc=auroc,
                )
            )
    return tuple(found)


def transfer_controls(draws: Mapping[str, Sequence[Detector]], sets: Sequence[Answers]) -> tuple[TransferControl, ...]:
    """The spread of AUROC over the draws of every control, on every set."""
    found = []
    for answers in sets:
        y, ones, why = answers.hallucinated, np.ones((1, len(answers))), _undefined(answers)
        for control, each in draws.items():
            values = [] if why else [float(metrics.auroc(y, ranking(one, answers), ones)[0]) for one in each]
            found.append(
                TransferControl(eval_set=answers.name, control=control, draws=len(each), auroc=band(values, why))
            )
    return tuple(found)


def findings(
    direction: Direction, figures: Sequence[Transferred], controls: Sequence[TransferControl]
) -> tuple[TransferFinding, ...]:
    """The H-Neurons against every control on every set, in a sentence each; said also where they do not carry."""
    rows = {(row.eval_set, row.detector): row for row in figures}
    return tuple(
        _finding(direction, row, control)
        for control in controls
        if (row := rows.get((control.eval_set, HELD_AGAINST.get(control.control, "")))) is not None
    )


def ranking(detector: Detector, answers: Answers) -> Float64[np.ndarray, " rows"]:
    """What a detector orders answers by: its logit where it has one, else its probability.

    States of another model may lie far from those that a detector was fitted on. Probabilities there are 0 or 1 up to
    rounding, and ties would pull AUROC towards 0.5. A recalibrated detector orders as the one it rescales.
    """
    if isinstance(detector, Recalibrated):
        return ranking(detector.detector, answers)
    if isinstance(detector, ProbeDetector):
        return detector.solution.logits(answers.contributions)
    if isinstance(detector, LogisticDetector):
        return detector.model.logits(detector.features(answers))
    return np.asarray(detector.scores(answers), dtype=np.float64) if len(answers) else np.zeros(0)


def _undefined(answers: Answers) -> str:
    return single_class(answers.hallucinated) if len(answers) else "there are not both right and wrong answers"


def _finding(direction: Direction, row: Transferred, control: TransferControl) -> TransferFinding:
    ours, low, high = row.auroc.value, control.auroc.low, control.auroc.high
    fitted, applied = _OF[direction]
    above = None if ours is None or high is None else ours > high
    if ours is None:
        sentence = f"On {row.eval_set}, AUROC is not defined: {row.auroc.reason}."
    else:
        if row.detector == REFIT:
            what, has, how = "H-Neurons", "have", "refit; "
        else:
            what, has, how = "sparse probe", "has", ""
        interval = "no interval" if row.auroc.low is None else f"{row.auroc.low:.3f} to {row.auroc.high:.3f}"
        sentence = (
            f"On {row.eval_set}, the {fitted} model's {what}, applied to the {applied} model's own answers, {has} an "
            f"AUROC of {ours:.3f} ({how}{interval}), "
        )
        if low is None or high is None:
            sentence += f"held against nothing: {control.auroc.reason}."
        else:
            sentence += (
                f"{'above' if above else 'NOT above'} the interval of {control.draws} draws of "
                f"{_DRAWS[control.control]} ({low:.3f} to {high:.3f})."
            )
    return TransferFinding(
        eval_set=row.eval_set,
        control=control.control,
        detector=row.detector,
        auroc=ours,
        low=low,
        high=high,
        above=above,
        carries=None if row.auroc.low is None else row.auroc.low > 0.5,
        sentence=sentence,
    )
