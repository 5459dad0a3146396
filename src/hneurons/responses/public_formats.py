"""Files of the public code of H-Neurons (github.com/thunlp/H-Neurons), read into our records.

Samples:        JSONL of {question id: {question, responses, judges, ground_truth}}
Answer tokens:  JSONL of {question id: {question, response, tokenized_response, answer_tokens, judge (optional)}}
Question ids:   JSON of {"t": faithful ids, "f": hallucinated ids}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hneurons.errors import ResponseError
from hneurons.questions.question import Question
from hneurons.questions.rows import json_document, json_lines
from hneurons.responses.response import Verdict

Alignment = Literal["run", "gaps", "repeated", "none_marked", "no_match"]
_JUDGES: Mapping[str, Verdict] = {"true": "correct", "false": "incorrect"}


class SampledTexts(BaseModel):
    """Responses to one question, as texts with a verdict on each; the public files hold no tokens of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Question
    texts: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


class MarkedResponse(BaseModel):
    """A response with the tokens that carry the answer.

    `tokens` are raw tokenizer pieces; `answer` are indices into them. `alignment` says how the marked pieces were
    found: "run" (once, side by side), "repeated" (side by side in several places, of which the first is taken), "gaps"
    (in order, with others between them), "none_marked" (nothing was marked) or "no_match" (a marked piece is none of
    the response's); in the last two `answer` is empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: str
    question_text: str
    response: str
    tokens: tuple[str, ...]
    answer: tuple[int, ...]
    alignment: Alignment
    verdict: Verdict | None = None


class LabelledIds(BaseModel):
    """Ids of questions that were always answered right, and always wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faithful: tuple[str, ...]
    hallucinated: tuple[str, ...]


def read_samples(
    path: str | Path, *, suffix: str = "", judges: Mapping[str, Verdict] | None = None
) -> tuple[SampledTexts, ...]:
    """Read a samples file.

    Args:
        path: the file.
        suffix: what was asked after each question ("Respond with ..."); taken off, with the white space before it.
        judges: verdicts of judge strings other than "true" (correct) and "false" (incorrect), which are refused
            unless they are named here: an error of a judge is no verdict.

    Raises:
        ResponseError: the file is missing, empty or malformed; file, line, question and field are named.
    """
    known = {**(judges or {}), **_JUDGES}
    found = []
    for place, question_id, row in _entries(Path(path)):
        texts = _texts(row, "responses", place)
        verdicts = _texts(row, "judges", place)
        if not texts or len(texts) != len(verdicts):
            message = f"{place}: {len(texts)} responses and {len(verdicts)} judges"
            raise ResponseError(f"{message}; give one judge for each response, and at least one")
        aliases = tuple(dict.fromkeys(alias for alias in _texts(row, "ground_truth", place) if alias.strip()))
        if not aliases:
            raise ResponseError(f"{place}: field 'ground_truth' is empty; give at least one alias")
        text = _asked(_text(row, "question", place), suffix, place)
        found.append(
            SampledTexts(
                question=Question(id=question_id, text=text, aliases=aliases),
                texts=texts,
                verdicts=tuple(_verdict(verdict, known, place) for verdict in verdicts),
            )
        )
    return tuple(found)


def read_answer_tokens(
    path: str | Path, *, suffix: str = "", judges: Mapping[str, Verdict] | None = None
) -> tuple[MarkedResponse, ...]:
    """Read an answer-tokens file; arguments and errors as in `read_samples`."""
    known = {**(judges or {}), **_JUDGES}
    found = []
    for place, question_id, row in _entries(Path(path)):
        tokens = _texts(row, "tokenized_response", place)
        answer, alignment = align(_texts(row, "answer_tokens", place), tokens)
        found.append(
            MarkedResponse(
                question_id=question_id,
                question_text=_asked(_text(row, "question", place), suffix, place),
                response=_text(row, "response", place),
                tokens=tokens,
                answer=answer,
                alignment=alignment,
                verdict=_verdict(_text(row, "judge", place), known, place) if "judge" in row else None,
            )
        )
    return tuple(found)


def read_question_ids(path: str | Path) -> LabelledIds:
    """Read a file of faithful ("t") and hallucinated ("f") question ids.

    Raises:
        ResponseError: the file is missing or malformed, or an id is given twice, or under both.
    """
    document = json_document(Path(path), ResponseError)
    faithful, hallucinated = (_texts(document, field, str(path)) for field in ("t", "f"))
    seen: set[str] = set()
    for question_id in (*faithful, *hallucinated):
        if question_id in seen:
            raise ResponseError(f"{path}: the id {question_id!r} is given twice; a question has one label")
        seen.add(question_id)
    return LabelledIds(faithful=faithful, hallucinated=hallucinated)


def align(marked: Sequence[str], tokens: Sequence[str]) -> tuple[tuple[int, ...], Alignment]:
    """Find the indices of marked tokens among a response's tokens, in order, in as few runs as can be.

    Among equally few runs the earliest are taken.
    """
    if not marked:
        return (), "none_marked"
    n = len(marked)
    starts = [at for at in range(len(tokens) - n + 1) if list(tokens[at : at + n]) == list(marked)]
    if starts:
        return tuple(range(starts[0], starts[0] + n)), "run" if len(starts) == 1 else "repeated"
    best: list[dict[int, tuple[int, tuple[int, ...]]]] = [{-2: (0, ())}]  # by last index: number of runs, indices
    for piece in marked:
        reached: dict[int, tuple[int, tuple[int, ...]]] = {}
        for at, token in enumerate(tokens):
            if token == piece:
                ways = [(runs + (last != at - 1), path) for last, (runs, path) in best[-1].items() if last < at]
                if ways:
                    runs, path = min(ways)
                    reached[at] = runs, (*path, at)
        best.append(reached)
    if not best[-1]:
        return (), "no_match"
    return min(best[-1].values())[1], "gaps"


def _entries(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, question id and content of every line."""
    first: dict[str, str] = {}
    for place, row in json_lines(path, ResponseError):
        if len(row) != 1:
            raise ResponseError(f"{place}: one question id is expected, not {len(row)}; write one question a line")
        ((question_id, content),) = row.items()
        if not question_id or not isinstance(content, dict):
            raise ResponseError(f"{place}: {{question id: {{...}}}} is expected; correct the line")
        if question_id in first:
            raise ResponseError(f"{place}: {question_id!r} is already in {first[question_id]}; remove one")
        first[question_id] = place
        yield f"{place}, {question_id}", question_id, content
    if not first:
        raise ResponseError(f"{path} holds no responses; give a file with at least one")


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise ResponseError(f"{place}: field {field!r} is missing or no text; add it")
    return value


def _texts(row: Mapping[str, Any], field: str, place: str) -> tuple[str, ...]:
    value = row.get(field)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ResponseError(f"{place}: field {field!r} is missing or no list of texts; add it")
    return tuple(value)


def _asked(text: str, suffix: str, place: str) -> str:
    if suffix and not text.endswith(suffix):
        raise ResponseError(f"{place}: the question does not end in {suffix!r}; give the suffix it was asked with")
    asked = text.removesuffix(suffix).rstrip() if suffix else text
    if not asked.strip():
        raise ResponseError(f"{place}: field 'question' is blank; fill it in")
    return asked


def _verdict(judge: str, known: Mapping[str, Verdict], place: str) -> Verdict:
    if judge not in known:
        message = f"{place}: the judge says {judge!r}, which is none of {', '.join(map(repr, known))}"
        raise ResponseError(f"{message}; say in judges= what it means, or judge the responses again")
    return known[judge]
