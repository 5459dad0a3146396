"""What turning costs: questions that the model knows and no longer answers, and text that it reads less well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from hneurons.compliance.outcomes import turned_share
from hneurons.compliance.playing import Reply
from hneurons.compliance.reading import Loss
from hneurons.compliance.record import Cost, CostCurve, CostPoint, Kind
from hneurons.compliance.statistics import Rates, differences, estimates, rates, ratio
from hneurons.probes.bootstrap import Bootstrap
from hneurons.questions.question import Question
from hneurons.responses.judging import judge


@dataclass(frozen=True)
class Known:
    """Which known questions were still answered right, at every alpha."""

    right: Bool[np.ndarray, "questions alphas"]
    groups: Shaped[np.ndarray, " questions"]


def known(questions: Sequence[Question], alphas: Sequence[float], replies: Sequence[Reply]) -> Known:
    """Judge the replies to known questions by rule; equal replies once."""
    texts = {(reply.case, reply.alpha): reply.text for reply in replies}
    verdicts: dict[tuple[str, str], bool] = {}
    right = np.zeros((len(questions), len(alphas)), dtype=np.bool_)
    for i, question in enumerate(questions):
        for k, alpha in enumerate(alphas):
            text = texts[question.id, alpha]
            if (question.id, text) not in verdicts:
                verdicts[question.id, text] = judge(text, question) == "correct"
            right[i, k] = verdicts[question.id, text]
    return Known(right, np.array([question.split_key for question in questions]))


def perplexities(
    alphas: Sequence[float], losses: Sequence[Loss], *, resamples: int, seed: int
) -> tuple[Bootstrap, Rates]:
    """Perplexity at every alpha: exp(sum of -log p / tokens), with passages as what is resampled."""
    passages = sorted({loss.passage for loss in losses})
    place = {passage: i for i, passage in enumerate(passages)}
    column = {alpha: k for k, alpha in enumerate(alphas)}
    nll: Float64[np.ndarray, "passages alphas"] = np.zeros((len(passages), len(alphas)))
    tokens = np.zeros_like(nll)
    for loss in losses:
        nll[place[loss.passage], column[loss.alpha]] = loss.nll
        tokens[place[loss.passage], column[loss.alpha]] = loss.n_tokens
    bootstrap = Bootstrap(np.arange(len(passages)), resamples=resamples, seed=seed)
    whole = np.exp(ratio(nll.sum(axis=0), tokens.sum(axis=0)))
    return bootstrap, Rates(whole, np.exp(ratio(bootstrap.totals(nll), bootstrap.totals(tokens))))


def cost_curve(
    neurons: str,
    kind: Kind,
    alphas: Sequence[float],
    answered: Known,
    losses: Sequence[Loss],
    *,
    resamples: int,
    seed: int,
) -> CostCurve:
    """The cost of one set of neurons over alpha, paired with the intact model at alpha 1.

    Args:
        neurons: the set's name.
        kind: and its kind.
        alphas: ascending, 1 among them.
        answered: the known questions.
        losses: of every passage at every alpha, those of the intact model at alpha 1 among them.
        resamples: of questions, and of passages.
        seed: of the resamples.
    """
    one = list(alphas).index(1.0)
    by_question = Bootstrap(answered.groups, resamples=resamples, seed=seed)
    accuracy = rates(by_question, answered.right, np.ones_like(answered.right))
    by_passage, perplexity = perplexities(alphas, losses, resamples=resamples, seed=seed)
    relative = Rates(perplexity.value / perplexity.value[one], perplexity.replicates / perplexity.replicates[:, [one]])
    seen = {alpha: sum(loss.seen for loss in losses if loss.alpha == alpha) for alpha in alphas}
    turned = {alpha: sum(loss.turned for loss in losses if loss.alpha == alpha) for alpha in alphas}
    columns = zip(
        alphas,
        estimates(by_question, accuracy),
        differences(by_question, accuracy, one),
        estimates(by_passage, perplexity),
        estimates(by_passage, relative),
        strict=True,
    )
    return CostCurve(
        neurons=neurons,
        kind=kind,
        points=tuple(
            CostPoint(
                alpha=alpha,
                known_accuracy=right,
                known_difference=change,
                perplexity=read,
                perplexity_ratio=against,
                turned=turned_share(alpha, seen[alpha], turned[alpha], kind == "gated"),
            )
            for alpha, right, change, read, against in columns
        ),
    )


def cost_of(point: CostPoint, cost: Cost) -> float | None:
    """What an alpha costs: the share of known questions that is lost, or the perplexity as a multiple of that at 1."""
    if cost == "perplexity":
        return point.perplexity_ratio.value
    return None if point.known_difference.value is None else -point.known_difference.value
