"""What counts as giving an alias: the alias itself, and the shorter or reordered forms that say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hneurons.responses.grammar import word_set
from hneurons.responses.normalise import Word, words

_PERSON = re.compile(
    r"\b(who|whose|whom|surname|last name|family name)\b"
    r"|\b(which|what|name the)\b[^,.?]{0,40}\b(actor|actress|author|writer|novelist|poet|playwright|singer"
    r"|songwriter|musician|composer|conductor|painter|artist|sculptor|architect|director|producer|president|politician|statesman|minister"
    r"|scientist|physicist|chemist|inventor|explorer|astronaut|philosopher|economist|general|admiral|golfer|footballer"
    r"|boxer|jockey|driver|player|cricketer|athlete|swimmer|comedian|presenter|broadcaster|businessman|businesswoman"
    r"|man|woman|person|husband|wife|king|queen|monarch|emperor|pope|saint|journalist|designer)\b"
    r"|\bwhich\b[^,.?]{0,40}\b(composed|wrote|painted|sang|directed|invented|discovered|starred|played)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(where|city|town|village|county|country|state|island|airport|stadium|location|place|venue|capital)\b",
    re.IGNORECASE,
)
_TITLES = word_set(
    "sir dame lord lady doctor mister mrs ms miss king queen prince princess president pope saint professor "
    "captain colonel general admiral emperor chancellor senator"
)
_CLAUSE = re.compile(
    r",\s+(?:who|which|that|where|when|because|although|as|in|at|by|from|so)\b|\s[-–—]\s|\s*;|\s\.\.\."
)
_PARENTHESIS = re.compile(r"\s*[\(\[]([^()\[\]]*)[\)\]]\s*")
_ACCEPT = re.compile(r"^(?:also\s+|or\s+)?(?:accept|allow|or|aka|also known as|also)\b[:\s]*", re.IGNORECASE)
_ITEMS = re.compile(r"\s*(?:,\s*(?:and|&)?|\s(?:and|&|\+|plus)\s)\s*", re.IGNORECASE)
_EITHER = re.compile(r"\b(either|name (?:one|any|a)|give (?:one|any|a|either|an)|one of)\b", re.IGNORECASE)


class Form(NamedTuple):
    """One way to give an alias: all `parts`, in any order.

    `qualifier` are the words left out that may still follow it ("York, *North Yorkshire*").
    """

    parts: tuple[tuple[Word, ...], ...]
    qualifier: tuple[Word, ...] = ()


def asks_for_person(question: str) -> bool:
    """Whether the question wants a person's name."""
    return bool(_PERSON.search(question))


def forms(alias: str, question: str) -> tuple[Form, ...]:
    """The forms of `alias`, the alias itself first, without doubles and without empty ones."""
    found: dict[tuple[tuple[str, ...], ...], Form] = {}
    for text, qualifier in _texts(alias, question):
        for form in (Form((words(text),), words(qualifier)), *_reordered(text, question)):
            key = tuple(tuple(word.text for word in part) for part in form.parts)
            if key and all(key):
                found.setdefault(key, form)
    return tuple(found.values())


def without_title(name: tuple[Word, ...]) -> tuple[Word, ...]:
    """A name of at least three words without a title before it ("King Edward III" -> "Edward III")."""
    return name[1:] if len(name) > 2 and name[0].text in _TITLES else name


def _texts(alias: str, question: str) -> Iterator[tuple[str, str]]:
    """`alias` and its shorter wordings, each with the qualifier left out from it."""
    yield alias, ""
    if _PARENTHESIS.search(alias):
        plain = _PARENTHESIS.sub(" ", alias).strip()
        yield plain, ""
        yield from _cut(plain, question)
        for inside in _PARENTHESIS.findall(alias):
            if _ACCEPT.match(inside):
                yield _ACCEPT.sub("", inside), ""
    yield from _cut(alias, question)


def _cut(alias: str, question: str) -> Iterator[tuple[str, str]]:
    """`alias` without an explanation, a place's qualifier, or either side of an "or"."""
    clause = _CLAUSE.search(alias)
    if clause and clause.start() > 1:
        yield alias[: clause.start()], ""
    head, comma, qualifier = alias.partition(",")
    if comma and not _ITEMS.search(qualifier.strip()) and _PLACE.search(question) and not asks_for_person(question):
        yield head, qualifier
    sides = re.split(r",?\s+or\s+", alias)
    if len(sides) == 2 and (", or " in alias or _EITHER.search(question) or _abbreviates(*sides)):
        yield from ((side, "") for side in sides)


def _reordered(text: str, question: str) -> Iterator[Form]:
    """A list's items in any order, and "Family, Given" as "Given Family"."""
    items = [words(item) for item in _ITEMS.split(text) if item]
    if len(items) > 1 and all(items):
        if text.count(",") == 1 and " and " not in text and asks_for_person(question) and len(items) == 2:
            yield Form((items[1] + items[0],))
            if items[1][0].text in _TITLES:
                yield Form((items[1][1:] + items[0],))
        else:
            yield Form(tuple(items))


def _abbreviates(a: str, b: str) -> bool:
    return initials(a) == b or initials(b) == a


def initials(text: str) -> str:
    """The capitals that the capitalised words of `text` begin with ("International Whaling Commission" -> "IWC")."""
    return "".join(re.findall(r"\b(?!(?:The|A|An) )([A-Z])[\w'’]*", text))
