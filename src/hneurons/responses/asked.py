"""What a question says already, and what kind of answer it wants."""

from __future__ import annotations

import re
from typing import NamedTuple

from hneurons.responses.grammar import FUNCTION, lemma
from hneurons.responses.normalise import fold

WORD = re.compile(r"(?<!\S)\.[a-z]{2,}|[£$€¥]?\d[\d,.]*\d%?|[^\W_]+(?:['’][^\W_]+)*(?:-[^\W_]+)*%?")
"""A word, with its hyphens and apostrophes; a number with its separators and currency."""

_OPEN = re.compile(
    r"\b(?:tell me|describe|write about|explain|talk about|facts|what do you know|what can you (?:tell|say)|introduce"
    r"|summari[sz]e)\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"\band (?:when|where|who|what|which|how|(?:in|on|of|by|for) (?:what|which))\b", re.IGNORECASE)
_DATE = re.compile(
    r"\b(?:when|(?:what|which)(?: \w+)? (?:year|date|day|month|decade|century)|give a year|in (?:what|which) year)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|tall|high|deep|large|big|fast|heavy)\b|\bwhat (?:number|percentage|age)\b"
    r"|\b(?:calling|dialling|phone|area) code\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:who|whom|whose|where)\b|\b(?:what|which)(?: \w+){0,2} (?:country|city|town|continent|state|county|capital"
    r"|river|island|time zone"
    r"|language|currency|company|team|band|author|actor|actress|king|queen|president|novel|book|film|play)\b",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(r"^\W*(?:why|how (?:did|do|does|is|was|were|are|would|could|can))\b", re.IGNORECASE)
_WORDING = re.compile(
    r"\b(?:opening|first|last|closing|final|famous) (?:line|sentence|words?)s?\b|\bstand(?:s|ing)? for\b", re.IGNORECASE
)
_CHOICE = re.compile(r"([\w'’ -]+?)\s*,?\s+or\s+([\w'’ -]+)")


class Asked(NamedTuple):
    """What a question says and wants.

    `lemmas` are its words in base form. `everything` is true where it asks for all there is to say, or is not known;
    `date`, `number` and `name` tell what it wants, `account` that it asks how or why, `wording` that it asks for a
    quotation, and `choice` holds the words of an "A or B".
    """

    lemmas: frozenset[str]
    everything: bool
    date: bool
    number: bool
    name: bool
    account: bool
    wording: bool
    choice: frozenset[str]


def asked(question: str) -> Asked:
    """Read a question; an empty one asks for everything."""
    found = lemmas(question)
    choice = _CHOICE.search(question)
    return Asked(
        lemmas=found,
        everything=not question.strip() or bool(_OPEN.search(question)) or bool(_SEVERAL.search(question)),
        date=bool(_DATE.search(question)),
        number=bool(_NUMBER.search(question)),
        name=bool(_NAME.search(question)),
        account=bool(_ACCOUNT.search(question)),
        wording=bool(_WORDING.search(question)),
        choice=lemmas(" ".join(choice.groups())) if choice else frozenset(),
    )


def lemmas(text: str) -> frozenset[str]:
    """The base forms of the words of `text` that carry meaning; of a hyphened word also its parts."""
    found = {fold(match.group()).replace("’", "'") for match in WORD.finditer(text)}
    found |= {part for word in found for part in word.split("-")}
    return frozenset(base(word) for word in found if word not in FUNCTION)


def base(word: str) -> str:
    """The base form of one folded word, without a possessive ending."""
    return lemma(word.removesuffix("'s").removesuffix("'"))
