"""The characters of one sentence that carry its claim, in the light of the question.

A statement falls into a subject, a verb and the rest. What repeats the question, or only points back ("it", "the
answer"), is not the claim; the other side is. That side is cut into chunks (an answer, where, when, by whom), and each
chunk loses the words before it that claim nothing ("located in the city of").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from hneurons.responses.asked import WORD, Asked, base
from hneurons.responses.grammar import (
    ADJUNCT_PREPOSITIONS,
    ADVERBS,
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    CONTRACTED,
    FILLERS,
    FUNCTION,
    LABELS,
    PARTICIPLES,
    PARTICLES,
    PREPOSITIONS,
    PRONOUNS,
    RELATIVES,
    VERBS,
)
from hneurons.responses.normalise import fold
from hneurons.responses.numerals import ordinal, read_number
from hneurons.responses.response import Span

_MONTHS = frozenset(
    [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "century",
        "bc",
        "ad",
        "bce",
        "ce",
    ]
)


class Token(NamedTuple):
    """A word of a sentence: folded, with its characters, whether it has a capital, and whether the question has it."""

    text: str
    start: int
    end: int
    capital: bool
    asked: bool

    @property
    def content(self) -> bool:
        """Whether it carries meaning: no function word (one with a capital may belong to a name or title)."""
        return self.text not in FUNCTION or (self.capital and self.text in ADVERBS)

    @property
    def new(self) -> bool:
        """Whether it may be part of the claim."""
        return self.content and not self.asked and not (self.text in LABELS and not self.capital)

    @property
    def number(self) -> bool:
        return any(c.isdigit() for c in self.text) or read_number([self.text])[1] > 0 or ordinal(self.text) is not None


def claim_spans(text: str, sentence: Span, question: Asked) -> tuple[Span, ...]:
    """The spans of one sentence that carry its claim; empty if it is no statement that could be taken apart.

    Args:
        text: The whole response.
        sentence: The characters of the sentence in it.
        question: What was asked.
    """
    tokens = _tokens(text, sentence, question)
    verb = _main_verb(tokens)
    if verb is None or question.wording:
        return ()
    adjunct, subject = _leading_adjunct(text, tokens[: verb[0]])
    rest = tokens[verb[1] :]
    named = [token for token in tokens if token.content]
    if question.account and any(t.new for t in subject):
        return ()
    if not question.everything and not any(t.asked for t in named) and not _points_back(subject):
        return ()
    if question.choice and subject and all(base(t.text) in question.choice for t in subject if t.content):
        return _close(text, [_noun_phrase(text, subject)])
    if _is_answer(subject, next(iter(_chunks(text, rest, question)), []), tokens[verb[0] : verb[1]], question):
        chunks = [_stripped(_noun_phrase(text, subject), question) if question.number else _noun_phrase(text, subject)]
    else:
        chunks = [_claim(chunk, question) for chunk in _chunks(text, rest, question)]
    if any(t.new for t in adjunct):
        chunks.insert(0, _stripped(adjunct, question))
    found = _wanted([chunk for chunk in chunks if chunk], question)
    if not found and _points_back(subject):  # the answer is in the question's own words
        unasked = [token._replace(asked=False) for token in rest]
        found = _wanted([c for c in (_stripped(c, question) for c in _chunks(text, unasked, question)) if c], question)
    return _close(text, found)


def _tokens(text: str, sentence: Span, question: Asked) -> list[Token]:
    found: list[Token] = []
    for match in WORD.finditer(text, *sentence):
        word = fold(match.group()).replace("’", "'")
        known = base(word) in question.lemmas or ("-" in word and set(map(base, word.split("-"))) <= question.lemmas)
        found.append(
            Token(word, match.start(), match.end(), match.group()[0].isupper(), known and word not in FUNCTION)
        )
    return found


def _main_verb(tokens: Sequence[Token]) -> tuple[int, int] | None:
    """The words [first, last) of the main verb with its auxiliaries and participles, or None."""
    in_relative = False
    for i, token in enumerate(tokens):
        if token.text in RELATIVES - {"as", "since", "that", "while"} or (token.text == "that" and i > 0):
            in_relative = True
        if not _is_verb(tokens, i):
            continue
        last = i + 1
        group = tokens[i].text in AUXILIARIES
        while last < len(tokens) and group and _continues(tokens[last]):
            last += 1
        if in_relative:  # the verb of "who wrote Hamlet" is spent; the next is the sentence's own
            in_relative = False
            continue
        if i > 0 or tokens[i].text in CONTRACTED:
            return i, last
    return None


def _is_verb(tokens: Sequence[Token], i: int) -> bool:
    token = tokens[i]
    if token.text in CONTRACTED and i == 0:  # but "It's a Wonderful Life" is a title
        return not all(t.capital for t in tokens[1:] if t.content) or len(tokens) < 4
    if token.capital or (i and tokens[i - 1].text in ARTICLES | PREPOSITIONS):
        return False
    if token.text in AUXILIARIES or token.text in VERBS:
        return True
    before = tokens[i - 1] if i else None
    return (
        token.text.endswith("ed") and before is not None and (before.capital or before.asked or before.text in PRONOUNS)
    )


def _continues(token: Token) -> bool:
    """Whether a word goes on with the verb group begun by an auxiliary ("has | been originally written")."""
    if token.capital:
        return False
    participle = token.text in PARTICIPLES or (token.text.endswith("ed") and len(token.text) > 4)
    return token.text in AUXILIARIES or token.text in ADVERBS or participle


def _leading_adjunct(text: str, subject: Sequence[Token]) -> tuple[list[Token], list[Token]]:
    """ "In 1969, Neil Armstrong" as the adjunct "In 1969" and the subject "Neil Armstrong"."""
    if subject and subject[0].text in PREPOSITIONS:
        for i in range(1, len(subject)):
            if "," in text[subject[i - 1].end : subject[i].start]:
                return list(subject[:i]), list(subject[i:])
    return [], list(subject)


def _points_back(subject: Sequence[Token]) -> bool:
    """Whether a subject only points at what was asked: "It", "The answer", "His name"."""
    return not any(token.new for token in subject)


def _is_answer(subject: Sequence[Token], rest: Sequence[Token], verb: Sequence[Token], question: Asked) -> bool:
    """Whether the subject answers, rather than what follows the verb."""
    new, old = sum(t.new for t in subject), sum(t.asked for t in subject)
    new_after = sum(t.new for t in rest)
    old_after = sum(t.asked for t in (*verb, *rest))
    if not new or (question.everything and not old_after):
        return False
    if not new_after:
        return True
    if question.everything:
        return False
    if not old:
        return old_after > 0
    return new / (new + old) > new_after / (new_after + old_after)


def _chunks(text: str, tokens: Sequence[Token], question: Asked) -> list[list[Token]]:
    """What follows a verb, cut where another piece of information begins."""
    chunks: list[list[Token]] = []
    for i, token in enumerate(tokens):
        if not chunks or _begins_chunk(text, tokens, i, chunks[-1], question):
            chunks.append([])
        chunks[-1].append(token)
    return chunks


def _begins_chunk(text: str, tokens: Sequence[Token], i: int, chunk: Sequence[Token], question: Asked) -> bool:
    token, between = tokens[i], text[tokens[i - 1].end : tokens[i].start]
    following = next((t for t in tokens[i + 1 :] if t.text not in ARTICLES), None)
    if any(mark in between for mark in ";:(—–"):
        return True
    if token.capital and token.text not in CONJUNCTIONS:
        return False
    opens = token.text in PREPOSITIONS | RELATIVES | ARTICLES | AUXILIARIES | VERBS or token.text.endswith(
        ("ing", "ed")
    )
    if "," in between and opens:
        return True
    if token.text in CONJUNCTIONS and following:
        return following.text in AUXILIARIES | VERBS | PRONOUNS | PREPOSITIONS | LABELS | FILLERS
    if token.text in RELATIVES:
        return True
    if token.text in ADJUNCT_PREPOSITIONS and following and any(t.new for t in chunk):
        if token.text == "by":
            return following.capital
        if question.date and any(t.number for t in chunk) and not following.number:
            return True
        return following.asked or following.number or following.text in _MONTHS or following.text in LABELS
    return False


def _noun_phrase(text: str, subject: Sequence[Token]) -> list[Token]:
    """A subject without a leading lower-case article and without an apposition ("Ulm, a city in Germany,")."""
    kept: list[Token] = []
    for token in subject:
        comma = kept and "," in text[kept[-1].end : token.start]
        if comma and not token.capital and token.text in ARTICLES | RELATIVES | PREPOSITIONS:
            break
        kept.append(token)
    while kept and kept[0].text in ARTICLES | CONJUNCTIONS | ADVERBS | {"about", "around", "over"} and len(kept) > 1:
        kept = kept[1:]
    while kept and not kept[-1].content:
        kept.pop()
    return kept


def _claim(chunk: Sequence[Token], question: Asked) -> list[Token]:
    """A chunk stripped; a clause of its own may claim what the question names ("it keeps the time of Seoul")."""
    kept = _stripped(chunk, question)
    if not kept and question.everything and _after_own_verb(chunk) != list(chunk):
        return _stripped([token._replace(asked=False) for token in chunk], question)
    return kept


def _stripped(chunk: Sequence[Token], question: Asked) -> list[Token]:
    """A chunk without the words around it that claim nothing; empty if nothing is left."""
    kept = _after_own_verb(chunk)
    while kept and _claims_nothing(kept):
        kept = kept[1:]
    while kept and _trails(kept[-1], question):
        kept.pop()
    return kept if any(t.content and not t.asked for t in kept) else []


def _after_own_verb(chunk: Sequence[Token]) -> list[Token]:
    """What follows the verb of a chunk that is a clause of its own ("and its currency is | the yen")."""
    if chunk and chunk[0].text in CONJUNCTIONS | PRONOUNS | ARTICLES:
        for i in range(1, len(chunk)):
            if _is_verb(chunk, i):
                return list(chunk[i + 1 :])
    return list(chunk)


def _trails(last: Token, question: Asked) -> bool:
    """Whether the last word of a chunk can go: a joining word, or what the question called the answer."""
    called = last.asked and not last.capital and not last.number
    return not last.content or (called and (question.number or last.text in LABELS))


def _claims_nothing(kept: Sequence[Token]) -> bool:
    """Whether the first of these words can go."""
    first, following = kept[0], kept[1] if len(kept) > 1 else None
    if first.capital and following is not None and following.capital:
        return False
    if not first.content:
        return not first.capital or first.text in PREPOSITIONS | ARTICLES
    if first.asked and not first.number:
        return True
    if following is None:
        return False
    return not first.capital and (
        first.text in FILLERS | VERBS
        or (first.text in LABELS and (following.text in FUNCTION | LABELS or following.capital))
    )


def _wanted(chunks: Sequence[list[Token]], question: Asked) -> list[list[Token]]:
    """The chunks that the question asks for: all of them, or the first of the right kind."""
    if question.everything:
        return list(chunks)
    if len(chunks) < 2:
        return [_name_alone(chunk, question) for chunk in chunks]
    dated = [chunk for chunk in chunks if any(t.number for t in chunk)]
    if question.date or question.number:
        return (dated or list(chunks))[:1]
    undated = [c for c in chunks if not all(t.number or t.text in _MONTHS or not t.content for t in c)] or list(chunks)
    named = [chunk for chunk in undated if any(t.capital and t.new for t in chunk)]
    return [_name_alone(chunk, question) for chunk in (named if question.name and named else undated)[:1]]


def _name_alone(chunk: list[Token], question: Asked) -> list[Token]:
    """Where a name is wanted, "character in Hamlet" without what only leads to it."""
    first = len(chunk)
    while first and chunk[first - 1].capital:
        first -= 1
    if (
        question.name and 0 < first < len(chunk) and chunk[first - 1].new and chunk[first - 1].text not in PARTICLES
    ):  # "the scientist | Alexander Fleming"
        return chunk[first:]
    if question.name and not chunk[0].capital:
        for i, token in enumerate(chunk[1:], 1):
            if token.text in ADJUNCT_PREPOSITIONS and all(t.capital for t in chunk[i + 1 :] if t.content):
                return [t for t in chunk[i + 1 :] if t.text not in ARTICLES or t.capital] or chunk
    return chunk


def _close(text: str, chunks: Sequence[list[Token]]) -> tuple[Span, ...]:
    """Chunks as characters, with what closes them: the full stop of an initial, a bracket opened inside."""
    spans: list[Span] = []
    for chunk in chunks:
        if chunk:
            start, end = chunk[0].start, chunk[-1].end
            if text[end : end + 1] == "." and re.search(r"(?:\b[A-Z]\.)+[A-Z]$", text[start:end]):
                end += 1
            if text[start:end].count("(") > text[start:end].count(")") and text[end : end + 1] == ")":
                end += 1
            spans.append((start, end))
    return tuple(spans)
