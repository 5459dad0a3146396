"""Stage 4: contributions of every answer that is used, and how later stages read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from hneurons.contributions import ContributionStore, Item, Layout, extract_batch, plan_batches
from hneurons.contributions.batches import Batches, batches_digest
from hneurons.contributions.row import Table
from hneurons.errors import CorruptRunError
from hneurons.files import read_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes.answers import Answers
from hneurons.probes.columns import Columns
from hneurons.probes.rows import as_rows, rows_of, spread, stacked
from hneurons.probes.states import stacked_states
from hneurons.study.asking import Tokenizes, prompts_of, read_questions, read_responses
from hneurons.study.judging import JudgedAnswer, Part, read_judged
from hneurons.study.run import Run
from hneurons.study.vectors import Vectors, require_room, stored_states
from hneurons.study.work import Work


@dataclass(frozen=True)
class MeasureJob:
    """Records the contributions of a batch of answers into the store of their set, which is there."""

    name: str
    planned: Batches

    def start(self, work: Work, /) -> Callable[[int], None]:
        model, store = work.model, _store(work.run, self.name)
        return lambda batch: extract_batch(model, self.planned[batch], store, batch)

    def needs(self, work: Work) -> tuple[Path, ...]:
        return _store(work.run, self.name).description

    def leaves(self, work: Work, batch: int) -> tuple[Path, ...]:
        return _store(work.run, self.name).files(batch)

    @property
    def content(self) -> str:
        return f"{self.name} {batches_digest(self.planned)}"


def measure(work: Work, names: Iterable[str] | None = None) -> None:
    """Record the contributions of every set (or of `names`) that are still missing; a set of no answers has none."""
    run = work.run
    for name in run.config.sets if names is None else names:
        if measured(run, name):
            continue
        shutil.rmtree(run.columns / name, ignore_errors=True)  # of what was recorded before
        planned = plan(run, name, work)
        layout = Layout.plan(work.known, planned, run.config.recording, run.config.storage)
        store = ContributionStore.create(run.contributions(name), layout)
        work.do(MeasureJob(name, planned), store.pending_batches(), f"measuring {name}", len(store.done_batches()))


def measured(run: Run, name: str) -> bool:
    """Whether all contributions of a set are on disk; also where it has been judged and none of it is used."""
    if (run.contributions(name) / "store.json").exists():
        return not _store(run, name).pending_batches()
    return run.judged.exists() and read_judged(run).answers.get(name) == ()


def _store(run: Run, name: str) -> ContributionStore:
    return ContributionStore.open(run.contributions(name))


def plan(run: Run, name: str, model: Tokenizes) -> Batches:
    """The answers of a set that are used, in the batches in which they are recorded."""
    prompts = {prompt.question_id: prompt.token_ids for prompt in prompts_of(run, name, model)}
    said = read_responses(run, name)
    items = [
        Item(
            key=answer.key,
            prompt_ids=prompts[answer.question_id],
            response_ids=said[answer.question_id][answer.sample].token_ids,
            answer=answer.answer,
        )
        for answer in read_judged(run).answers[name]
    ]
    return plan_batches(items, run.config.batch_tokens, run.config.batch_size)


@dataclass(frozen=True)
class Measured:
    """Answers with what was recorded of them.

    `other` are their other-token vectors, of those that the path is fitted on alone: one row an answer, and none to
    read where `has_other` is False.
    """

    answers: Answers
    judged: tuple[JudgedAnswer, ...]
    other: Columns | None
    has_other: Bool[np.ndarray, " rows"]


def read_measured(run: Run, name: str, part: Part) -> Measured:
    """The answers of one part of a set, in the order in which they were judged; their contributions when first read.

    Args:
        run: the run.
        name: the set.
        part: "fit" or "dev" of the training set, "test" of another.

    Raises:
        CorruptRunError: an answer has no contributions.
    """
    judged = tuple(answer for answer in read_judged(run).answers[name] if answer.part == part)
    if not judged:
        return _nothing(run, name)
    texts = {question.id: question.text for question in read_questions(run, name)}
    store, rows, others, vectors = _recorded(run, name, part, judged)
    own = np.arange(vectors.shape[0])
    other = None
    if part == "fit":
        have = set(others.key)
        other = spread(rows_of(vectors, own[len(rows) :]), np.array([answer.key in have for answer in judged]))
    answers = Answers(
        name=name,
        hallucinated=np.array([answer.hallucinated for answer in judged], dtype=np.bool_),
        groups=np.array([answer.group for answer in judged]),
        contributions=rows_of(vectors, own[: len(rows)]),
        hidden=None if store.layout.hidden_size is None else stored_states(run, store, rows.row),
        n_answer=rows.n_tokens,
        n_response=rows.n_response,
        log_prob=rows.logprob,
        entropy=rows.entropy,
        questions=tuple(texts[answer.question_id] for answer in judged),
    )
    return Measured(answers, judged, other, rows.has_other)


def make_columns(run: Run) -> None:
    """Make the files that fitting and evaluating read, so far as they are needed and missing.

    Raises:
        RunError: the disk has no room for all of them; none is begun then.
        CorruptRunError: an answer has no contributions, or a chunk of a store is missing or damaged.
    """
    judged, found = read_judged(run).answers, []
    parts: list[tuple[str, Part]] = [("train", "fit"), ("train", "dev")]
    parts += [(name, "test") for name in run.config.evaluate]
    for name, part in parts:
        answers = tuple(answer for answer in judged[name] if answer.part == part)
        if answers:
            found.append(_recorded(run, name, part, answers)[3])
    require_room(run, found)
    for each in found:
        each.make()


def _recorded(
    run: Run, name: str, part: Part, judged: Sequence[JudgedAnswer]
) -> tuple[ContributionStore, Table, Table, Vectors]:
    """The store of a set; the rows of answers, in their order; those of their other tokens, where there are some; and
    the vectors of a part: of the one that the path is fitted on those of both, answers first.
    """
    store = _store(run, name)
    table, others = store.table().where("answer"), store.table().where("other")
    place, other_place = ({key: index for index, key in enumerate(each.key)} for each in (table, others))
    if missing := [answer.key for answer in judged if answer.key not in place]:
        raise CorruptRunError(f"{missing[0]} has no contributions; delete {run.contributions(name)} and run again")
    rows = table.take(np.array([place[answer.key] for answer in judged], dtype=np.int64))
    found = [other_place[answer.key] for answer in judged if answer.key in other_place]
    others = others.take(np.array(found, dtype=np.int64))
    read = np.concatenate([rows.row, others.row]) if part == "fit" else rows.row
    return store, rows, others, Vectors(run, name, part, store, read)


def _nothing(run: Run, name: str) -> Measured:
    """A set of which no answer is used: no rows, of the model's width."""
    model = ModelFingerprint.model_validate(read_json(run.model)["fingerprint"])
    counts, figures = np.zeros(0, dtype=np.int64), np.zeros(0)
    vectors = as_rows(np.zeros((0, model.n_layers * model.n_neurons), dtype=np.float32))
    hidden = np.zeros((0, model.n_layers, model.hidden_size), dtype=np.float32) if run.config.recording.hidden else None
    answers = Answers(
        name=name,
        hallucinated=np.zeros(0, dtype=np.bool_),
        groups=np.zeros(0, dtype=np.str_),
        contributions=vectors,
        hidden=hidden,
        n_answer=counts,
        n_response=counts,
        log_prob=figures,
        entropy=figures,
        questions=(),
    )
    return Measured(answers, (), vectors, np.zeros(0, dtype=np.bool_))


def joined(name: str, first: Answers, second: Answers) -> Answers:
    """The rows of two sets as one.

    Raises:
        ProbeError: they are of different models.
    """
    values: dict[str, Any] = {"name": name, "contributions": stacked(first.contributions, second.contributions)}
    if first.hidden is not None and second.hidden is not None:
        values["hidden"] = stacked_states(first.hidden, second.hidden)
    for field in fields(Answers):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name in values:
            continue
        if a is None or b is None:
            values[field.name] = None
        else:
            values[field.name] = (*a, *b) if isinstance(a, tuple) else np.concatenate([a, b])
    return Answers(**values)
