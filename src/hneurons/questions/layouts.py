"""Rows of question files made into questions: our own layout and the two that TriviaQA is published in."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError

from hneurons.errors import QuestionSetError
from hneurons.questions.question import Question, Scalar
from hneurons.questions.rows import Row


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "is blank")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]


class OwnRow(BaseModel):
    """A row of our own layout."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Text
    question: Text
    aliases: list[Text]
    answerable: bool = True
    kind: str = ""
    group: str = ""
    meta: dict[str, Scalar] = Field(default_factory=dict)


class TriviaAnswer(BaseModel):
    """The answer in a row of TriviaQA; what else the publication has there is not needed."""

    model_config = ConfigDict(strict=True, extra="ignore")

    value: str
    aliases: list[str]
    normalized_aliases: list[str] = Field(default_factory=list)


class TriviaRow(BaseModel):
    """A row of TriviaQA as on the hub (rc.nocontext)."""

    model_config = ConfigDict(strict=True, extra="ignore")

    question: Text
    question_id: Text
    answer: TriviaAnswer


class OriginalAnswer(TriviaAnswer):
    """The answer in TriviaQA's own JSON."""

    model_config = ConfigDict(alias_generator=to_pascal)


class OriginalRow(TriviaRow):
    """An element of `Data` in TriviaQA's own JSON: QuestionId, Question, Answer."""

    model_config = ConfigDict(alias_generator=to_pascal)

    answer: OriginalAnswer


LAYOUTS: tuple[type[OwnRow] | type[TriviaRow], ...] = (OwnRow, TriviaRow, OriginalRow)


def questions_from(rows: Iterable[Row], name: str) -> tuple[tuple[Question, ...], dict[str, int]]:
    """Make questions of rows, all in the layout of the first one.

    TriviaQA publishes a question once for the web and once for Wikipedia: rows that repeat an id with the same text
    become one question with the aliases of all. In our own layout a repeated id is an error. Questions without a group
    whose texts are the same get one, so that no split takes them apart.

    Returns:
        The questions in the order of the rows, and how many rows or aliases were left out, by reason.

    Raises:
        QuestionSetError: a row is malformed (the place, the field and what to do are named), or there are no rows.
    """
    found: dict[str, tuple[str, Question]] = {}
    left_out: Counter[str] = Counter()
    layout: type[OwnRow] | type[TriviaRow] | None = None
    for place, row in rows:
        layout = layout or _layout_of(row, place)
        parsed = _parse(layout, row, place)
        question = _from_own(parsed, place) if isinstance(parsed, OwnRow) else _from_trivia(parsed, place, left_out)
        if question.id in found:
            first_place, first = found[question.id]
            if layout is OwnRow or first.text != question.text:
                message = f"{place}: the id {question.id!r} is already taken by {first_place}"
                raise QuestionSetError(f"{message}; give every question an id of its own")
            merged = tuple(dict.fromkeys((*first.aliases, *question.aliases)))
            question = first.model_copy(update={"aliases": merged})
            left_out["rows_repeating_a_question"] += 1
            place = first_place
        found[question.id] = place, question
    if not found:
        raise QuestionSetError(f"{name} holds no questions; give a file with at least one")
    return _grouped_by_text([question for _, question in found.values()]), dict(left_out)


def _layout_of(row: dict[str, Any], place: str) -> type[OwnRow] | type[TriviaRow]:
    """The layout whose required fields the row shares most; the first of them where several do."""
    shared = {layout: len(row.keys() & _required(layout)) for layout in LAYOUTS}
    best = max(LAYOUTS, key=lambda layout: shared[layout])
    if not shared[best]:
        fields = ", ".join(map(repr, row)) or "none"
        message = f"{place}: the fields ({fields}) are those of no known layout"
        raise QuestionSetError(f"{message}; use id, question, aliases, or TriviaQA's question, question_id, answer")
    return best


def _required(layout: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in layout.model_fields.items() if field.is_required()}


def _parse(layout: type[OwnRow] | type[TriviaRow], row: dict[str, Any], place: str) -> OwnRow | TriviaRow:
    given = {field: value for field, value in row.items() if value is not None}  # Parquet writes null for absent
    try:
        return layout.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise QuestionSetError(f"{place}: {_explain(first['type'], first['loc'], first['msg'], given)}") from error


_MUST_BE = {
    "string_type": "must be text; write it in quotes",
    "list_type": 'must be a list of texts; write ["Paris"]',
    "bool_type": "must be true or false; write one of them",
    "dict_type": "must be an object; write {...}",
    "model_type": "must be an object; write {...}",
    "blank": "is blank; fill it in, or remove it",
}


def _explain(kind: str, loc: tuple[int | str, ...], message: str, row: dict[str, Any]) -> str:
    if loc[0] == "meta" and len(loc) > 1:
        return f"field 'meta.{loc[1]}' must be text, a number, true, false or null; write it as one of them"
    field = ".".join(map(str, loc))
    if kind == "missing":
        inside: Any = row
        for step in loc[:-1]:
            inside = inside[step]
        close = difflib.get_close_matches(str(loc[-1]), list(map(str, inside)), n=1)
        return f"field {field!r} is missing; " + (f"is {close[0]!r} meant? rename it" if close else "add it")
    if kind == "extra_forbidden":
        return f"field {field!r} is unknown; put it into 'meta', or remove it"
    return f"field {field!r} {_MUST_BE.get(kind, f'is wrong ({message}); correct it')}"


def _from_own(row: OwnRow, place: str) -> Question:
    if row.answerable and not row.aliases:
        message = f"{place}: field 'aliases' is empty, but the question counts as answerable"
        raise QuestionSetError(f'{message}; give at least one alias, or set "answerable": false')
    if row.aliases and not row.answerable:
        message = f"{place}: the question is marked as not answerable, but field 'aliases' has answers"
        raise QuestionSetError(f"{message}; empty the list, or remove 'answerable'")
    return Question(
        id=row.id,
        text=row.question,
        aliases=tuple(dict.fromkeys(row.aliases)),
        answerable=row.answerable,
        kind=row.kind,
        group=row.group,
        meta=row.meta,
    )


def _from_trivia(row: TriviaRow, place: str, left_out: Counter[str]) -> Question:
    answer = row.answer
    if answer.value == "<unk>":
        message = f"{place}: the question has no answer (TriviaQA's test split is published without)"
        raise QuestionSetError(f"{message}; use the train or validation split")
    given = dict.fromkeys((answer.value, *answer.aliases, *answer.normalized_aliases))
    aliases = tuple(alias for alias in given if alias.strip())  # a blank alias would match every response
    if not aliases:
        raise QuestionSetError(f"{place}: field 'answer' has no alias; give at least one")
    if len(aliases) < len(given):
        left_out["blank_aliases"] += len(given) - len(aliases)
    return Question(id=row.question_id, text=row.question, aliases=aliases)


def _grouped_by_text(questions: list[Question]) -> tuple[Question, ...]:
    """Give questions of one text (case and white space apart) a common group, where they have none of their own."""
    first: dict[str, str] = {}
    times: Counter[str] = Counter()
    keys = [question.wording for question in questions]
    for key, question in zip(keys, questions, strict=True):
        first.setdefault(key, question.split_key)
        times[key] += 1
    return tuple(
        question if question.group or times[key] == 1 else question.model_copy(update={"group": first[key]})
        for key, question in zip(keys, questions, strict=True)
    )
