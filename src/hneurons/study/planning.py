"""What a study takes: hours, cost and disk, from rates that were measured where it is to run. Nothing is guessed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hneurons.errors import RunError
from hneurons.study.config import StudyConfig
from hneurons.study.scaling import Conditions

StageName = Literal["load", "sample", "measure", "fit"]
_BYTES = {"float32": 4, "float16": 2}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shape(_Record):
    """A model's size: decoder layers, neurons of each, width of the residual stream, bytes of its weights."""

    n_layers: int = Field(ge=1)
    n_neurons: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    weight_bytes: float = Field(gt=0)


class Rates(_Record):
    """What was measured, on one worker of the kind that is to be used.

    Attributes:
        sampled: tokens of responses a second, all samples of a batch together (`benchmarks/sampling.py`).
        measured: tokens, prompts and responses, whose contributions are recorded a second (`benchmarks/extraction.py`).
        response_tokens, prompt_tokens: mean lengths, as a small run has them.
        read_rate: bytes a second at which one worker reads the model.
        write_rate: bytes a second that the storage of the run takes, of all workers together.
        fit_rate: bytes a second of the training matrix that the fit of the path gets through, all told
            (`benchmarks/path.py`: bytes of the matrix over the seconds of the path); None where it was not measured.
    """

    sampled: float = Field(gt=0)
    measured: float = Field(gt=0)
    response_tokens: float = Field(gt=0)
    prompt_tokens: float = Field(gt=0)
    read_rate: float = Field(gt=0)
    write_rate: float = Field(gt=0)
    fit_rate: float | None = Field(default=None, gt=0)


class Stage(_Record):
    """A stage: what it gets through, in hours of the clock, and the hours of GPUs that are paid for.

    `limit` is what it waits for: "workers" or, where results come faster than they are written, "storage".
    """

    name: StageName
    amount: float
    unit: Literal["tokens", "bytes"]
    hours: float
    gpu_hours: float
    limit: Literal["workers", "storage"]


class Plan(_Record):
    """What a study takes, at most: every set gives as many answers as the settings allow.

    Attributes:
        stages: those whose time grows with the model and the questions. Judging by rule, the choice of C by accuracy
            and the controls come on top.
        contributions: bytes on disk, before compression, which hardly changes them.
        matrix: bytes of the rows that the probe is fitted on, float32.
        cost: at the price of a GPU's hour.
        missing: stages that cannot be told, and why.
    """

    stages: tuple[Stage, ...]
    contributions: float
    matrix: float
    cost: float
    missing: dict[str, str]

    @property
    def hours(self) -> float:
        """Of the clock, over the stages that can be told."""
        return sum(stage.hours for stage in self.stages)


class Counts(_Record):
    """What a configuration asks for, at most: responses, answers that are measured, and answers that are fitted on."""

    responses: int
    answers: int
    fitted: int


def counts(config: StudyConfig) -> Counts:
    """What a study asks for.

    Raises:
        RunError: a set has no limit, so that it is not known how many questions it has.
    """
    if unlimited := [name for name, chosen in config.sets.items() if chosen.limit is None]:
        raise RunError(f"how many questions {unlimited[0]} has is not known before it is loaded; give it a limit")
    asked = {name: chosen.limit or 0 for name, chosen in config.sets.items()}
    chosen = config.selection
    fitted = min(2 * chosen.n_each, asked["train"])
    evaluated = sum(min(2 * chosen.n_evaluate, asked[name]) for name in config.evaluate)
    return Counts(
        responses=asked["train"] * config.sampling.n_samples + sum(asked[name] for name in config.evaluate),
        answers=fitted + evaluated,
        fitted=fitted,
    )


def plan_study(
    config: StudyConfig, shape: Shape, rates: Rates, *, workers: int, gpus_per_worker: int = 1, price: float = 0.0
) -> Plan:
    """What a study takes on `workers` workers of `gpus_per_worker` GPUs each, at `price` a GPU's hour.

    With T tokens, N answers, L layers of m neurons and W workers: sampling takes T / (rate W); measuring the larger of
    its tokens / (rate W) and its bytes / write rate; an answer has two rows (its answer tokens and its others) of L m
    numbers, and L d of hidden states where they are recorded. Loading is once for all workers at a time, and once more
    for the process that fits.

    Raises:
        RunError: a set has no limit.
    """
    asked = counts(config)
    stored = asked.answers * _answer_bytes(config, shape)
    rows = asked.fitted * (2 if config.probe.scheme == "3-vs-1" else 1)  # with the other tokens of each, or without
    matrix = 4.0 * rows * shape.n_layers * shape.n_neurons
    sampled = asked.responses * rates.response_tokens
    measured = asked.answers * (rates.prompt_tokens + rates.response_tokens)
    computing, writing = measured / (rates.measured * workers), stored / rates.write_rate
    stages = [
        _stage("load", shape.weight_bytes, "bytes", 2 * shape.weight_bytes / rates.read_rate, workers, gpus_per_worker),
        _stage("sample", sampled, "tokens", sampled / (rates.sampled * workers), workers, gpus_per_worker),
        _stage("measure", measured, "tokens", max(computing, writing), workers, gpus_per_worker, writing > computing),
    ]
    missing = {}
    if rates.fit_rate is None:
        missing["fit"] = "its rate was not given; measure it with benchmarks/path.py"
    else:  # by one process, on the machine of one worker
        stages.append(_stage("fit", matrix, "bytes", matrix / rates.fit_rate, 1, gpus_per_worker))
    return Plan(
        stages=tuple(stages),
        contributions=stored,
        matrix=matrix,
        cost=price * sum(stage.gpu_hours for stage in stages),
        missing=missing,
    )


def conditions_of(
    stage: Literal["sample", "measure"],
    config: StudyConfig,
    shape: Shape,
    rates: Rates,
    *,
    dispatch_seconds: float,
    start_seconds: float,
    spread: float = 0.0,
    hours_between_losses: float | None = None,
    shared_read_rate: float | None = None,
) -> Conditions:
    """A stage as conditions of a simulation; what sampling writes is next to nothing. Raises as `plan_study`."""
    asked, tokens = counts(config), rates.prompt_tokens + rates.response_tokens
    if stage == "sample":
        at_once = config.batch_size
        tasks = sum(-(-(chosen.limit or 0) // at_once) for chosen in config.sets.values())
        seconds, written = asked.responses / tasks * rates.response_tokens / rates.sampled, 0.0
    else:
        at_once = min(config.batch_size, max(1, int(config.batch_tokens // tokens)))
        tasks = -(-asked.answers // at_once)
        seconds, written = at_once * tokens / rates.measured, at_once * _answer_bytes(config, shape)
    return Conditions(
        tasks=tasks,
        task_seconds=seconds,
        spread=spread,
        dispatch_seconds=dispatch_seconds,
        model_bytes=shape.weight_bytes,
        start_seconds=start_seconds,
        result_bytes=written,
        read_rate=shared_read_rate,
        worker_read_rate=rates.read_rate,
        write_rate=rates.write_rate,
        hours_between_losses=hours_between_losses,
        seed=config.seed,
    )


def _answer_bytes(config: StudyConfig, shape: Shape) -> float:
    """What an answer takes on disk: two rows of every layer's neurons, and hidden states where they are recorded."""
    wide = shape.n_neurons + (shape.hidden_size if config.recording.hidden else 0)
    return 2.0 * shape.n_layers * wide * _BYTES[config.storage]


def _stage(
    name: StageName, amount: float, unit: Literal["tokens", "bytes"], seconds: float, workers: int, gpus: int,
    waits_for_storage: bool = False,
) -> Stage:  # fmt: skip
    hours = seconds / 3600
    limit: Literal["workers", "storage"] = "storage" if waits_for_storage else "workers"
    return Stage(name=name, amount=amount, unit=unit, hours=hours, gpu_hours=hours * workers * gpus, limit=limit)
