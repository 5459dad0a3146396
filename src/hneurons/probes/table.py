"""The detection table: every detector on every evaluation set, each figure with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from hneurons.errors import ProbeError
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import NAMES, Bootstrap, Estimate, Name, metric, single_class
from hneurons.probes.detectors import Detector
from hneurons.progress import track

TWO_KINDS: frozenset[Name] = frozenset({"auroc", "balanced_accuracy"})


class Detection(BaseModel):
    """One detector on one set.

    Figures are at probability 0.5; `accuracy_at_threshold` and `flagged_at_threshold` are at the detector's own
    threshold, which was chosen on held-out questions. On a set of one kind (invented places are all hallucinated),
    what compares the two kinds is None with the reason, and `flagged` is the figure to read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    eval_set: str
    detector: str
    n: int
    n_groups: int
    n_hallucinated: int
    threshold: float
    accuracy: Estimate
    balanced_accuracy: Estimate
    auroc: Estimate
    brier: Estimate
    ece: Estimate
    log_loss: Estimate
    flagged: Estimate
    precision: Estimate
    recall: Estimate
    accuracy_at_threshold: Estimate
    flagged_at_threshold: Estimate


def detection_table(
    detectors: Sequence[Detector], sets: Sequence[Answers], *, resamples: int = 2000, seed: int = 0
) -> list[Detection]:
    """Every detector on every set, with 95% percentile intervals over resampled groups.

    Raises:
        ProbeError: two detectors share a name, or a detector returns something that is no probability.
    """
    names = [detector.name for detector in detectors]
    if len(set(names)) < len(names):
        raise ProbeError(f"detectors in one table need names of their own; got {names}")
    found = []
    for answers in track(sets, "evaluating detectors"):
        bootstrap = Bootstrap(answers.groups, resamples=resamples, seed=seed)
        y, why = answers.hallucinated, single_class(answers.hallucinated)
        for detector in detectors:
            p = np.asarray(detector.scores(answers), dtype=np.float64)
            if p.shape != y.shape or not ((p >= 0) & (p <= 1)).all():
                raise ProbeError(f"{detector.name} gave scores on {answers.name} that are not one probability a row")
            own = {
                f"{name}_at_threshold": bootstrap.estimate(metric(name, detector.threshold), y, p)
                for name in ("accuracy", "flagged")
            }
            figures = {name: bootstrap.estimate(metric(name), y, p, why if name in TWO_KINDS else "") for name in NAMES}
            found.append(
                Detection(
                    eval_set=answers.name,
                    detector=detector.name,
                    n=len(answers),
                    n_groups=bootstrap.n_groups,
                    n_hallucinated=int(y.sum()),
                    threshold=detector.threshold,
                    **figures,
                    **own,
                )
            )
    return found
