"""What a sweep is made of: which cases, which neurons, which text, and the batches in which they pass the model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hneurons.compliance.benchmark import Benchmark
from hneurons.compliance.chats import case_ids
from hneurons.compliance.loading import load_benchmarks
from hneurons.compliance.playing import Row
from hneurons.compliance.reading import passage_ids, passages_at_once
from hneurons.compliance.record import Gate
from hneurons.compliance.settings import SweepSettings
from hneurons.compliance.texts import load_text
from hneurons.compliance.turning import INTACT, NeuronSet, neuron_sets
from hneurons.errors import NotEnoughDataError, RunError
from hneurons.interventions.gating import gate_threshold
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import token_scores
from hneurons.questions.question import Question
from hneurons.study.asking import prompts_of, read_questions
from hneurons.study.judging import read_judged
from hneurons.study.measuring import plan as measuring_plan
from hneurons.study.run import Run

KNOWN, TEXT = "known-questions", "text"
"""What costs are measured on, beside the benchmarks."""

FEW_KNOWN = 50
"""Known questions that costs are measured on, at least, if the evaluation sets have them."""


class Frozen(BaseModel):
    """What the settings of a sweep came to when it began; it is never continued with anything else.

    `benchmarks`, `known` and `text` are digests; `tasks` is how many parts there will be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmarks: dict[str, str]
    sets: dict[str, tuple[Neuron, ...]]
    gate: Gate | None
    known: str
    text: str
    tasks: int


@dataclass(frozen=True)
class Task:
    """One part: a chunk of one benchmark's cases (or of the known questions, or the text), one set of neurons."""

    what: str
    neurons: str
    number: int


@dataclass(frozen=True)
class SweepPlan:
    """A sweep, ready to run.

    `chunks` are, by what is asked, the numbers of the cases, questions or passages that share a batch: the same for
    every set of neurons.
    """

    settings: SweepSettings
    benchmarks: dict[str, Benchmark]
    sets: dict[str, NeuronSet]
    gate: Gate | None
    known: tuple[Question, ...]
    known_rows: tuple[Row, ...]
    text: tuple[tuple[int, ...], ...]
    chunks: dict[str, tuple[tuple[int, ...], ...]]

    @property
    def tasks(self) -> list[Task]:
        """All parts, in the order in which they are made."""
        return [
            Task(what, neurons, number)
            for what, chunks in self.chunks.items()
            for neurons in (INTACT, *self.sets)
            for number in range(len(chunks))
        ]

    @property
    def frozen(self) -> Frozen:
        """What must not change while the sweep goes on."""
        return Frozen(
            benchmarks={name: benchmark.digest for name, benchmark in self.benchmarks.items()},
            sets={name: chosen.neurons for name, chosen in self.sets.items()},
            gate=self.gate,
            known=_digest(row.case for row in self.known_rows),
            text=_digest(map(repr, self.text)),
            tasks=len(self.tasks),
        )


def part_file(run: Run, task: Task) -> Path:
    """Where the part of a task lies."""
    return run.sweep / "answers" / folder(task.what) / folder(task.neurons) / f"part-{task.number:05d}.parquet"


def folder(name: str) -> str:
    """A name as that of a folder: "H-Neurons, gated" as "h-neurons-gated"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def plan_sweep(run: Run, model: LanguageModel, settings: SweepSettings, gate: Gate | None = None) -> SweepPlan:
    """Load what a sweep asks, draw its neurons, and lay out its batches.

    Args:
        run: a run with a probe.
        model: its model.
        settings: of the sweep.
        gate: the gate, where it is known from before.

    Raises:
        QuestionSetError: a benchmark or the text cannot be loaded.
        ProbeError: the probe has no H-Neurons, or too few others are left to draw from.
        NotEnoughDataError: the study knows of no question that the model knows, beside those that C was chosen on.
        RunError: two benchmarks would share a folder.
    """
    probe = Probe.load(run.probe)
    probe.require(model.fingerprint)
    if not probe.hneurons:
        raise RunError(f"the probe of {run.path} has no H-Neurons, so there is nothing to turn; ask more questions")
    loaded = load_benchmarks(settings.benchmarks)
    names = [folder(name) for name in (*(benchmark.name for benchmark in loaded), KNOWN, TEXT)]
    if len(set(names)) < len(names):
        raise RunError(f"two of the benchmarks {', '.join(names[:-2])} have one name; name each once")
    benchmarks = {benchmark.name: benchmark for benchmark in loaded}
    questions, rows = find_known(run, model, settings.n_known)
    text = passage_ids(load_text(settings.text), model)
    if settings.gated and gate is None:
        gate = find_gate(run, model, probe, settings.gate_quantile)
    sets = neuron_sets(
        probe,
        n_random=settings.n_random,
        n_layer_matched=settings.n_layer_matched,
        threshold=gate.threshold if settings.gated and gate else None,
        seed=settings.seed,
    )
    n_alphas = len(settings.turned)
    at_once = max(1, settings.batch_rows // n_alphas)
    plain = run.config.prompt.style == "plain"
    lengths = {
        name: [len(case_ids(case, (), model.tokenizer, plain=plain)) for case in benchmark.cases]
        for name, benchmark in benchmarks.items()
    }
    lengths[KNOWN] = [len(row.token_ids) for row in rows]
    chunks = {name: _chunks(each, at_once) for name, each in lengths.items()}
    sizes = [len(passage) for passage in text]
    chunks[TEXT] = _chunks(sizes, passages_at_once(model, max(sizes), n_alphas, settings.batch_rows))
    return SweepPlan(
        settings=settings,
        benchmarks=benchmarks,
        sets={chosen.name: chosen for chosen in sets},
        gate=gate,
        known=tuple(questions),
        known_rows=tuple(rows),
        text=tuple(text),
        chunks=chunks,
    )


def _chunks(lengths: Sequence[int], size: int) -> tuple[tuple[int, ...], ...]:
    """Numbers of the items, those of similar length together: little padding."""
    ordered = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    return tuple(tuple(ordered[start : start + size]) for start in range(0, len(ordered), size))


def find_known(run: Run, model: LanguageModel, limit: int) -> tuple[list[Question], list[Row]]:
    """Questions that the model knows and that C was not chosen on, so that no set has an advantage on them.

    C, and with it the H-Neurons, was chosen so that accuracy on the first `n_known` of the known held-out questions
    stays; measured on the same, the H-Neurons would look cheaper than controls that nobody chose so. So these come
    after the first `n_known`: held-out training questions answered right in every sample. Where they are too few, so
    are questions of the first evaluation set that has any whose one answer was right, in their order.
    """
    judged = read_judged(run)
    right = [each for each in judged.answers["train"] if each.part == "dev" and not each.hallucinated]
    chosen = {"train": [each.question_id for each in right[run.config.probe.n_known :]][:limit]}
    if len(chosen["train"]) < min(FEW_KNOWN, limit):
        taken = {each.question_id for each in judged.answers["train"]}
        for name in run.config.evaluate:
            more = [each.question_id for each in judged.answers[name] if not each.hallucinated]
            if more := [each for each in more if each not in taken][: limit - len(chosen["train"])]:
                chosen[name] = more
                break
    found: list[tuple[Question, Row]] = []
    for name, ids in chosen.items():
        questions = {question.id: question for question in read_questions(run, name)}
        prompts = {prompt.question_id: prompt.token_ids for prompt in prompts_of(run, name, model)}
        found += [(questions[each], Row(each, prompts[each], 1.0)) for each in ids]
    if not found:
        raise NotEnoughDataError(
            f"{run.path} holds no question that the model knows beside those that C was chosen on; ask more"
        )
    return [question for question, _ in found], [row for _, row in found]


def find_gate(run: Run, model: LanguageModel, probe: Probe, quantile: float) -> Gate:
    """The gate's threshold, from the tokens of all held-out answers that are right: a setting, as C is one."""
    known = {
        answer.key for answer in read_judged(run).answers["train"] if answer.part == "dev" and not answer.hallucinated
    }
    items = [item for batch in measuring_plan(run, "train", model) for item in batch if item.key in known]
    scores = token_scores(model, probe, items, max_tokens=run.config.batch_tokens)
    return Gate(
        threshold=gate_threshold(scores, quantile), quantile=quantile, n_tokens=sum(len(each) for each in scores)
    )


def _digest(parts: Iterator[str]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode() + b"\n")
    return total.hexdigest()
