"""The verdict on a response, by rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hneurons.questions.question import Question
from hneurons.responses.aliases import Form, asks_for_person, forms
from hneurons.responses.bare import bare_answer
from hneurons.responses.dates import find_dates, whole_date
from hneurons.responses.matching import Match, matches
from hneurons.responses.normalise import Word, words
from hneurons.responses.refusals import answered_parts, declines, is_refusal, refused_parts
from hneurons.responses.response import Span, Verdict
from hneurons.responses.spans import answer_spans
from hneurons.responses.traps import denied, is_list_of_guesses, part_of_other_place, repeats_question

_HEDGE = re.compile(
    r"\b(?:could|may|might|either|possibly|perhaps|maybe|probably|guess(?:es)?)\b[^.!?\n]*$", re.IGNORECASE
)


class _Said(NamedTuple):
    """A response as it is judged.

    `claimed` are the clauses that answer, `spans` where the claim is, and `guesses` the parts that list so many
    candidates that none of them counts.
    """

    text: str
    words: tuple[Word, ...]
    claimed: tuple[Span, ...]
    spans: tuple[Span, ...]
    guesses: tuple[Span, ...]
    question: str
    person: bool


def judge(response_text: str, question: Question) -> Verdict:
    """Whether a response is right, wrong, or no answer at all.

    Right is a response that gives one of the question's aliases at word boundaries, in any of its common written forms,
    without denying it, hiding it among other guesses, or only repeating the question. A refusal phrase followed by an
    answer is an answer. With `question.answerable` False there is nothing to be right about: every answer is incorrect.
    """
    if question.answerable:
        said = _read(response_text, question.text)
        if any(_gives(said, alias) for alias in question.aliases):
            return "correct"
    return "refusal" if is_refusal(response_text) else "incorrect"


def _read(text: str, question: str) -> _Said:
    spans = answer_spans(text, question)
    return _Said(
        text=text,
        words=words(text),
        claimed=answered_parts(text) if refused_parts(text) else ((0, len(text)),),
        spans=spans,
        guesses=tuple(run for run in _runs(text, spans) if _guessed(text, run, question)),
        question=question,
        person=asks_for_person(question),
    )


def _runs(text: str, spans: Sequence[Span]) -> list[Span]:
    """The spans, those joined that only bullets and line breaks keep apart: the items of one list."""
    runs: list[Span] = []
    for start, end in spans:
        if runs and not any(c.isalpha() for c in text[runs[-1][1] : start]):
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _guessed(text: str, run: Span, question: str) -> bool:
    """Whether a list of guesses is all there is, or is put as guesses ("It could be Paris, Lyon or Nice.")."""
    alone = not any(c.isalpha() for c in text[: run[0]] + text[run[1] :])
    return (alone or bool(_HEDGE.search(text[: run[0]]))) and is_list_of_guesses(text[slice(*run)], question)


def _gives(said: _Said, alias: str) -> bool:
    """Whether a response gives one alias, in any of its forms."""
    if declines(alias):  # "Unknown" is no refusal where it is the answer
        said = said._replace(claimed=((0, len(said.text)),))
    if _says_date(said, alias):
        return True
    bare = [said.text[slice(*span)] for span in said.spans if _counts(said, span)]
    for form in _forms(alias, said.question):
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
    span = found[0].start, found[-1].end
    if not _counts(said, span, one_of_many=len(form.parts) > 1):
        return False
    if part_of_other_place(said.words, match.first, match.last) or _otherwise_qualified(said, match, form):
        return False
    answers = any(start < span[1] and span[0] < end for start, end in said.spans)
    return answers or not repeats_question(found, said.question)


def _counts(said: _Said, span: Span, *, one_of_many: bool = False) -> bool:
    """Whether what stands in a span is claimed: not refused, not denied, not one guess of many."""
    if not _within(span, said.claimed) or denied(said.text, *span, said.question):
        return False
    if one_of_many or re.search(r"[,;/\n]", said.text[slice(*span)]):
        return True
    return not any(a <= span[0] and span[1] <= b and (a, b) != span for a, b in said.guesses)


def _otherwise_qualified(said: _Said, match: Match, form: Form) -> bool:
    """Whether an alias is given with another qualifier ("Birmingham, England" for "Birmingham, Alabama")."""
    if not form.qualifier or match.last >= len(said.words):
        return False
    following = said.words[match.last]
    between = said.text[said.words[match.last - 1].end : following.start]
    return between.strip() == "," and following.capital and following.text not in {word.text for word in form.qualifier}


def _says_date(said: _Said, alias: str) -> bool:
    date = whole_date(alias)
    return date is not None and any(
        date.agrees(other) and _counts(said, (other.start, other.end)) for other in find_dates(said.text)
    )


def _within(span: Span, parts: Sequence[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in parts)


@lru_cache(maxsize=8192)
def _forms(alias: str, question: str) -> tuple[Form, ...]:
    return forms(alias, question)
