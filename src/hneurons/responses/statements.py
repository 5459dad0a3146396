"""A sentence as a statement: its words, its main verb, what stands before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hneurons.responses.asked import WORD, Asked, base
from hneurons.responses.grammar import (
    ADVERBS,
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    CONTRACTED,
    FUNCTION,
    LABELS,
    PARTICIPLES,
    PREPOSITIONS,
    PRONOUNS,
    RELATIVES,
    VERBS,
)
from hneurons.responses.normalise import fold
from hneurons.responses.numerals import ordinal, read_number
from hneurons.responses.response import Span


class Token(NamedTuple):
    """A word of a sentence: folded, with its characters, whether it has a capital, and whether the question has it."""

    text: str
    start: int
    end: int
    capital: bool
    asked: bool

    @property
    def content(self) -> bool:
        """Whether it carries meaning: no function word (an adverb with a capital may belong to a title)."""
        return self.text not in FUNCTION or (self.capital and self.text in ADVERBS)

    @property
    def label(self) -> bool:
        """Whether it only says what kind of thing the answer is."""
        return self.text in LABELS and not self.capital

    @property
    def new(self) -> bool:
        """Whether it may be part of the claim."""
        return self.content and not self.asked and not self.label

    @property
    def number(self) -> bool:
        """Whether it is a number, in digits or in words."""
        return any(c.isdigit() for c in self.text) or read_number([self.text])[1] > 0 or ordinal(self.text) is not None


class Statement(NamedTuple):
    """A sentence in parts: "In 1969, | Neil Armstrong | walked | on the Moon"."""

    adjunct: tuple[Token, ...]
    subject: tuple[Token, ...]
    verb: tuple[Token, ...]
    rest: tuple[Token, ...]

    @property
    def tokens(self) -> tuple[Token, ...]:
        return (*self.adjunct, *self.subject, *self.verb, *self.rest)


def tokens(text: str, sentence: Span, question: Asked) -> tuple[Token, ...]:
    """The words of one sentence, in the light of the question."""
    found: list[Token] = []
    for match in WORD.finditer(text, *sentence):
        word = fold(match.group()).replace("’", "'")
        known = base(word) in question.lemmas or ("-" in word and set(map(base, word.split("-"))) <= question.lemmas)
        capital = match.group()[0].isupper()
        found.append(Token(word, match.start(), match.end(), capital, known and word not in FUNCTION))
    return tuple(found)


def statement(text: str, words: Sequence[Token]) -> Statement | None:
    """The words of a sentence in parts, or None if it has no verb that is found."""
    verb = _main_verb(words)
    if verb is None:
        return None
    before = tuple(words[: verb[0]])
    cut = _adjunct_end(text, before)
    return Statement(before[:cut], before[cut:], tuple(words[slice(*verb)]), tuple(words[verb[1] :]))


def is_verb(words: Sequence[Token], i: int) -> bool:
    """Whether word i is a verb, as far as its form and its neighbours tell."""
    word, before = words[i], words[i - 1] if i else None
    if word.text in CONTRACTED and before is None:  # but "It's a Wonderful Life" is a title
        return not all(w.capital for w in words[1:] if w.content) or len(words) < 4
    if word.capital or before is None or before.text in ARTICLES | PREPOSITIONS:
        return False
    if word.text in AUXILIARIES | VERBS:
        return True
    if word.text.endswith("ed") and (before.capital or before.asked or before.text in PRONOUNS):
        return True
    return _stands_like_a_verb(words, i)


def _stands_like_a_verb(words: Sequence[Token], i: int) -> bool:
    """Whether an unknown word stands between a name and an object: "Sokcho | follows | the time of Seoul"."""
    word, before = words[i], words[i - 1]
    following = words[i + 1] if i + 1 < len(words) else None
    if following is None or not word.new or not word.text.isalpha() or not (before.capital or before.text in ADVERBS):
        return False
    if not any(w.asked and w.capital for w in words[:i]) and not word.text.endswith("s"):
        return False
    opens = following.text in ARTICLES | PRONOUNS or following.number
    if before.asked or before.text in ADVERBS:
        opens = opens or following.text in PREPOSITIONS - {"of"}
    return opens and any(w.asked and w.capital for w in words)


def _main_verb(words: Sequence[Token]) -> tuple[int, int] | None:
    """The words [first, last) of the main verb with its auxiliaries and participles, or None."""
    in_relative = False
    for i, word in enumerate(words):
        if word.text in RELATIVES - {"as", "since", "that", "while"} or (word.text == "that" and i > 0):
            in_relative = True
        if not is_verb(words, i):
            continue
        if in_relative:  # the verb of "who wrote Hamlet" is spent; the next is the sentence's own
            in_relative = False
            continue
        last = i + 1
        while last < len(words) and word.text in AUXILIARIES and _continues(words[last]):
            last += 1
        return i, last
    return None


def _continues(word: Token) -> bool:
    """Whether a word goes on with the verb begun by an auxiliary ("has | been originally written")."""
    participle = word.text in PARTICIPLES or (word.text.endswith("ed") and len(word.text) > 4)
    return not word.capital and (word.text in AUXILIARIES | ADVERBS or participle)


def _adjunct_end(text: str, before: Sequence[Token]) -> int:
    """How many of the words before a verb are an adjunct: "In 1969," or, before "there is", "In Asia"."""
    if not before or before[0].text not in PREPOSITIONS - {"to"}:
        return 0
    for i in range(1, len(before)):
        if "," in text[before[i - 1].end : before[i].start] or (before[i].text == "there" and i == len(before) - 1):
            return i
    return 0


def without_articles(words: Sequence[Token]) -> list[Token]:
    """A phrase without what may lead it ("the", "about")."""
    kept = list(words)
    while len(kept) > 1 and kept[0].text in ARTICLES | CONJUNCTIONS | ADVERBS:
        kept = kept[1:]
    return kept
