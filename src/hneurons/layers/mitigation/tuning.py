"""Settings chosen on held-out training questions, by one rule for every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hneurons.errors import NotEnoughDataError
from hneurons.layers.mitigation.methods import Method
from hneurons.layers.mitigation.record import Tried

KEPT = 0.95
"""Share of the right answers of the unchanged model that a setting has to leave, for it to be chosen."""

RULE = (
    f"fewest hallucinations among the settings that leave at least {KEPT:.0%} of the unchanged model's number of right "
    "answers; where none does, the setting that leaves most"
)


@dataclass(frozen=True)
class Outcome:
    """Shares of the held-out questions that one setting answers right and hallucinates on."""

    method: Method
    correct: float
    hallucinated: float


def choose(tried: Sequence[Outcome], intact: float) -> int:
    """The number of the setting that `RULE` chooses; the first of equals, so list the mildest first.

    Args:
        tried: every setting of one method.
        intact: share that the unchanged model answers right.

    Raises:
        NotEnoughDataError: nothing was tried.
    """
    if not tried:
        raise NotEnoughDataError("no setting was tried, so that none can be chosen")
    able = [k for k, each in enumerate(tried) if each.correct >= KEPT * intact - 1e-12]
    if able:
        return min(able, key=lambda k: (tried[k].hallucinated, k))
    return max(range(len(tried)), key=lambda k: (tried[k].correct, -k))


def listed(tried: Sequence[Outcome], chosen: int) -> list[Tried]:
    """What was tried, for the record."""
    return [
        Tried(
            method=each.method.name,
            setting=each.method.setting,
            correct=each.correct,
            hallucinated=each.hallucinated,
            chosen=k == chosen,
        )
        for k, each in enumerate(tried)
    ]
