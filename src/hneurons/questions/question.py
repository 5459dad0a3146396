"""A question, the answers that count as right, and a named set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hneurons.errors import QuestionSetError

Scalar = str | int | float | bool | None
Split = Literal["train", "validation", "all"]


class Question(BaseModel):
    """One question.

    `group` keeps questions together that must never be split between training and evaluation (two questions about one
    city); empty means that the question stands alone. `answerable=False` marks a question about something that does not
    exist: every answer but a refusal is a hallucination, and `aliases` is empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    answerable: bool = True
    kind: str = ""
    group: str = ""
    meta: dict[str, Scalar] = Field(default_factory=dict)

    @property
    def split_key(self) -> str:
        """What splits go by: the group, or the question itself where it has none."""
        return self.group or self.id

    @property
    def wording(self) -> str:
        """The text, case and white space apart: questions of one wording are one question, whatever their ids."""
        return " ".join(self.text.casefold().split())


class QuestionSet(BaseModel):
    """Questions with where they come from; `revision` and `licence` are recorded in every result.

    `left_out` counts what the source holds and the set does not, by reason. Ids are unique.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    split: Split
    questions: tuple[Question, ...]
    source: str
    revision: str | None = None
    licence: str | None = None
    left_out: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> QuestionSet:
        seen: set[str] = set()
        for question in self.questions:
            if question.id in seen:
                raise QuestionSetError(f"{self.name}: question id {question.id!r} occurs twice; make ids unique")
            seen.add(question.id)
        return self

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def digest(self) -> str:
        """SHA-256 over the questions in order: two sets with one digest ask the same."""
        return digest(self.questions)


def digest(questions: Iterable[Question]) -> str:
    """SHA-256 over the JSON of `questions`, in order."""
    total = hashlib.sha256()
    for question in questions:
        total.update(question.model_dump_json().encode())
        total.update(b"\n")
    return total.hexdigest()
