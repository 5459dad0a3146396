"""Names that a response repeats from the question with a slip: "Flor is in Spain.", asked about Floridablanca."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from hneurons.responses.asked import lemmas
from hneurons.responses.grammar import FUNCTION
from hneurons.responses.normalise import fold

_NAME = re.compile(
    r"[A-Z][\w'’-]*(?:\s+(?:(?:de|del|di|do|da|dos|of|la|le|al|el|ed|van|von|bin|and)\s+)*[A-Z][\w'’-]*)*"
)
_WHERE = re.compile(r"\bwhere\b|\b(?:country|continent|state|time zone|city's time)\b", re.IGNORECASE)
_PLACED = re.compile(
    r"\s*([^.,;:!?]{1,60}?)\s+(?:is|lies|was|keeps|follows|belongs)\s+(?:\w+\s+){0,3}(?:in|on|to|of)\s+\S"
)
_SENTENCE = re.compile(r"\b(?:is|are|was|were|has|had|lies|keeps|uses|follows|belongs)\b")
_ALIKE = 0.6
_PREFIX = 3


def miscopied(text: str, question_text: str) -> frozenset[str]:
    """Base forms of the words of that name in `text` which miscopies a name of the question, or nothing.

    Only in a sentence that repeats no name of the question as it stands, and names something beside the miscopied one.
    A name is a copy of another if they begin with the same three letters or are as alike as 0.6 (Ratcliff-Obershelp).
    Asked where something is, whatever is said to be somewhere is meant to be it, however it is spelled.
    """
    said = [fold(match.group()) for match in _NAME.finditer(text)]
    asked = [name for name in _names(question_text) if name]
    if not asked or not said or any(re.search(rf"\b{re.escape(name)}\b", fold(text)) for name in asked):
        return frozenset()
    if _WHERE.search(question_text) and (placed := _PLACED.match(text)):
        return lemmas(placed.group(1))
    if len(said) < 2 or not _SENTENCE.search(text):
        return frozenset()
    alikeness, name = max((_alikeness(name, other), name) for name in said for other in asked)
    return lemmas(name) if alikeness >= _ALIKE else frozenset()


def _names(question_text: str) -> list[str]:
    """The names of a question, without the question word that may stand before them."""
    found = []
    for match in _NAME.finditer(question_text):
        words = [word for word in fold(match.group()).split() if word not in FUNCTION and word != "name"]
        found.append(" ".join(words))
    return found


def _alikeness(name: str, other: str) -> float:
    if name[:_PREFIX] == other[:_PREFIX] and len(name) >= _PREFIX:
        return 1.0
    return SequenceMatcher(None, name, other).ratio()
