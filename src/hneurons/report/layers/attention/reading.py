"""What figures, words and tables of this part look up."""

from __future__ import annotations

from hneurons.layers.attention.record import Attention, Contrast, HeldOut, LayerShares, Measure, Share, Tests

NAMES = {
    "first": "first token",
    "template": "template",
    "question": "question",
    "subject": "subject",
    "context": "context",
    "response": "said before",
}
"""Segments as they are called; those of the code in the order in which they are shown."""


def contrasts(found: Attention) -> list[Contrast]:
    """Answers first, then cases with a context."""
    return [*([found.answers] if found.answers else []), *found.contexts]


def measured(contrast: Contrast, measure: Measure) -> Tests:
    """The tests of one measure."""
    return next(each for each in contrast.tests if each.measure == measure)


def share(layer: LayerShares, segment: str) -> Share | None:
    """One segment's share; None where no text has it."""
    return next((each for each in layer.shares if each.segment == segment), None)


def telling(contrast: Contrast) -> str:
    """The segment that a contrast is about: the context, where there is one, else the subject."""
    return next(
        name for name in ("context", "subject", contrast.whole.shares[0].segment) if share(contrast.whole, name)
    )


def sign(low: float | None, high: float | None) -> int:
    """On which side of 0 an interval lies: 1, -1, or 0 where it holds 0 or is none."""
    if low is None or high is None:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def head_name(head: HeldOut) -> str:
    """Layer 5, head 3."""
    return f"layer {head.layer}, head {head.head}"


def texts(contrast: Contrast) -> str:
    """What is compared: answers or cases."""
    return "answers" if contrast.name == "answers" else "cases"
