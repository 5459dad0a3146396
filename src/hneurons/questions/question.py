"""A question, the answers that count as right, and a named set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool | None


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


class QuestionSet(BaseModel):
    """Questions with where they come from; `revision` and `licence` are recorded in every result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    split: Literal["train", "validation", "all"]
    questions: tuple[Question, ...]
    source: str
    revision: str | None = None
    licence: str | None = None

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
