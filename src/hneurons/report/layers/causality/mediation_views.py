"""The tables of mediation and ablation: lines of cells as they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hneurons.layers.causality.mediation_record import Mediator, Where
from hneurons.layers.causality.record import Causality
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.causality.mediation_figures import WAYS
from hneurons.report.numbers import p_value
from hneurons.report.views import Cell, plain, share

MOST = 10
"""Components that are listed."""
ABSENT = Estimate(value=None, low=None, high=None, reason="not asked")


@dataclass(frozen=True)
class MediatorLine:
    """One component: effects in the logit difference by position, past it, of an unrelated run, in probability."""

    name: str
    everywhere: Cell
    subject: Cell
    last: Cell
    direct: Cell
    unrelated: Cell
    probability: Cell
    unrelated_probability: Cell


@dataclass(frozen=True)
class AblationLine:
    """One component taken out in one way: what it changes for either kind of answers, and how sure their difference."""

    name: str
    way: str
    hallucinated: Cell
    faithful: Cell
    difference: Cell
    margin: Cell
    rate: Cell
    faithful_rate: Cell
    q: str


def mediator_lines(found: Causality) -> list[MediatorLine]:
    """The components with the largest indirect effects at all tokens, and the H-Neurons last."""
    if found.mediation is None:
        return []
    every = [each for each in found.mediation.mediators if each.where == "all"]
    own = [each for each in every if each.component.kind == "neurons"]
    rest = sorted(
        (each for each in every if each not in own), key=lambda each: -(each.difference.nie_share.value or 0.0)
    )
    lines = []
    for each in [*rest[:MOST], *own]:
        subject, last = _at(found, each, "subject"), _at(found, each, "last")
        strange, unlikely = each.unrelated_difference, each.unrelated_probability
        lines.append(
            MediatorLine(
                name=each.component.label,
                everywhere=share(each.difference.nie_share),
                subject=share(ABSENT if subject is None else subject.difference.nie_share),
                last=share(ABSENT if last is None else last.difference.nie_share),
                direct=share(each.difference.nde_share),
                unrelated=share(ABSENT if strange is None else strange.nie_share),
                probability=share(each.probability.nie_share),
                unrelated_probability=share(ABSENT if unlikely is None else unlikely.nie_share),
            )
        )
    return lines


def ablation_lines(found: Causality) -> list[AblationLine]:
    """Ablations of which the two kinds of answers differ most surely, and those of the H-Neurons last."""
    if found.ablation is None:
        return []
    own = [each for each in found.ablation.ablated if each.component.kind == "neurons"]
    rest = sorted((each for each in found.ablation.ablated if each not in own), key=lambda each: (each.q, each.p))
    return [
        AblationLine(
            name=each.component.label,
            way=WAYS[each.how],
            hallucinated=plain(each.hallucinated.logprob),
            faithful=plain(each.faithful.logprob),
            difference=plain(each.difference),
            margin=plain(each.hallucinated.margin or ABSENT),
            rate=share(each.hallucinated.rate),
            faithful_rate=share(each.faithful.rate),
            q=p_value(each.q),
        )
        for each in [*rest[:MOST], *own]
    ]


def _at(found: Causality, like: Mediator, where: Where) -> Mediator | None:
    """The same component at other tokens."""
    every = () if found.mediation is None else found.mediation.mediators
    return next((each for each in every if (each.component, each.where) == (like.component, where)), None)


MEDIATION_VIEWS: dict[str, Callable[..., object]] = {
    "causality_mediators": mediator_lines,
    "causality_ablations": ablation_lines,
}
