"""The terms on which all methods of a run are compared: what is asked, and in which batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hneurons.compliance.benchmark import Benchmark
from hneurons.compliance.chats import case_ids
from hneurons.compliance.judging import judge_cases
from hneurons.compliance.reading import passage_ids, passages_at_once
from hneurons.compliance.texts import load_text
from hneurons.errors import NotEnoughDataError
from hneurons.kept import Arrays
from hneurons.layers.mitigation.comparing import OUTCOMES, VERDICTS, Became, Rows
from hneurons.layers.mitigation.harness import answer, lose, play
from hneurons.layers.mitigation.methods import Method, Shown, shown_question
from hneurons.questions.loading import rank
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.responses.sampling import Prompt, Sampling
from hneurons.study.asking import read_questions
from hneurons.study.config import make_sweep_settings
from hneurons.study.judging import read_judged
from hneurons.study.layers.work import LayersWork
from hneurons.study.sweep_plan import find_known
from hneurons.study.turning import settings_of

N_QUESTIONS = 200
"""Evaluation questions in all, as many of every set, drawn by the seed from questions of all kinds."""
SHARE_LAYERED = 0.4
"""Share of these that steering at every layer, with its random directions, is asked."""
N_KNOWN = 60
N_CASES = 30
"""Cases of each benchmark, at most."""
N_PASSAGES = 100
N_TUNED = 120
"""Held-out training questions that settings are chosen on."""

QUESTIONS, KNOWN, TEXT, TUNING = "questions", "known", "text", "tuning"


@dataclass(frozen=True)
class Put:
    """A question as it is put to the model."""

    question: Question
    prompt: Prompt
    shown: Shown
    eval_set: str


class Terms:
    """What every method is asked."""

    def __init__(self, work: LayersWork) -> None:
        """Draw it all.

        Raises:
            NotEnoughDataError: the run knows of no question that the model knows.
            QuestionSetError: a benchmark or the text cannot be loaded.
        """
        run, model, settings = work.run, work.model, work.settings
        self._work = work
        self.sampling: Sampling = run.config.sampling.model_copy(update={"n_samples": 1, "temperature": 0.0})
        self.plain = run.config.prompt.style == "plain"
        each = min(settings.n_each, -(-N_QUESTIONS // len(work.names)))
        layered = max(1, round(SHARE_LAYERED * each))
        drawn = {name: self._drawn(name, each) for name in work.names}
        some = [put for own in drawn.values() for put in own[:layered]]
        rest = [put for own in drawn.values() for put in own[layered:]]
        self.questions = (*some, *rest)
        self.n_layered = len(some)
        known, _ = find_known(run, model, N_KNOWN)
        self.known = self._put(KNOWN, known)
        self.tuning = self._tuning([put.question for put in self.known])
        self.benchmarks: dict[str, Benchmark] = {each.name: _few(each) for each in work.benchmarks()}
        swept = settings_of(run)
        self.text = (swept or make_sweep_settings(run.config.model.name)).text
        self.passages = passage_ids(load_text(self.text), model)[:N_PASSAGES]

    @property
    def rows(self) -> Rows:
        """What is resampled together."""
        return Rows(
            groups=_groups(self.questions),
            sets=np.array([put.eval_set for put in self.questions]),
            known=_groups(self.known),
            cases={
                name: np.array([case.split_key for case in benchmark.cases])
                for name, benchmark in self.benchmarks.items()
            },
            tokens=np.array([len(own) - 1 for own in self.passages], dtype=np.int64),
        )

    @cached_property
    def chunks(self) -> dict[str, tuple[Int64[np.ndarray, " _"], ...]]:
        """By what is asked, the numbers of what shares a batch; the first `n_layered` questions share none with
        the rest."""
        model, size = self._work.model, self._work.settings.batch_rows
        lengths = [len(put.prompt.token_ids) for put in self.questions]
        rest = _chunks(lengths[self.n_layered :], size)
        found = {QUESTIONS: (*_chunks(lengths[: self.n_layered], size), *(own + self.n_layered for own in rest))}
        found[KNOWN] = _chunks([len(put.prompt.token_ids) for put in self.known], size)
        found[TUNING] = _chunks([len(put.prompt.token_ids) for put in self.tuning], size)
        for name, benchmark in self.benchmarks.items():
            turns = [len(case_ids(case, (), model.tokenizer, plain=self.plain)) for case in benchmark.cases]
            found[name] = _chunks(turns, size)
        sizes = [len(own) for own in self.passages]
        found[TEXT] = _chunks(sizes, passages_at_once(model, max(sizes), 1, size))
        return found

    @property
    def layered_chunks(self) -> int:
        """How many of the chunks of questions hold those that every layer is asked."""
        return sum(1 for own in self.chunks[QUESTIONS] if own[0] < self.n_layered)

    def everything(self) -> tuple[tuple[str, int], ...]:
        """All that a method is asked, chunk by chunk; the questions that every layer is asked come first."""
        return tuple(
            (what, number)
            for what in (QUESTIONS, KNOWN, TEXT, *self.benchmarks)
            for number in range(len(self.chunks[what]))
        )

    def folder(self, name: str, methods: Sequence[Method]) -> Path:
        """Where answers under these methods are kept: another place for other methods, or other questions."""
        total = hashlib.sha256(self._digest.encode())
        for method in methods:
            total.update(f"{method.name}\0{method.setting}\n".encode())
        return self._work.folder("mitigation") / f"{name}-{total.hexdigest()[:12]}"

    @cached_property
    def _digest(self) -> str:
        """SHA-256 over everything that is asked, and over how it is batched."""
        total = hashlib.sha256(self.sampling.model_dump_json().encode())
        for put in (*self.questions, *self.known, *self.tuning):
            total.update(repr((put.prompt.question_id, put.prompt.token_ids)).encode())
        for benchmark in self.benchmarks.values():
            total.update(benchmark.digest.encode())
        total.update(repr(self.passages).encode() + repr([len(own) for own in self.chunks.values()]).encode())
        return total.hexdigest()

    def ask(self, method: Method, what: str, number: int) -> Arrays:
        """What becomes of one chunk under a method, as numbers."""
        numbers, model = self.chunks[what][number], self._work.model
        if what == TEXT:
            losses = lose(model, method, [(int(i), self.passages[i]) for i in numbers])
            return {"nll": np.array([each.nll for each in losses])}
        if what in self.benchmarks:
            return {"outcomes": self._played(method, self.benchmarks[what], numbers)}
        puts = {QUESTIONS: self.questions, KNOWN: self.known, TUNING: self.tuning}[what]
        own = [puts[i] for i in numbers]
        said = answer(model, method, [put.prompt for put in own], [put.shown for put in own], self.sampling)
        verdicts = [judge(each.text, put.question) for each, put in zip(said, own, strict=True)]
        digests = [hashlib.sha256(each.text.encode()).digest()[:8] for each in said]
        return {
            "verdicts": np.array([VERDICTS.index(each) for each in verdicts], dtype=np.int8),
            "texts": np.frombuffer(b"".join(digests), dtype=np.uint64),
            "cut_off": np.array([each.cut_off for each in said]),
        }

    def became(self, parts: dict[tuple[str, int], Arrays]) -> Became:
        """All chunks of one method put together; what it was not asked is empty."""

        def rows(what: str, name: str, dtype: type) -> np.ndarray:
            own = [(self.chunks[what][number], part[name]) for (asked, number), part in parts.items() if asked == what]
            found: np.ndarray = np.zeros(sum(len(numbers) for numbers, _ in own), dtype=dtype)
            for numbers, values in own:
                found[numbers] = values
            return found

        return Became(
            verdicts=rows(QUESTIONS, "verdicts", np.int8),
            texts=rows(QUESTIONS, "texts", np.uint64),
            cut_off=rows(QUESTIONS, "cut_off", np.bool_),
            known=rows(KNOWN, "verdicts", np.int8),
            cases={name: rows(name, "outcomes", np.int8) for name in self.benchmarks if (name, 0) in parts},
            nll=rows(TEXT, "nll", np.float64),
        )

    def _played(self, method: Method, benchmark: Benchmark, numbers: Int64[np.ndarray, " _"]) -> np.ndarray:
        cases, stop = [benchmark.cases[i] for i in numbers], self.sampling.stop if self.plain else ()
        seed = self._work.settings.seed
        said: dict[str, list[str]] = {case.id: [] for case in cases}
        for reply in play(self._work.model, method, benchmark, cases, seed=seed, plain=self.plain, stop=stop):
            said[reply.case].append(reply.text)
        rulings = judge_cases(benchmark, cases, [said[case.id] for case in cases]).rulings
        return np.array([OUTCOMES.index(each.outcome) for each in rulings], dtype=np.int8)

    def _drawn(self, name: str, limit: int) -> tuple[Put, ...]:
        """Questions of a set, whatever became of them, by the seed."""
        questions = read_questions(self._work.run, name)
        chosen = sorted(questions, key=lambda each: rank(each.id, self._work.settings.seed))[:limit]
        return self._put(name, chosen)

    def _put(self, name: str, questions: Iterable[Question]) -> tuple[Put, ...]:
        model, how = self._work.model, self._work.run.config.prompt
        found = []
        for each in questions:
            ids = tuple(how.token_ids(each.text, model.tokenizer))
            found.append(Put(each, Prompt(f"{name}/{each.id}", ids), shown_question(model, each, ids), name))
        return tuple(found)

    def _tuning(self, known: Sequence[Question]) -> tuple[Put, ...]:
        """Training questions of all kinds, of no group that anything was fitted on or that counts as known."""
        run = self._work.run
        fitted = {answer.group for answer in read_judged(run).answers["train"] if answer.part == "fit"}
        barred = fitted | {each.split_key for each in known}
        free = [each for each in read_questions(run, "train") if each.split_key not in barred]
        if not free:
            raise NotEnoughDataError("no training question is left to choose settings on; ask more training questions")
        chosen = sorted(free, key=lambda each: rank(each.id, self._work.settings.seed))[:N_TUNED]
        return self._put(TUNING, chosen)


def _groups(puts: Sequence[Put]) -> np.ndarray:
    return np.array([put.question.split_key for put in puts])


def _few(benchmark: Benchmark) -> Benchmark:
    return replace(benchmark, cases=benchmark.cases[:N_CASES])


def _chunks(lengths: Sequence[int], size: int) -> tuple[Int64[np.ndarray, " _"], ...]:
    """Numbers of the items, those of similar length together: little padding."""
    ordered = np.array(sorted(range(len(lengths)), key=lambda i: (lengths[i], i)), dtype=np.int64)
    return tuple(ordered[start : start + size] for start in range(0, len(ordered), size))
