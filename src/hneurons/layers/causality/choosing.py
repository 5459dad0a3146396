"""Which answers are ablated, and which run is unrelated to a pair."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.layers.answered import Answered
from hneurons.layers.causality.mediation import WHERES, Contrast, Spots
from hneurons.layers.causality.mediation_record import Where
from hneurons.layers.causality.pairs import Pair
from hneurons.questions.loading import rank


def balanced(answers: Sequence[Answered], each: int, seed: int = 0) -> list[Answered]:
    """As many hallucinated as faithful answers to every kind of question, at most `each` of either in all.

    Only such as part somewhere: hallucinated ones from a right answer, faithful ones where their answer begins. Kinds
    of questions take turns, an order that the seed decides within each, so that few answers are of all kinds.
    """
    able = [answer for answer in answers if answer.fork is not None]
    able = [answer for answer in able if not answer.hallucinated or (answer.fork and answer.fork.correct is not None)]
    kinds = sorted({answer.kind for answer in able})
    couples: dict[str, list[tuple[Answered, Answered]]] = {}
    for kind in kinds:
        own = sorted((answer for answer in able if answer.kind == kind), key=lambda answer: rank(answer.key, seed))
        hallucinated = [answer for answer in own if answer.hallucinated]
        faithful = [answer for answer in own if not answer.hallucinated]
        couples[kind] = list(zip(hallucinated, faithful, strict=False))
    found: list[Answered] = []
    for turn in range(max(map(len, couples.values()), default=0)):
        for kind in kinds:
            if turn < len(couples[kind]) and len(found) < 2 * each:
                found += couples[kind][turn]
    return found


def contrasts(pairs: Sequence[Pair], seed: int = 0) -> list[Contrast]:
    """Each pair as two runs, with the clean run of another pair as the unrelated one.

    That one has as many tokens, is of another question and gives neither answer of the pair; where there is one to the
    same kind of question it is taken. Positions are the same in all three.
    """
    return [_contrast(pair, _unrelated(pair, pairs, seed)) for pair in pairs]


def _contrast(pair: Pair, other: Pair | None) -> Contrast:
    last = len(pair.clean_input) - 1
    places: dict[Where, tuple[int, ...]] = {
        "all": tuple(range(last + 1)),
        "subject": pair.mentions,
        "last": (last,),
    }
    return Contrast(
        group=pair.corrupt.group,
        clean=pair.clean_input,
        corrupt=pair.corrupt_input,
        answers=pair.answers,
        spots={where: Spots(places[where], places[where], places[where]) for where in WHERES if places[where]},
        unrelated=None if other is None else other.clean_input,
    )


def _unrelated(pair: Pair, pairs: Sequence[Pair], seed: int) -> Pair | None:
    own = {pair.clean.group, pair.corrupt.group}
    free = [
        other
        for other in pairs
        if other.clean.group not in own
        and len(other.clean_input) == len(pair.clean_input)
        and other.answers[0] not in pair.answers
    ]
    free.sort(key=lambda other: (other.clean.kind != pair.clean.kind, rank(f"{pair.key} {other.key}", seed)))
    return free[0] if free else None
