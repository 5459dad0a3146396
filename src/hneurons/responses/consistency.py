"""Which questions a model answers the same way every time, and balanced sets of them.

The training set of H-Neurons (arXiv 2512.01797, section 2) holds only questions whose samples are all correct, or all
incorrect answers without a refusal among them; one response stands for each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from hneurons.errors import NotEnoughDataError, ResponseError
from hneurons.questions.question import Question
from hneurons.questions.splits import split_by_group
from hneurons.responses.response import Verdict

Outcome = Literal[
    "faithful", "hallucinated", "mixed", "some_refusals", "all_refusals", "some_blank", "too_few_responses"
]
"""How the samples of one question agree; the first of these rules that holds decides:

too_few_responses  fewer responses than were to be sampled
all_refusals       every response declines
some_refusals      some decline
some_blank         some say nothing (white space), which is neither an answer nor a refusal
faithful           every response is correct
hallucinated       every response is an incorrect answer
mixed              some are correct, some are not
"""


_SELECTED: tuple[Outcome, Outcome] = ("faithful", "hallucinated")


class Consistency(BaseModel):
    """What the samples of one question come to.

    `representative` is the index of the first response with the most frequent text, and `agreement` the share of
    responses with that text, of which there are `n_distinct`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: str
    split_key: str
    outcome: Outcome
    representative: int
    agreement: float
    n_distinct: int


class SelectionReport(BaseModel):
    """Counts of a selection: `n_each` of either kind are in it, `left_out` says why the others are not.

    `outcomes` counts all questions by outcome; `n_questions` = 2 * `n_each` + the sum of `left_out`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_questions: int
    n_each: int
    outcomes: dict[Outcome, int]
    left_out: dict[str, int]

    @model_validator(mode="after")
    def _adds_up(self) -> SelectionReport:
        everything = 2 * self.n_each + sum(self.left_out.values())
        if not self.n_questions == sum(self.outcomes.values()) == everything:
            raise ResponseError(f"a selection of {self.n_questions} questions accounts for {everything} of them")
        return self


class Selection(BaseModel):
    """As many faithful as hallucinated questions, and the counts of what was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faithful: tuple[Consistency, ...]
    hallucinated: tuple[Consistency, ...]
    report: SelectionReport


def assess(
    question: Question, texts: Sequence[str], verdicts: Sequence[Verdict], n_samples: int | None = None
) -> Consistency:
    """Say how the responses to one question agree.

    Args:
        question: the question.
        texts: the responses. Two are the same if they are equal but for white space at either end; case,
            punctuation and wording count.
        verdicts: the verdict on each response.
        n_samples: how many responses were to be sampled; as many as there are where left out.

    Raises:
        ResponseError: there are no responses, more than `n_samples`, or not as many verdicts as responses.
    """
    expected = len(texts) if n_samples is None else n_samples
    if not texts or len(texts) > expected or len(texts) != len(verdicts):
        message = f"question {question.id!r} has {len(texts)} responses and {len(verdicts)} verdicts"
        fix = "give one verdict for each response, and at least one response"
        raise ResponseError(f"{message} of {expected} samples; {fix}")
    times = Counter(text.strip() for text in texts)
    most_frequent, count = times.most_common(1)[0]  # among equals the first seen
    return Consistency(
        question_id=question.id,
        split_key=question.split_key,
        outcome="too_few_responses" if len(texts) < expected else _outcome(texts, verdicts),
        representative=[text.strip() for text in texts].index(most_frequent),
        agreement=count / len(texts),
        n_distinct=len(times),
    )


def _outcome(texts: Sequence[str], verdicts: Sequence[Verdict]) -> Outcome:
    kinds = set(verdicts)
    if "refusal" in kinds:
        return "all_refusals" if kinds == {"refusal"} else "some_refusals"
    if not all(text.strip() for text in texts):
        return "some_blank"
    if kinds == {"correct"}:
        return "faithful"
    return "hallucinated" if kinds == {"incorrect"} else "mixed"


def balance(
    records: Sequence[Consistency], n_each: int | None = None, seed: int = 0, minimum: int = 1, name: str = ""
) -> Selection:
    """Select equally many faithful and hallucinated questions.

    The larger class is sampled by the smallest SHA-256 of (seed, question id), so neither the order of the records
    nor the run decides. Each class keeps the order of `records`.

    Args:
        records: one for each question.
        n_each: at most so many of each class; as many as the smaller class has where left out.
        seed: of the sample.
        minimum: how many of each class there must be.
        name: what to call these questions in an error.

    Raises:
        NotEnoughDataError: a class has fewer than `minimum` (at least one); the message gives all counts.
        ResponseError: a question occurs twice.
    """
    _check_distinct(records)
    if n_each is not None and n_each < max(1, minimum):
        raise NotEnoughDataError(f"{n_each} questions of each class are fewer than {max(1, minimum)}; ask for more")
    outcomes: dict[Outcome, int] = dict.fromkeys(get_args(Outcome), 0)
    for record in records:
        outcomes[record.outcome] += 1
    n = min(outcomes["faithful"], outcomes["hallucinated"])
    if n < max(1, minimum):
        raise NotEnoughDataError(_too_few(outcomes, max(1, minimum), name))
    n = n if n_each is None else min(n, n_each)
    left_out: dict[str, int] = {}
    for outcome, count in outcomes.items():
        if outcome not in _SELECTED and count:
            left_out[outcome] = count
        elif count > n:
            left_out[f"{outcome}_beyond_the_balance"] = count - n
    return Selection(
        faithful=_sample([record for record in records if record.outcome == "faithful"], n, seed),
        hallucinated=_sample([record for record in records if record.outcome == "hallucinated"], n, seed),
        report=SelectionReport(n_questions=len(records), n_each=n, outcomes=outcomes, left_out=left_out),
    )


def balance_parts(
    records: Sequence[Consistency],
    fractions: Mapping[str, float],
    n_each: int | None = None,
    seed: int = 0,
    minimum: int = 1,
) -> dict[str, Selection]:
    """Split records by group into parts, and balance each part; no group is in two of them.

    The arguments are those of `split_by_group` and, for every part, of `balance`.

    Raises:
        NotEnoughDataError: a part has too few questions of a class; the message names it.
        QuestionSetError: the fractions are not positive or do not add up to 1.
        ResponseError: a question occurs twice.
    """
    _check_distinct(records)
    parts = split_by_group(records, fractions, seed)
    return {name: balance(part, n_each, seed, minimum, f"part {name!r}") for name, part in parts.items()}


def _check_distinct(records: Iterable[Consistency]) -> None:
    times = Counter(record.question_id for record in records)
    if repeated := [question_id for question_id, count in times.items() if count > 1]:
        raise ResponseError(f"question {repeated[0]!r} has two records of its responses; give one for each question")


def _too_few(outcomes: Mapping[Outcome, int], minimum: int, name: str) -> str:
    total = sum(outcomes.values())
    scarce = [kind for kind in _SELECTED if outcomes[kind] < minimum]
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if count) or "none"
    where = f"{name}: " if name else ""
    others = {"faithful": ", or easier ones", "hallucinated": ", or harder ones"}
    fix = "ask more questions" + (others[scarce[0]] if len(scarce) == 1 else "")
    return (
        f"{where}too few {' and '.join(scarce)} questions, at least {minimum} needed; "
        f"of {total} questions there are {counts}; {fix}"
    )


def _sample(records: Sequence[Consistency], n: int, seed: int) -> tuple[Consistency, ...]:
    chosen = {record.question_id for record in sorted(records, key=lambda record: _rank(record, seed))[:n]}
    return tuple(record for record in records if record.question_id in chosen)


def _rank(record: Consistency, seed: int) -> bytes:
    return hashlib.sha256(f"balance\0{seed}\0{record.question_id}".encode()).digest()
