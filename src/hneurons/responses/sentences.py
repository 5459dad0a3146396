"""A response cut into sentences and clauses, by their characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from hneurons.responses.grammar import word_set
from hneurons.responses.response import Span

_ABBREVIATIONS = word_set(
    "mr mrs ms dr st mt prof sr jr no vs etc inc ltd co corp gen col capt lt sgt rev hon gov sen rep jan feb mar "
    "apr jun jul aug sep sept oct nov dec approx ca c e.g i.e a.k.a u.s u.k a.m p.m b.c a.d ph.d op vol ft"
)
_STOP = re.compile(r"[.!?。]+[\"'”’»)\]*]*(?=\s|$)|\n+")
_CONTRAST = re.compile(
    r"[,;:]?\s+(?:but|however|although|though|still|yet)\b,?\s*|;\s+|\s[-–—]+\s"
    r"|,\s+(?=perhaps|maybe|probably|possibly|"
    r"i think|i believe|i'd|i’d|i would|my (?:best )?guess|it (?:is|was|may|might|could)|if i)",
    re.IGNORECASE,
)


def trim(text: str, start: int, end: int) -> Span:
    """[start, end) without blanks at either side."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def sentences(text: str) -> tuple[Span, ...]:
    """The sentences of `text` with their final punctuation; a line break ends one, an abbreviation does not."""
    return tuple(_pieces(text, _sentence_ends(text)))


def clauses(text: str, sentence: Span) -> tuple[Span, ...]:
    """A sentence cut where it turns ("I'm not sure, | but Paris"), the joining words left out."""
    start, end = sentence
    cuts = [(start, start)] + [m.span() for m in _CONTRAST.finditer(text, start, end)] + [(end, end)]
    found = (trim(text, a[1], b[0]) for a, b in pairwise(cuts))
    return tuple(span for span in found if span[0] < span[1])


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _STOP.finditer(text):
        if match.group()[0] == "." and _abbreviated(text, match.start(), match.end()):
            continue
        yield match.end()
    yield len(text)


def _abbreviated(text: str, stop: int, end: int) -> bool:
    """Whether the full stop at `stop` ends an abbreviation or an initial rather than a sentence."""
    rest = text[end:].lstrip(" \t")
    if not rest or rest[0] == "\n":
        return False
    before = re.search(r"[\w.]*$", text[:stop])
    word = before.group() if before else ""
    if len(word) == 1 and word.isupper():
        return True
    if re.fullmatch(r"\d{1,2}", word) and not text[:stop][: -len(word)].rpartition("\n")[2].strip():
        return True  # the number of a list's item
    return word.lower() in _ABBREVIATIONS or rest[0].islower()


def _pieces(text: str, ends: Iterator[int]) -> Iterator[Span]:
    start = 0
    for end in ends:
        span = trim(text, start, end)
        if span[0] < span[1]:
            yield span
        start = end
