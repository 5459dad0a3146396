"""Another model, asked what a run asks: a run of its own, inside the run's directory.

It has the run's questions and settings, but for the model and how that is asked. It is as resumable and as locked as
any other run, and `hneurons status` and the stages take its directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hneurons.errors import ConfigChangedError
from hneurons.files import read_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.origins.growth import share_right
from hneurons.origins.record import SetAsked
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Estimate
from hneurons.study.asking import copy_questions, parts, read_questions, read_responses, sample_responses
from hneurons.study.config import ModelSettings, StudyConfig
from hneurons.study.evaluating import read_evaluation
from hneurons.study.judging import judge_responses, read_judged
from hneurons.study.measuring import measure, measured
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.reading import Reader
from hneurons.study.run import Run, differences
from hneurons.study.stages import Work


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
        sample_responses(run, work.model, work.engine, names)
    judge_responses(run, names, lenient=True)
    if not all(measured(run, name) for name in names):
        measure(run, work.model, work.engine, names)


def set_names(run: Run) -> list[str]:
    """The evaluation sets in the order of the run's own results; the configuration on disk has them in another."""
    if not run.detection.exists():
        return list(run.config.evaluate)
    return list(dict.fromkeys(row.eval_set for row in read_evaluation(run).detection))


def sets_asked(run: Run, sets: Sequence[Answers]) -> tuple[SetAsked, ...]:
    """What the model of a run made of its evaluation sets `sets`: verdicts, accuracy, and what AUROC is taken on."""
    judged = read_judged(run)
    return tuple(
        SetAsked(
            eval_set=answers.name,
            questions=judged.counts[answers.name].questions,
            verdicts=judged.counts[answers.name].verdicts,
            accuracy=_accuracy(run, answers.name),
            faithful=int((~answers.hallucinated).sum()),
            hallucinated=int(answers.hallucinated.sum()),
            left_out=judged.counts[answers.name].left_out,
        )
        for answers in sets
    )


def _accuracy(run: Run, name: str) -> Estimate:
    """The share of answerable questions answered right; a refusal is not right, and what has no verdict is left out."""
    questions = [question for question in read_questions(run, name) if question.answerable]
    if not questions:
        return Estimate(value=None, low=None, high=None, reason="these questions have no right answer")
    verdicts = Reader(run).verdicts(questions, read_responses(run, name))
    told = [(question.split_key, verdict) for question in questions for verdict in verdicts[question.id][:1] if verdict]
    return share_right(
        np.array([verdict == "correct" for _, verdict in told], dtype=np.bool_),
        np.array([group for group, _ in told], dtype=np.str_),
        resamples=run.config.controls.n_bootstrap,
        seed=run.config.seed,
    )
