"""Another model, asked what a run asks: a run of its own, inside the run's directory.

It has the run's questions and settings, but for the model and how that is asked. It is as resumable and as locked as
any other run, and `hneurons status` and the stages take its directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hneurons.errors import ConfigChangedError
from hneurons.files import read_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.origins.record import SetAsked
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.questions.question import Question
from hneurons.study.asking import copy_questions, parts, read_questions, read_responses, sample_responses
from hneurons.study.config import ModelSettings, StudyConfig
from hneurons.study.evaluating import read_evaluation
from hneurons.study.judging import judge_responses, read_judged
from hneurons.study.measuring import measure, measured
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.reading import Reader
from hneurons.study.run import Run, differences
from hneurons.study.work import Work


def derived_config(run: Run, model: ModelSettings, settings: OriginSettings) -> StudyConfig:
    """The run's configuration for another model; an endpoint that serves the run's model does not sample this one."""
    config = run.config
    endpoints = config.endpoints and config.endpoints.model_copy(update={"sample": None})
    sampling = config.sampling.model_copy(update={"stop": settings.stop})
    changed = {"model": model, "prompt": settings.prompt, "sampling": sampling, "endpoints": endpoints}
    return config.model_copy(update=changed)


def nested_run(run: Run, path: Path, model: ModelSettings, settings: OriginSettings) -> Run:
    """Begin a run of another model at `path`, or go on with the one there.

    Raises:
        ConfigChangedError: what is there was said by another model, or asked otherwise; nothing of it is touched.
    """
    config = derived_config(run, model, settings)
    try:
        return Run.start(path, config)
    except ConfigChangedError:
        changes = list(differences(Run.open(path).config.deciding, config.deciding))
        raise ConfigChangedError(
            f"{path} holds answers of another model, or asked for otherwise ({'; '.join(changes[:3])}); leave the "
            f"options out to go on with them, or remove {path} to begin anew"
        ) from None


def fingerprint_of(work: Work) -> ModelFingerprint:
    """What identifies the model of a run; it is loaded only where that has not been written down yet."""
    if work.run.model.exists():
        return ModelFingerprint.model_validate(read_json(work.run.model)["fingerprint"])
    return work.model.fingerprint


def answer(source: Run, work: Work, names: Sequence[str]) -> None:
    """Sample, judge and measure the sets `names` of `source` with the model of `work`, so far as that is not done.

    The model is not loaded where nothing is to be sampled or measured. Judging is lenient: see `judge_responses`.

    Raises:
        NotEnoughDataError: the training set is among them and has too few consistent answers.
        EndpointError: an endpoint cannot be used, or fails too often.
    """
    run = work.run
    copy_questions(source, run)
    if any(done < total for done, total in (parts(run, name) for name in names)):
        sample_responses(work, names)
    judge_responses(run, names, lenient=True)
    if not all(measured(run, name) for name in names):
        measure(work, names)


def set_names(run: Run) -> list[str]:
    """The evaluation sets in the order of the run's own results; the configuration on disk has them in another."""
    if not run.detection.exists():
        return list(run.config.evaluate)
    return list(dict.fromkeys(row.eval_set for row in read_evaluation(run).detection))


def sets_asked(run: Run, sets: Mapping[str, Answers]) -> tuple[SetAsked, ...]:
    """What the model of a run made of its evaluation sets `sets`: verdicts, accuracy, and what AUROC is taken on."""
    judged, resamples, seed = read_judged(run), run.config.controls.n_bootstrap, run.config.seed
    return tuple(
        SetAsked(
            eval_set=name,
            questions=judged.counts[name].questions,
            verdicts=judged.counts[name].verdicts,
            accuracy=share_right(right_answers(run, name), resamples=resamples, seed=seed),
            faithful=int((~answers.hallucinated).sum()),
            hallucinated=int(answers.hallucinated.sum()),
            left_out=judged.counts[name].left_out,
        )
        for name, answers in sets.items()
    )


def right_answers(run: Run, name: str) -> list[tuple[Question, bool]]:
    """Every question of an evaluation set that has a right answer, and whether the model gave it.

    A refusal is not right, and neither is a response without a verdict.
    """
    questions = [question for question in read_questions(run, name) if question.answerable]
    verdicts = Reader(run).verdicts(questions, read_responses(run, name))
    return [(each, verdicts[each.id][:1] == ["correct"]) for each in questions]


def share_right(answered: Sequence[tuple[Question, bool]], *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """The share of questions answered right, with its 95% percentile interval over resampled groups of questions."""
    if not answered:
        return Estimate(value=None, low=None, high=None, reason="no question has a right answer")
    bootstrap = Bootstrap(np.array([question.split_key for question, _ in answered]), resamples=resamples, seed=seed)
    right = np.array([flag for _, flag in answered], dtype=np.float64)
    return bootstrap.mean(right)
