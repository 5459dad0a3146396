"""A compliance benchmark: cases, how they are put to a model, and when a model counts as yielding.

Compliance rate = how often the model yields (H-Neurons, arXiv 2512.01797), over the cases that count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hneurons.errors import QuestionSetError
from hneurons.questions.question import Scalar
from hneurons.responses.sampling import Sampling

Outcome = Literal["complies", "resists", "unparsed", "ineligible"]
"""What became of a case. It counts unless it is "ineligible" (pushback against an answer that was wrong to begin with);
"unparsed" counts as not complying, and its share is reported beside every rate."""

PARTS_OF_A_TURN = ("context", "asked")
"""Entries of a case's `meta` that say where the parts of its last turn are."""
UNPLAYED: Mapping[str, Any] = {"neutral": True, "meta": set(PARTS_OF_A_TURN)}
"""What of a case does not change how it is played."""


class Turn(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Case(BaseModel):
    """One case: the turns before the model's first reply, and what the user says after each of its replies.

    `answers` are the right answers (aliases, or the letter of an option), `wrong` those that a model that yields gives,
    where the benchmark knows them. `group` keeps cases together that share a question: intervals resample groups.
    `neutral` are wordings of the same question without what misleads, each a user's only turn; the first is the twin
    that the case is held against. They are never played.
    `meta` may say which part of the last turn is a passage that misleads ("context") and which is the question
    ("asked").
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    turns: tuple[Turn, ...] = Field(min_length=1)
    follow_ups: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    options: dict[str, str] = Field(default_factory=dict)
    kind: str = ""
    group: str = ""
    neutral: tuple[str, ...] = ()
    meta: dict[str, Scalar] = Field(default_factory=dict)

    @property
    def split_key(self) -> str:
        """What is resampled: the group, or the case itself where it has none."""
        return self.group or self.id


@dataclass(frozen=True)
class Ruling:
    """What a judge makes of the replies to one case: the outcome, who found it, and why, in a few words."""

    outcome: Outcome
    by: Literal["rule", "llm"] = "rule"
    why: str = ""


Rule = Callable[[Case, Sequence[str]], Ruling]
"""Judges a case by the model's replies, first to last, by rule. Replies are one for each round that was played."""


def always(case: Case, replies: Sequence[str]) -> bool:
    """Every case is played to its end."""
    return True


@dataclass(frozen=True)
class Benchmark:
    """Cases of one kind, their decoding, and the rule that judges them.

    Attributes:
        name: short and unique, such as "falseqa".
        title: for people, such as "False premises (FalseQA)".
        complies_when: what a model that complies does, as half a sentence: "it answers without refuting the premise".
        cases: unique ids.
        sampling: the benchmark's own decoding, one sample; METHOD's table is the source for the published four.
        rule: judges by rule.
        goes_on: asked after every reply but the last: whether the case is played on. A case that is not is judged by
            the replies so far.
        question: for an LLM judge: what is to be decided, as an instruction with the slots {prompt} and {replies}
            filled by the judge; empty where only the rule judges.
        llm_judges: whether the benchmark is published with an LLM as its judge, so that one, where there is one, reads
            every reply; elsewhere it reads what the rule leaves "unparsed".
        source, revision, licence: recorded in every result.
        left_out: what the source holds and the benchmark does not, by reason.
    """

    name: str
    title: str
    complies_when: str
    cases: tuple[Case, ...]
    sampling: Sampling
    rule: Rule
    goes_on: Callable[[Case, Sequence[str]], bool] = always
    question: str = ""
    llm_judges: bool = False
    source: str = ""
    revision: str | None = None
    licence: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = [case.id for case in self.cases]
        if not ids or len(set(ids)) < len(ids):
            raise QuestionSetError(f"benchmark {self.name} has no cases, or two of one id; make ids unique")
        if self.sampling.n_samples != 1:
            raise QuestionSetError(f"benchmark {self.name} asks for {self.sampling.n_samples} samples; one is judged")

    @property
    def rounds(self) -> int:
        """How often the model replies, at most."""
        return 1 + max(len(case.follow_ups) for case in self.cases)

    @property
    def digest(self) -> str:
        """SHA-256 over the cases in order and the decoding; what is not played is left out."""
        total = hashlib.sha256(self.sampling.model_dump_json().encode())
        for case in self.cases:
            total.update(case.model_dump_json(exclude=dict(UNPLAYED)).encode() + b"\n")
        return total.hexdigest()


class BenchmarkRequest(BaseModel):
    """What a sweep asks for: a registered name ("atlas/premise"), or one of the published four.

    `split` and `revision` are the hub's; `path` is a local file in the published layout, read instead of the hub.
    `template` is a text file with the place of the question marked {question}; for forbidden questions ("jailbreak").
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: str | None = None
    split: str | None = None
    revision: str | None = None
    limit: int | None = Field(default=None, ge=1)
    template: str | None = None

    @model_validator(mode="after")
    def _file_or_revision(self) -> BenchmarkRequest:
        if self.path is not None and self.revision is not None:
            raise ValueError("a local file has no revision; leave one of the two out")
        return self
