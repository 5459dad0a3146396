"""When two words count as one: plurals, British and American spelling, slips of a letter in long words, numbers."""

from __future__ import annotations

import re

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
    (re.compile(r"(?<=[a-z]{3})y$"), "ie"),  # Jinxy, Wimpey
    (re.compile(r"(?<=[a-z]{3})ey$"), "ie"),
    (re.compile(r"gray"), "grey"),
)
_LOOKALIKES = (
    {"iceland", "ireland"}, {"granada", "grenada"}, {"guiana", "guyana"}, {"colombia", "columbia"}, {"slovenia", "slavonia"},
    {"philip", "philippa"}, {"francis", "frances"}, {"frankfort", "frankfurt"}, {"gastronomy", "astronomy"},
    {"moldova", "moldavia"}, {"caledonia", "macedonia"}, {"christian", "christina"}, {"marshal", "martial"},
)  # fmt: skip
_LETTERS_FOR_A_SLIP = 8
_LETTERS_FOR_A_SLIP_IN_A_NAME = 6


def stem(text: str) -> str:
    """`text` without a plural ending; words of fewer than four letters, and those in -ss, -us and -is, are left alone."""
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
    return _spelled(stem(gold.text)) == _spelled(stem(given.text)) or _cited(given.text) == gold.text


def same_rank(gold: Word, given: Word) -> bool:
    """Whether both are one number, be it "8", "VIII" or "the Eighth": what follows a name (Henry VIII)."""
    return bool(gold.value and given.value) and str(gold.value).removesuffix("th") == str(given.value).removesuffix(
        "th"
    )


def slip(gold: str, given: str, *, in_a_name: bool) -> bool:
    """Whether `given` is `gold` with one letter wrong, missing, doubled or swapped, and no other known word.

    Only inside the word (endings tell Georgia from Georgian), and only where chance is unlikely: from eight letters on, or
    six where the other words of a name are all right (`in_a_name`).
    """
    if not gold.isalpha() or not given.isalpha() or gold[0] != given[0] or gold[-1] != given[-1]:
        return False
    if min(len(gold), len(given)) < (_LETTERS_FOR_A_SLIP_IN_A_NAME if in_a_name else _LETTERS_FOR_A_SLIP):
        return False
    return {gold, given} not in _LOOKALIKES and _one_edit(gold, given)


def _spelled(text: str) -> str:
    if not text.isalpha() or len(text) < 4:
        return text
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text


def _cited(text: str) -> str:
    """`text` without the number of a footnote that sticks to it ("trovatore1"), as chat search engines leave it."""
    return re.sub(r"(?<=[a-z]{3})\d$", "", text)


def _one_edit(a: str, b: str) -> bool:
    if abs(len(a) - len(b)) > 1:
        return False
    i = 0
    while i < min(len(a), len(b)) and a[i] == b[i]:
        i += 1
    return (
        a[i + 1 :] == b[i + 1 :]
        or a[i:] == b[i + 1 :]
        or a[i + 1 :] == b[i:]
        or a[i : i + 2] == b[i : i + 2][::-1]
        and a[i + 2 :] == b[i + 2 :]
    )
