"""Where an alias stands in a response and the response is still not right."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hneurons.responses.equivalence import same_word
from hneurons.responses.grammar import word_set
from hneurons.responses.normalise import Word, words

_DENIAL_BEFORE = re.compile(
    r"(?:\b(?:not(?! only| just| until| merely| simply)|never|neither|nor|rather than|instead of|unlike"
    r"|except(?: for)?|excluding|(?<!none )other than|contrary to|as opposed to|confused with"
    r"|mistaken for)\b|n['’]t\b(?! (?:only|just|until)))"
    r"(?:\s+[\w'’-]+){0,3}\W*$",
    re.IGNORECASE,
)
_DENIAL_AFTER = re.compile(
    r"^[\"'”’)]*\s+(?:is|was|are|were|did|does|has|had)(?:\s+not|n['’]t)\b(?! (?:only|just|until|merely))",
    re.IGNORECASE,
)
_BREAK = re.compile(r"[.;:!?\n]|,|\bbut\b")
_NEGATED_QUESTION = re.compile(r"\b(?:not|never|no|except|without)\b|n['’]t\b", re.IGNORECASE)

_SEVERAL = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|\d+|both|all|names of|either|any|list|members|are|were|give"
    r"|one of)\b|\bor\b",
    re.IGNORECASE,
)
_ITEM_WORDS = 4
_GUESSES = 4
_ALTERNATIVES = 3

_OTHER_PLACES = {
    "new": word_set("york jersey mexico england hampshire zealand guinea delhi caledonia orleans brunswick plymouth"),
    "north": word_set("korea carolina dakota america macedonia"),
    "south": word_set("korea carolina dakota america africa sudan"),
    "west": frozenset({"virginia"}),
    "east": frozenset({"timor"}),
    "northern": frozenset({"ireland", "cyprus", "macedonia"}),
    "western": frozenset({"sahara", "samoa"}),
    "central": frozenset({"america"}),
    "latin": frozenset({"america"}),
    "american": frozenset({"samoa"}),
    "equatorial": frozenset({"guinea"}),
    "papua": frozenset({"guinea", "new"}),
    "baja": frozenset({"california"}),
    "nova": frozenset({"scotia"}),
}


def denied(text: str, start: int, end: int, question: str) -> bool:
    """Whether the characters [start, end) are named only to be ruled out ("not Paris", "Paris is not")."""
    before = _BREAK.split(text[max(0, start - 80) : start])[-1]
    if _NEGATED_QUESTION.search(question):
        return False
    return bool(_DENIAL_BEFORE.search(before) or _DENIAL_AFTER.match(text[end : end + 40]))


def part_of_other_place(given: Sequence[Word], first: int, last: int) -> bool:
    """Whether the words [first, last) belong to another place's longer name (the York of New York, Guinea-Bissau)."""
    before = given[first - 1] if first else None
    if before and before.capital and given[first].text in _OTHER_PLACES.get(before.text, ()):
        return given[first - 1].end + 1 >= given[first].start
    return last < len(given) and given[last - 1].text == "guinea" and given[last].text == "bissau"


def repeats_question(match: Sequence[Word], question: str) -> bool:
    """Whether every word of a match stands in the question already; a number there may count something else."""
    asked = words(question)
    return any(len(b.text) > 1 and not b.value for b in match) and all(
        any(same_word(a, b) for a in asked) for b in match
    )


def is_list_of_guesses(answer: str, question: str) -> bool:
    """Whether an answer names so many candidates that one of them was bound to be right.

    Three or more joined by "or" alone, four or more however joined, each of at most four words. Never where the
    question asks for several, or offers a choice.
    """
    if _SEVERAL.search(question):
        return False
    items = [item for item in re.split(r"[,;\n/]|\b(?:or|and)\b", answer) if any(c.isalpha() for c in item)]
    alternatives = re.search(r"\bor\b", answer) and not re.search(r"\band\b", answer)
    least = _ALTERNATIVES if alternatives else _GUESSES
    return len(items) >= least and all(len(words(item)) <= _ITEM_WORDS for item in items)
