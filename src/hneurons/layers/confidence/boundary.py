"""The knowledge boundary: what a model gets right, and how sure it is, by how familiar a question is to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from hneurons.layers.confidence.calibration import own_doubt
from hneurons.layers.confidence.record import Boundary, Level
from hneurons.origins.growth import natural
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate, single_class
from hneurons.responses.response import Verdict

MOST_LEVELS = 12
"""Values of a field beyond which it is no measure of familiarity."""


@dataclass(frozen=True)
class AskedQuestion:
    """One question as it was asked once: its level, its group, and the verdict on the response."""

    level: str
    group: str
    verdict: Verdict


def boundary(
    eval_set: str,
    by: str,
    asked: Sequence[AskedQuestion],
    answers: Answers,
    levels: Sequence[str | None],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Boundary | None:
    """Accuracy over all questions of a set, and confidence over its answers, by level; None for fewer than two levels.

    Args:
        eval_set: its name.
        by: the field that the levels are values of.
        asked: every question of the set: accuracy is that of the questions as they come, not of a balanced choice.
        answers: those that the evaluation uses, balanced over all levels together.
        levels: of each answer; None where its question has none.
        resamples, seed: of intervals over groups.
    """
    values = sorted({each.level for each in asked}, key=natural)
    if not 2 <= len(values) <= MOST_LEVELS:
        return None
    sure, level_of = 1 - own_doubt(answers), np.array([each or "" for each in levels])
    found = []
    for value in values:
        own = [each for each in asked if each.level == value]
        here = level_of == value
        bootstrap = Bootstrap(np.array([each.group for each in own]), resamples=resamples, seed=seed)
        right, wrong, declined = (
            _rate(bootstrap, np.array([each.verdict == verdict for each in own], dtype=np.bool_))
            for verdict in ("correct", "incorrect", "refusal")
        )
        sure_right, sure_wrong, auroc = _confidence(answers, sure, here, resamples, seed)
        found.append(
            Level(
                value=value,
                questions=len(own),
                right=right,
                wrong=wrong,
                declined=declined,
                n_right=int((~answers.hallucinated[here]).sum()),
                n_wrong=int(answers.hallucinated[here].sum()),
                sure_right=sure_right,
                sure_wrong=sure_wrong,
                auroc=auroc,
            )
        )
    return Boundary(eval_set=eval_set, by=by, levels=tuple(found))


def _rate(bootstrap: Bootstrap, held: Bool[np.ndarray, " rows"]) -> Estimate:
    return bootstrap.estimate(metrics.flagged, held, held.astype(np.float64))


def _confidence(
    answers: Answers, sure: np.ndarray, here: Bool[np.ndarray, " rows"], resamples: int, seed: int
) -> tuple[Estimate, Estimate, Estimate]:
    """How sure the model was of the right and of the wrong answers of one level, and whether that tells them apart."""
    y, p = answers.hallucinated[here], sure[here]
    none = "no answer of this level is used"
    if not len(y):
        empty = Estimate(value=None, low=None, high=None, reason=none)
        return empty, empty, empty
    bootstrap = Bootstrap(answers.groups[here], resamples=resamples, seed=seed)
    auroc = bootstrap.estimate(metrics.auroc, y, 1 - p, single_class(y))
    return bootstrap.mean(p, ~y, none), bootstrap.mean(p, y, none), auroc
