"""When two words count as one: plurals, British and American spelling, numbers."""

from __future__ import annotations

import re
from functools import lru_cache

from hneurons.responses.normalise import Word

_SPELLING = (
    (re.compile(r"(?<=[a-z]{2})our"), "or"),  # honour
    (re.compile(r"(?<=[a-z]{2})tre$"), "ter"),  # centre
    (re.compile(r"(?<=[a-z]{2})is(e|ed|er|ing|ation)$"), r"iz\1"),  # organise
    (re.compile(r"yse(?=[rd]?$)"), "yze"),  # analyse
    (re.compile(r"ae|oe"), "e"),  # encyclopaedia
    (re.compile(r"ph"), "f"),  # sulphur
    (re.compile(r"(?<=[a-z]{2})ogue$"), "og"),  # catalogue
    (re.compile(r"([a-z])\1"), r"\1"),  # traveller
    (re.compile(r"(?<=[a-z]{3})e?y$"), "ie"),  # whiskey, Wimpey
    (re.compile(r"gray"), "grey"),
)


def stem(text: str) -> str:
    """`text` without a plural ending; words of fewer than four letters, or in -ss, -us and -is, are left alone."""
    if len(text) < 4 or not text.isalpha() or text.endswith(("ss", "us", "is")):
        return text
    if text.endswith("ies") and len(text) > 4:
        return text[:-3] + "y"
    if text.endswith(("xes", "zes", "ches", "shes", "sses")):
        return text[:-2]
    return text[:-1] if text.endswith("s") else text


def same_word(gold: Word, given: Word) -> bool:
    """Whether the two are one word, in another number, spelling or notation."""
    if gold.text == given.text:
        return True
    if gold.value or given.value:
        return gold.value == given.value
    return _spelled(gold.text) == _spelled(given.text) or _cited(given.text) == gold.text


def same_rank(gold: Word, given: Word) -> bool:
    """Whether both are one number, be it "8", "VIII" or "the Eighth": what follows a name (Henry VIII)."""
    return (gold.value or "").removesuffix("th") == (given.value or "-").removesuffix("th")


@lru_cache(maxsize=65536)
def _spelled(text: str) -> str:
    """The singular of `text` in one spelling."""
    text = stem(text)
    if not text.isalpha() or len(text) < 4:
        return text
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text


def _cited(text: str) -> str:
    """`text` without the number of a footnote that sticks to it ("trovatore1"), as chat search engines leave it."""
    return re.sub(r"(?<=[a-z]{3})\d$", "", text)
