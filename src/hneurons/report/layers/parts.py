"""The parts of the layers that a run was asked: title, words, figures, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hneurons.layers.record import Layers
from hneurons.layers.settings import PARTS
from hneurons.report.illustration import Illustration
from hneurons.report.layers.attention import figures as attention
from hneurons.report.layers.attention import sentences as attention_words
from hneurons.report.layers.causality import figures as causality
from hneurons.report.layers.causality import sentences as causality_words
from hneurons.report.layers.comparison import figures as comparison
from hneurons.report.layers.comparison import sentences as comparison_words
from hneurons.report.layers.concepts import figures as concepts
from hneurons.report.layers.concepts import sentences as concepts_words
from hneurons.report.layers.confidence import figures as confidence
from hneurons.report.layers.confidence import sentences as confidence_words
from hneurons.report.layers.mitigation import figures as mitigation
from hneurons.report.layers.mitigation import sentences as mitigation_words
from hneurons.report.layers.tracking import figures as tracking
from hneurons.report.layers.tracking import sentences as tracking_words

TITLES = {
    "tracking": "Where the answer is decided",
    "comparison": "Faithful against hallucinated",
    "attention": "What it looks at",
    "confidence": "How sure it is",
    "concepts": "Directions",
    "causality": "What causes it",
    "mitigation": "What helps",
}
_MADE: dict[str, tuple[Any, Any]] = {
    "tracking": (tracking, tracking_words),
    "comparison": (comparison, comparison_words),
    "attention": (attention, attention_words),
    "confidence": (confidence, confidence_words),
    "concepts": (concepts, concepts_words),
    "causality": (causality, causality_words),
    "mitigation": (mitigation, mitigation_words),
}


@dataclass(frozen=True)
class PartShown:
    """One part of the layers for the report and the terminal; `reason` says why there is nothing to show.

    `headlines` are what matters most, `sentences` all the rest.
    """

    name: str
    title: str
    found: Any
    headlines: tuple[str, ...]
    sentences: tuple[str, ...]
    illustrations: tuple[Illustration, ...]
    reason: str


def parts_shown(layers: Layers) -> list[PartShown]:
    """Every part that was asked, in order."""
    shown = []
    for name in PARTS:
        found, reason = getattr(layers, name), layers.missing.get(name, "")
        if found is not None:
            drawn, said = _MADE[name]
            first = tuple(said.headlines(found))
            words = tuple(each for each in said.sentences(found) if each not in first)
            shown.append(PartShown(name, TITLES[name], found, first, words, tuple(drawn.illustrations(found)), ""))
        elif reason:
            shown.append(PartShown(name, TITLES[name], None, (), (), (), reason))
    return shown
