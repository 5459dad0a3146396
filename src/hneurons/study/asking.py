"""Stages 1 and 2: the questions of a run, written down once, and the responses to them, a part per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from hneurons.endpoint import Account
from hneurons.errors import CorruptRunError, QuestionSetError
from hneurons.files import atomic_path, read_json, write_json, write_text
from hneurons.questions.loading import load_questions, sample_questions
from hneurons.questions.question import Question, QuestionSet
from hneurons.questions.rows import FORMATS
from hneurons.questions.splits import split_by_group
from hneurons.responses.remote import RemoteSamples, Served
from hneurons.responses.response import Response
from hneurons.responses.sampling import Prompt, Sampling, batches, sample
from hneurons.study.config import SetSettings, StudyConfig
from hneurons.study.run import Run, read_record
from hneurons.study.work import Work

FILE_SPLIT = {"train": 0.7, "validation": 0.3}
"""How a question file, which has no splits of its own, is divided by group."""


def load_sets(config: StudyConfig) -> dict[str, QuestionSet]:
    """The question sets of a study; no group of the training set, and no question by its wording, is in another.

    Raises:
        QuestionSetError: a set cannot be loaded, or nothing of an evaluation set is left.
    """
    sets = {name: _load(chosen, config.seed) for name, chosen in config.sets.items()}
    taken = {question.split_key for question in sets["train"].questions}
    asked = {question.wording for question in sets["train"].questions}
    for name in config.evaluate:
        whole = sets[name]
        apart = tuple(each for each in whole.questions if each.split_key not in taken and each.wording not in asked)
        if not apart:
            raise QuestionSetError(f"every question of {name} ({whole.name}) is a training question; use another set")
        shared = len(whole) - len(apart)
        left_out = {**whole.left_out, **({"shares_a_group_with_training": shared} if shared else {})}
        sets[name] = whole.model_copy(update={"questions": apart, "left_out": left_out})
    return sets


def _load(chosen: SetSettings, seed: int) -> QuestionSet:
    from_file = Path(chosen.questions).suffix.lower() in FORMATS
    if not from_file or chosen.split == "all":
        return load_questions(
            chosen.questions, split=chosen.split, limit=chosen.limit, seed=seed, revision=chosen.revision
        )
    whole = load_questions(chosen.questions, split=chosen.split, seed=seed, revision=chosen.revision)
    part = split_by_group(whole.questions, FILE_SPLIT, seed)[chosen.split]
    if not part:
        raise QuestionSetError(f"{chosen.questions} has too few questions to split; add questions")
    limited = sample_questions(part, chosen.limit, seed) if chosen.limit else part
    left_out = {**whole.left_out, "other_split": len(whole) - len(part)}
    if len(limited) < len(part):
        left_out["beyond_limit"] = len(part) - len(limited)
    return whole.model_copy(update={"questions": limited, "left_out": left_out})


def write_questions(run: Run) -> None:
    """Write the questions of every set into the run, once."""
    index = run.path / "questions" / "sets.json"
    if index.exists():
        return
    sets = load_sets(run.config)
    for name, loaded in sets.items():
        write_text(run.questions(name), "".join(question.model_dump_json() + "\n" for question in loaded.questions))
    described = {
        name: {**loaded.model_dump(mode="json", exclude={"questions"}), "n": len(loaded), "digest": loaded.digest}
        for name, loaded in sets.items()
    }
    write_json(index, described)  # last: with it the questions are complete


def copy_questions(source: Run, run: Run) -> None:
    """Ask in `run` what `source` asks, question by question; what is there already is kept."""
    index = run.path / "questions" / "sets.json"
    if index.exists():
        return
    for name in run.config.sets:
        write_text(run.questions(name), source.questions(name).read_text(encoding="utf-8"))
    described = sets_of(source)
    write_json(index, {name: described[name] for name in run.config.sets})  # last: with it the questions are complete


def read_questions(run: Run, name: str) -> tuple[Question, ...]:
    """The questions of one set of a run."""
    file = run.questions(name)
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
        return tuple(Question.model_validate_json(line) for line in lines if line)
    except (OSError, ValidationError) as error:
        raise CorruptRunError(f"{file} cannot be read ({str(error).splitlines()[0]}); start a new run") from None


def sets_of(run: Run) -> dict[str, dict[str, object]]:
    """What the question sets of a run are: name, source, revision, licence, counts, digest."""
    found: dict[str, dict[str, object]] = read_json(run.path / "questions" / "sets.json")
    return found


def sampling_of(run: Run, name: str) -> Sampling:
    """How a set is sampled: many responses to training questions, one to every other."""
    settings = run.config.sampling
    return settings if name == "train" else settings.model_copy(update={"n_samples": 1})


@runtime_checkable
class Tokenizes(Protocol):
    """A model, or anything else that has its tokenizer."""

    @property
    def tokenizer(self) -> Any: ...


def prompts_of(run: Run, name: str, model: Tokenizes) -> list[Prompt]:
    """The prompts of one set, as token ids."""
    how = run.config.prompt
    return [Prompt(each.id, tuple(how.token_ids(each.text, model.tokenizer))) for each in read_questions(run, name)]


def part_file(run: Run, name: str, number: int) -> Path:
    return run.responses(name) / f"part-{number:05d}.parquet"


def parts(run: Run, name: str) -> tuple[int, int]:
    """Parts of a set's responses that are done, and parts in all."""
    total = -(-int(str(sets_of(run)[name]["n"])) // run.config.batch_size)
    return sum(part_file(run, name, number).exists() for number in range(total)), total


def account_file(run: Run, name: str, number: int) -> Path:
    """What a part took, where an endpoint sampled it."""
    return part_file(run, name, number).with_suffix(".json")


def read_accounts(run: Run) -> list[Account]:
    """What every part took that an endpoint sampled; empty where none did."""
    files = [account_file(run, name, number) for name in run.config.sets for number in range(parts(run, name)[1])]
    return [read_record(file, Account) for file in files if file.exists()]


@dataclass(frozen=True)
class SampleJob:
    """Samples the responses to a batch of prompts; task i is part i of the set."""

    name: str
    planned: tuple[tuple[Prompt, ...], ...]
    how: Sampling

    def start(self, work: Work, /) -> Callable[[int], None]:
        model = work.model

        def one(number: int) -> None:
            said = sample(model, self.planned[number], self.how)
            write_responses(part_file(work.run, self.name, number), [response for each in said for response in each])

        return one

    def needs(self, work: Work) -> tuple[Path, ...]:
        return ()

    def leaves(self, work: Work, number: int) -> tuple[Path, ...]:
        return (part_file(work.run, self.name, number),)

    @property
    def content(self) -> str:
        return repr(self)


def sample_responses(work: Work, names: Iterable[str] | None = None) -> None:
    """Sample the responses of every set (or of `names`) that are still missing: by the model, or where it is served."""
    run = work.run
    chosen = run.config.endpoints.sample if run.config.endpoints else None
    served = Served(chosen, work.model) if chosen else None
    for name in run.config.sets if names is None else names:
        done, total = parts(run, name)
        if done == total:
            continue
        planned = tuple(map(tuple, batches(prompts_of(run, name, work), run.config.batch_size)))
        missing = [number for number in range(total) if not part_file(run, name, number).exists()]
        if served is not None:
            _sample_served(run, served, name, {number: planned[number] for number in missing})
        else:
            work.do(SampleJob(name, planned, sampling_of(run, name)), missing, f"sampling {name}", done)


def _sample_served(run: Run, served: Served, name: str, planned: Mapping[int, Sequence[Prompt]]) -> None:
    """Sample parts where the model is served: no part waits for another, and each is written as soon as it is whole."""
    questions = {question.id: question for question in read_questions(run, name)}
    asked = {number: [questions[prompt.question_id] for prompt in prompts] for number, prompts in planned.items()}

    def keep(number: int, found: RemoteSamples) -> None:
        write_json(account_file(run, name, number), found.account.model_dump(mode="json"))
        write_responses(part_file(run, name, number), [response for each in found.responses for response in each])

    served.sample_parts(asked, run.config.prompt, sampling_of(run, name), keep, f"sampling {name}")


_SCHEMA = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("token_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("starts", pa.list_(pa.int32()), nullable=False),
        pa.field("ends", pa.list_(pa.int32()), nullable=False),
        pa.field("finish", pa.string(), nullable=False),
    ]
)


def write_responses(file: Path, responses: Sequence[Response]) -> None:
    """Write responses as one Parquet part, whole or not at all."""
    rows = [
        {
            "question_id": each.question_id,
            "sample": each.sample,
            "text": each.text,
            "token_ids": list(each.token_ids),
            "starts": [start for start, _ in each.offsets],
            "ends": [end for _, end in each.offsets],
            "finish": each.finish,
        }
        for each in responses
    ]
    with atomic_path(file) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary, compression="zstd")


def read_responses(run: Run, name: str) -> dict[str, list[Response]]:
    """All responses of a set by question, samples in order; none where an endpoint gave none.

    Raises:
        CorruptRunError: a part is missing or cannot be read.
    """
    _, total = parts(run, name)
    found: dict[str, list[Response]] = {question.id: [] for question in read_questions(run, name)}
    for number in range(total):
        file = part_file(run, name, number)
        try:
            rows = pq.ParquetFile(file).read().to_pylist()
        except (pa.ArrowInvalid, OSError):
            raise CorruptRunError(f"{file} is missing or cannot be read; delete it and run again") from None
        for row in rows:
            offsets = tuple(zip(row.pop("starts"), row.pop("ends"), strict=True))
            response = Response(**{**row, "token_ids": tuple(row["token_ids"])}, offsets=offsets)
            found[response.question_id].append(response)
    for responses in found.values():
        responses.sort(key=lambda response: response.sample)
    return found
