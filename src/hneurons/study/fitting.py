"""Stage 5: the path over C, the choice on it, how stable it is, and the probe."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from hneurons.files import write_json
from hneurons.interventions import scale
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron, refuse_shared_groups, training_rows
from hneurons.probes.path import c_grid, fit_path
from hneurons.probes.probe import make_probe
from hneurons.probes.select import CurvePoint, KnownAccuracy, choose
from hneurons.probes.stability import Frequency, resampled_selection
from hneurons.responses.judging import judge
from hneurons.responses.sampling import batches, sample
from hneurons.study.asking import prompts_of, read_questions, sets_of
from hneurons.study.judging import read_judged
from hneurons.study.measuring import Measured, make_columns, read_measured
from hneurons.study.run import Run


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StabilityPoint(_Record):
    """Resamples at one C: how many neurons they select on average, and how much two of them share (Jaccard)."""

    C: float
    resamples: int
    n_hneurons: float | None
    jaccard: float | None


class Fit(_Record):
    """How the probe was found. `known_intact` is the accuracy on known questions with nothing turned."""

    scheme: str
    scale: str
    n_rows: int
    n_hallucinated: int
    left_out: dict[str, int]
    curve: tuple[CurvePoint, ...]
    chosen: int
    max_ratio: float
    known_questions: int
    known_intact: float
    stability: tuple[StabilityPoint, ...]
    frequencies: tuple[Frequency, ...]
    per_layer: tuple[int, ...]


def fit_probe(run: Run, model: LanguageModel) -> None:
    """Fit and choose the probe, and write it down, once.

    Three parts of the questions never meet: the path is fitted on one, C is chosen on another, and the evaluation sets
    are looked at by neither.
    """
    if run.fit.exists():
        return
    settings = run.config.probe
    make_columns(run)
    fit, dev = read_measured(run, "train", "fit"), read_measured(run, "train", "dev")
    tested = {name: [answer.group for answer in read_judged(run).answers[name]] for name in run.config.evaluate}
    for name, groups in tested.items():
        refuse_shared_groups({"fit": fit.answers.groups, "dev": dev.answers.groups, name: groups})
    rows = training_rows(settings.scheme, fit.answers.hallucinated, fit.answers.groups, fit.has_other)
    X = rows.matrix(fit.answers.contributions, fit.other)
    Cs = c_grid(X, rows.y, settings.n_grid, settings.span, scale=settings.scale)
    path = fit_path(X, rows.y, Cs, scale=settings.scale)
    known, count = known_accuracy(run, model, dev)
    choice = choose(
        path.solutions, dev.answers.contributions, dev.answers.hallucinated, model.n_neurons, known, settings.max_ratio
    )
    stability = resampled_selection(
        X,
        rows.y,
        rows.groups,
        Cs[: choice.index + 2],  # beyond the choice, larger sets cost more and say less
        resamples=run.config.controls.n_stability,
        deviation=path.deviations,
        stop_above=int(2 * settings.max_ratio * model.neurons),
        seed=run.config.seed,
    )
    probe = make_probe(
        choice.solution,
        path,
        model.fingerprint,
        scheme=settings.scheme,
        other=run.config.recording.other,
        positions=run.config.recording.positions,
        date=today(),
        questions={name: str(described["digest"]) for name, described in sets_of(run).items()},
        notes={"seed": run.config.seed, "max_ratio": settings.max_ratio},
    )
    probe.save(run.probe)
    fitted = Fit(
        scheme=settings.scheme,
        scale=settings.scale,
        n_rows=len(rows.y),
        n_hallucinated=int(rows.y.sum()),
        left_out=dict(rows.left_out),
        curve=choice.curve,
        chosen=choice.index,
        max_ratio=choice.max_ratio,
        known_questions=count,
        known_intact=known(()),
        stability=tuple(
            StabilityPoint(
                C=C,
                resamples=int(stability.fitted[k]),
                n_hneurons=_number(stability.sizes[k]),
                jaccard=_number(stability.jaccard[k]),
            )
            for k, C in enumerate(stability.Cs)
        ),
        frequencies=stability.frequencies(choice.index, model.n_neurons) if stability.fitted[choice.index] else (),
        per_layer=tuple(sum(layer == each for each, _ in choice.neurons) for layer in range(model.n_layers)),
    )
    write_json(run.fit, fitted.model_dump(mode="json"))  # last: with it the stage is done


def known_accuracy(run: Run, model: LanguageModel, dev: Measured) -> tuple[KnownAccuracy, int]:
    """How much of what the model knows it still says, greedily, with some neurons at alpha 0.

    The questions are held-out ones that it answered right in every sample: at most `n_known` of them, by the order in
    which they were selected. Returns the function and how many questions it asks.
    """
    chosen = [answer.question_id for answer in dev.judged if not answer.hallucinated][: run.config.probe.n_known]
    questions = {question.id: question for question in read_questions(run, "train") if question.id in set(chosen)}
    asked = [prompt for prompt in prompts_of(run, "train", model) if prompt.question_id in questions]
    planned = batches(asked, run.config.batch_size)
    greedy = run.config.sampling.model_copy(update={"n_samples": 1, "temperature": 0.0})

    def accuracy(neurons: tuple[Neuron, ...]) -> float:
        right = 0
        with scale(model, neurons, 0.0):
            for part in planned:
                for prompt, (response, *_) in zip(part, sample(model, part, greedy), strict=True):
                    right += judge(response.text, questions[prompt.question_id]) == "correct"
        return right / len(asked)

    return accuracy, len(asked)


def today() -> str:
    """The date that artifacts carry; SOURCE_DATE_EPOCH, where it is set, makes it reproducible."""
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(stamp), UTC) if stamp else datetime.now(UTC)
    return now.date().isoformat()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
