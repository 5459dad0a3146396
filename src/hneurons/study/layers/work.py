"""What every part of the layers is given: the run, its model, its answers with their segments and forks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from hneurons.compliance.benchmark import Benchmark
from hneurons.compliance.loading import load_benchmarks
from hneurons.engine import Engine
from hneurons.errors import NotEnoughDataError, ResponseError
from hneurons.layers.answered import Answered, fork_of, segments, subject_of
from hneurons.layers.settings import LayersSettings
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.progress import console
from hneurons.questions.loading import rank
from hneurons.study.asking import prompts_of, read_questions, read_responses
from hneurons.study.evaluating import Fitted, fitted_detectors
from hneurons.study.judging import JudgedAnswer, Part, read_judged
from hneurons.study.run import Run
from hneurons.study.work import Work


class LayersWork:
    """One run, asked layer by layer; what is costly is made once, when a part first needs it."""

    def __init__(self, run: Run, settings: LayersSettings, engine: Engine) -> None:
        self.run = run
        self.settings = settings
        self.engine = engine
        self.probe = Probe.load(run.probe)
        self._work = Work(run, engine)
        self._answered: dict[tuple[str, Part, int], list[Answered]] = {}

    @property
    def model(self) -> LanguageModel:
        """The model of the run."""
        return self._work.model

    @cached_property
    def fitted(self) -> Fitted:
        """Every detector and control of the run, fitted on its training answers; takes a while."""
        return fitted_detectors(self.run)

    @property
    def names(self) -> tuple[str, ...]:
        """The evaluation sets."""
        return tuple(self.run.config.evaluate)

    def folder(self, part: str) -> Path:
        """Where a part keeps its work."""
        return self.run.layers / part

    def answered(self, name: str, part: Part = "test", n_each: int | None = None) -> list[Answered]:
        """Judged answers of a set, at most `n_each` (the settings' own number) of either kind, in the order of keys.

        Which ones does not depend on what else is asked, and a smaller number takes from those of a larger one. An
        answer whose question does not stand in its prompt as it is has no segments and is left out, and told.

        Raises:
            NotEnoughDataError: that holds of every answer.
        """
        n = self.settings.n_each if n_each is None else n_each
        if (name, part, n) not in self._answered:
            every = [answer for answer in read_judged(self.run).answers[name] if answer.part == part]
            chosen: list[JudgedAnswer] = []
            for kind in (True, False):
                own = [answer for answer in every if answer.hallucinated == kind]
                chosen += sorted(own, key=lambda answer: rank(answer.key, self.settings.seed))[:n]
            self._answered[name, part, n] = self._described(name, sorted(chosen, key=lambda answer: answer.key))
        return self._answered[name, part, n]

    def benchmarks(self) -> Sequence[Benchmark]:
        """The compliance benchmarks that the settings name, each of at most `n_cases` cases; errors of loading."""
        limit = self.settings.n_cases
        asked = [
            request.model_copy(update={"limit": min(limit, request.limit or limit)})
            for request in self.settings.benchmarks
        ]
        return load_benchmarks(asked)

    def _described(self, name: str, chosen: Sequence[JudgedAnswer]) -> list[Answered]:
        tokenizer = self.model.tokenizer
        questions = {question.id: question for question in read_questions(self.run, name)}
        prompts = {prompt.question_id: prompt.token_ids for prompt in prompts_of(self.run, name, self.model)}
        said = read_responses(self.run, name)
        found, lost = [], ""
        for answer in chosen:
            question, response = questions[answer.question_id], said[answer.question_id][answer.sample]
            right = question.aliases[0] if answer.hallucinated and question.aliases else None
            try:
                parts = segments(tokenizer, prompts[question.id], question=question.text, subject=subject_of(question))
            except ResponseError as error:  # a template or a tokenizer that changes what is asked
                lost = str(error)
                continue
            found.append(
                Answered(
                    key=answer.key,
                    eval_set=name,
                    kind=question.kind,
                    group=answer.group,
                    prompt_ids=prompts[question.id],
                    response_ids=response.token_ids,
                    answer=answer.answer,
                    hallucinated=answer.hallucinated,
                    segments=parts,
                    fork=fork_of(tokenizer, response, answer.spans, answer.answer[0], right),
                    question=question,
                    text=response.text,
                )
            )
        if lost:
            told = f"{len(chosen) - len(found)} of {len(chosen)} answers of {name} are left out: {lost}"
            if not found:
                raise NotEnoughDataError(told)
            console.print(told, markup=False, highlight=False)
        return found
