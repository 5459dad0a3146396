"""The characters of one sentence that carry its claim, in the light of the question.

A statement falls into a subject, a verb and the rest. What repeats the question, or only points back ("it", "the
answer"), is not the claim; the other side is. That side is cut into chunks (an answer, where, when, by whom), and each
chunk loses the words before it that claim nothing ("located in the city of").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hneurons.responses.asked import Asked, base
from hneurons.responses.grammar import (
    ADJUNCT_PREPOSITIONS,
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    FILLERS,
    FUNCTION,
    LABELS,
    PARTICLES,
    POSSESSIVES,
    PREPOSITIONS,
    PRONOUNS,
    RELATIVES,
    VERBS,
    word_set,
)
from hneurons.responses.response import Span
from hneurons.responses.statements import Statement, Token, is_verb, statement, tokens, without_articles

_MONTHS = word_set(
    "january february march april may june july august september october november december century bc ad bce ce"
)


def claim_spans(text: str, sentence: Span, question: Asked) -> tuple[Span, ...]:
    """The spans of one sentence that carry its claim; empty if it is no statement that could be taken apart.

    Args:
        text: The whole response.
        sentence: The characters of the sentence in it.
        question: What was asked.
    """
    words = tokens(text, sentence, question)
    found = statement(text, words)
    if question.wording or (question.account and found and any(t.new for t in found.subject)):
        return ()
    if not (question.everything or any(t.asked for t in words) or (found and _points_back(found))):
        return ()
    chunks = _claims(text, found, question) if found else []
    return _spans(text, chunks or _last_name(words))


def _claims(text: str, said: Statement, question: Asked) -> list[list[Token]]:
    """The chunks of a statement that claim what was asked."""
    if question.choice and all(base(t.text) in question.choice for t in said.subject if t.content) and said.subject:
        return [_noun_phrase(text, said.subject)]
    chunks = _chunks(text, said.rest, question)
    if _subject_answers(said, chunks[0] if chunks else [], question):
        subject = _noun_phrase(text, said.subject)
        claims = [_stripped(subject, question) if question.number else subject]
    else:
        claims = [_claim(chunk, question) for chunk in chunks]
    if any(t.new and (t.capital or t.number) for t in said.adjunct[1:]):
        claims.insert(0, _stripped(said.adjunct[1:], question))
    wanted = _wanted([claim for claim in claims if claim], question)
    if not wanted and _points_back(said):  # the answer is in the question's own words
        unasked = [token._replace(asked=False) for token in said.rest]
        again = [_stripped(chunk, question) for chunk in _chunks(text, unasked, question)]
        wanted = _wanted([claim for claim in again if claim], question)
    return wanted


def _last_name(words: Sequence[Token]) -> list[list[Token]]:
    """The last name or number that a sentence about a named thing adds ("To visit Sokcho, travel to | South Korea")."""
    plain = any(t.new and not t.capital and not t.number for t in words)
    if not plain or not any(t.asked and t.capital for t in words) or len(words) < 4:
        return []
    last = [t for t in words if t.new and (t.number or (t.capital and t is not words[0]))][-1:]
    while last and (i := words.index(last[0])) and words[i - 1].new and words[i - 1].capital and last[0].capital:
        last.insert(0, words[i - 1])
    return [last] if last else []


def _points_back(said: Statement) -> bool:
    """Whether the subject only points at what was asked: "It", "The answer", "His name"."""
    return not any(token.new for token in said.subject)


def _subject_answers(said: Statement, chunk: Sequence[Token], question: Asked) -> bool:
    """Whether the subject answers, rather than what follows the verb, which begins with `chunk`."""
    new, old = sum(t.new for t in said.subject), sum(t.asked for t in said.subject)
    new_after, old_after = sum(t.new for t in chunk), sum(t.asked for t in (*said.verb, *said.rest))
    if not new or (question.everything and not old_after):
        return False
    if not new_after or (chunk and chunk[0].text in RELATIVES):
        return True
    if question.everything:
        return False
    if not old:
        return old_after > 0
    return new / (new + old) > new_after / (new_after + sum(t.asked for t in (*said.verb, *chunk)))


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
    if token.text in POSSESSIVES and any(t.new for t in chunk):
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
    kept = without_articles(kept)
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
    return kept if any(t.new for t in kept) else []


def _after_own_verb(chunk: Sequence[Token]) -> list[Token]:
    """What follows the verb of a chunk that is a clause of its own ("and its currency is | the yen")."""
    if chunk and chunk[0].text in CONJUNCTIONS | PRONOUNS | ARTICLES:
        for i in range(1, len(chunk)):
            if is_verb(chunk, i):
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
        or (first.label and (following.text in FUNCTION | LABELS | FILLERS or following.capital or following.number))
        or (first.label and following.text.startswith("."))
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


def _spans(text: str, chunks: Sequence[list[Token]]) -> tuple[Span, ...]:
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
