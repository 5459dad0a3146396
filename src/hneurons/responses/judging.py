"""The verdict on a response, by rule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hneurons.questions.question import Question
from hneurons.responses.aliases import Form, asks_for_person, forms
from hneurons.responses.bare import bare_answer
from hneurons.responses.dates import find_dates, whole_date
from hneurons.responses.matching import Match, matches
from hneurons.responses.normalise import Word, words
from hneurons.responses.refusals import answered_parts, is_refusal, refused_parts
from hneurons.responses.response import Span, Verdict
from hneurons.responses.spans import answer_spans
from hneurons.responses.traps import denied, is_list_of_guesses, part_of_other_place, repeats_question


class _Said(NamedTuple):
    """A response as it is judged: its words, the clauses that answer, the spans that carry the claim."""

    text: str
    words: tuple[Word, ...]
    claimed: tuple[Span, ...]
    spans: tuple[Span, ...]
    question: str
    person: bool


def judge(response_text: str, question: Question) -> Verdict:
    """Whether a response is right, wrong, or no answer at all.

    Right is a response that gives one of the question's aliases at word boundaries, in any of its common written forms,
    without denying it, hiding it among other guesses, or only repeating the question. A refusal phrase followed by an
    answer is an answer. With `question.answerable` False there is nothing to be right about: every answer is incorrect.
    """
    if question.answerable and _is_right(response_text, question):
        return "correct"
    return "refusal" if is_refusal(response_text) else "incorrect"


def _is_right(text: str, question: Question) -> bool:
    refused = refused_parts(text)
    said = _Said(
        text=text,
        words=words(text),
        claimed=answered_parts(text) if refused else ((0, len(text)),),
        spans=answer_spans(text, question.text),
        question=question.text,
        person=asks_for_person(question.text),
    )
    return any(_gives(said, alias, whole_counts=bool(refused)) for alias in question.aliases)


def _gives(said: _Said, alias: str, *, whole_counts: bool) -> bool:
    """Whether a response gives one alias. With `whole_counts`, also if it is the alias and looks like a refusal."""
    if _says_date(said, alias):
        return True
    bare = [said.text[slice(*span)] for span in said.spans if _within(span, said.claimed)]
    for form in _forms(alias, said.question):
        if whole_counts and len(form.parts) == 1 and _covers(form.parts[0], said):
            return True
        if all(any(_stands(said, match, form) for match in _places(part, said)) for part in form.parts):
            return True
        if any(bare_answer(answer, alias, form.parts, said.question, person=said.person) for answer in bare):
            return True
    return False


def _places(part: Sequence[Word], said: _Said) -> tuple[Match, ...]:
    return tuple(matches(part, said.words, person=said.person))


def _stands(said: _Said, match: Match, form: Form) -> bool:
    """Whether a place where an alias is written counts as giving it."""
    found = said.words[match.first : match.last]
    start, end = found[0].start, found[-1].end
    if not _within((start, end), said.claimed) or denied(said.text, start, end, said.question):
        return False
    if part_of_other_place(said.words, match.first, match.last) or _otherwise_qualified(said, match, form):
        return False
    if len(form.parts) > 1:
        return True
    spans = [span for span in said.spans if span[0] < end and start < span[1]]
    if not spans and repeats_question(found, said.question):
        return False
    return not any(is_list_of_guesses(said.text[slice(*span)], said.question) for span in spans)


def _otherwise_qualified(said: _Said, match: Match, form: Form) -> bool:
    """Whether an alias given without its qualifier has another one ("Birmingham, England" for "Birmingham, Alabama")."""
    if not form.qualifier or match.last >= len(said.words):
        return False
    following = said.words[match.last]
    between = said.text[said.words[match.last - 1].end : following.start]
    return between.strip() == "," and following.capital and following.text not in {word.text for word in form.qualifier}


def _says_date(said: _Said, alias: str) -> bool:
    date = whole_date(alias)
    return date is not None and any(
        date.agrees(other)
        for other in find_dates(said.text)
        if _within((other.start, other.end), said.claimed)
        and not denied(said.text, other.start, other.end, said.question)
    )


def _covers(part: Sequence[Word], said: _Said) -> bool:
    return any(match == (0, len(said.words)) for match in _places(part, said))


def _within(span: Span, parts: Sequence[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in parts)


@lru_cache(maxsize=8192)
def _forms(alias: str, question: str) -> tuple[Form, ...]:
    return forms(alias, question)
