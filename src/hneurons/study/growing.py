"""Growth: what the probe of a run's model finds in the checkpoints of its pre-training.

    origin/checkpoints/NAME/        a checkpoint: a run of its own, on the questions of the run
    origin/checkpoints/NAME/checkpoint.json   what it came to; its contributions are deleted then
    growth.json                     all of them

A killed run goes on with the checkpoint in hand. What was said stays; it is measured again only where the run's probe,
the last checkpoint, or the field that accuracy is shown by is another than before.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hneurons.engine import Engine, Here
from hneurons.errors import ConfigChangedError, ModelError, ModelNotFoundError, RunError
from hneurons.files import read_json, write_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.stored import StoredModel, open_stored
from hneurons.origins.drift import distances
from hneurons.origins.growth import drift_to_last, natural, sentences
from hneurons.origins.record import Checkpoint, DriftToLast, Growth, Stratum
from hneurons.origins.transfer import transfer_controls, transferred
from hneurons.probes.names import MATCHED, RANDOM
from hneurons.probes.probe import Probe
from hneurons.progress import console
from hneurons.questions.question import Question
from hneurons.study.asking import read_questions
from hneurons.study.evaluating import Fitted, evaluation_sets, fitted_detectors
from hneurons.study.nested import answer, nested_run, right_answers, set_names, sets_asked, share_right
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run, read_record
from hneurons.study.work import Work

MOST_STRATA = 20


@dataclass(frozen=True)
class Found:
    """A checkpoint in its directory, as it lies in its files."""

    step: int
    name: str
    stored: StoredModel


class _Kept(BaseModel):
    """A checkpoint that is done, and what it was done with: digests of probe and weights, and what decides the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe: str
    weights: str
    last: str
    by: str | None
    checkpoint: Checkpoint


@dataclass(frozen=True)
class _Shared:
    """What all checkpoints of a run have in common; `fitted` fits the run's detectors when it is first called."""

    run: Run
    settings: OriginSettings
    engine: Engine
    probe: Probe
    last: Found
    last_weights: str
    fitted: Callable[[], Fitted]


def grow(run: Run, checkpoints: Path, settings: OriginSettings, engine: Engine | None = None) -> Growth:
    """Ask every checkpoint what the run asked, apply the run's detectors to its answers, and write down what it shows.

    Args:
        run: with a probe.
        checkpoints: holds model directories that have a step in their names: `checkpoint-500`, `step500`.
        settings: how a model that completes text is asked; `base` and `forward` have no meaning here.
        engine: what runs the work; this process by default.

    Raises:
        RunError: the run has no probe, another process works on it, or no question has the field `settings.by`.
        ModelNotFoundError: there are no checkpoints.
        ModelError: two of one step, or one that cannot be read.
        ProbeMismatchError: one has another shape than the run's model.
        ConfigChangedError: a checkpoint was asked otherwise before, or has other weights now.
    """
    if not run.fit.exists():
        raise RunError(f"{run.path} has no probe yet; find it with: hneurons fit {run.path}")
    probe = Probe.load(run.probe)
    found = find_checkpoints(checkpoints, trust_remote_code=run.config.model.trust_remote_code)
    for each in found:
        probe.require(_shape(each.stored), weights=False)
    with run.locked():
        if settings.by is not None:
            _require_field(run, settings.by)
        fitted = cache(lambda: fitted_detectors(run))  # once, and not at all where every checkpoint is done
        last = found[-1]
        shared = _Shared(run, settings, engine or Here(), probe, last, _digest(last.stored, run), fitted)
        records = []
        for place, each in enumerate(found, 1):
            console.print(f"{each.name} ({place} of {len(found)})", markup=False, highlight=False)
            records.append(_checkpoint(shared, each))
        growth = Growth(
            probe=probe.card.tensors,
            directory=str(checkpoints),
            by=settings.by,
            checkpoints=tuple(records),
            sentences=sentences(records, settings.by),
        )
        write_json(run.growth_found, growth.model_dump(mode="json"))
    return growth


def find_checkpoints(directory: Path, *, trust_remote_code: bool = False) -> list[Found]:
    """The model directories in `directory` that have a number in their names, by step, the last number of the name.

    Raises:
        ModelNotFoundError: there is no such directory, or no checkpoint in it.
        ModelError: two have the same step, or one cannot be read.
    """
    if not directory.is_dir():
        raise ModelNotFoundError(f"there is no directory {directory}; name the one that holds the checkpoints")
    steps: dict[int, Path] = {}
    for path in sorted(directory.iterdir()):
        numbers = re.findall(r"\d+", path.name)
        if not numbers or path.name.startswith(".") or not (path / "config.json").is_file():
            continue
        step = int(numbers[-1])
        if step in steps:
            raise ModelError(
                f"{steps[step].name} and {path.name} in {directory} are both of step {step}; move one away"
            )
        steps[step] = path
    if not steps:
        raise ModelNotFoundError(
            f"{directory} holds no checkpoint: no model directory with a step in its name, such as checkpoint-500"
        )
    return [
        Found(step, path.name, open_stored(path.resolve(), trust_remote_code=trust_remote_code))
        for step, path in sorted(steps.items())
    ]


def _checkpoint(shared: _Shared, found: Found) -> Checkpoint:
    """Do what is missing of one checkpoint, write it down, and delete what its neurons did."""
    by, last = shared.settings.by, shared.last_weights
    weights = last if found is shared.last else _digest(found.stored, shared.run)
    nested = _nested(shared, found, weights)
    file, contributions, trash = (nested.path / name for name in ("checkpoint.json", "contributions", ".contributions"))
    shutil.rmtree(trash, ignore_errors=True)
    kept = read_record(file, _Kept) if file.exists() else None
    key = {"probe": shared.probe.card.tensors, "weights": weights, "last": last, "by": by}
    if kept is None or kept.model_dump(include=set(key)) != key:
        kept = _Kept.model_validate({**key, "checkpoint": _measured(shared, found, nested)})
        write_json(file, kept.model_dump(mode="json"))
    if contributions.exists():
        shutil.rmtree(nested.columns, ignore_errors=True)
        contributions.replace(trash)  # gone at once: half a store would be taken for a whole one
        shutil.rmtree(trash)
    return kept.checkpoint


def _nested(shared: _Shared, found: Found, weights: str) -> Run:
    """The run of one checkpoint.

    Raises:
        ConfigChangedError: it was asked otherwise before, or had other weights.
    """
    run = shared.run
    path = run.origin / "checkpoints" / found.name
    model = run.config.model.model_copy(update={"name": found.stored.source.location, "revision": None})
    nested = nested_run(run, path, model, shared.settings)
    if nested.model.exists() and read_json(nested.model)["fingerprint"]["weights_digest"] != weights:
        raise ConfigChangedError(
            f"{found.name} has other weights than when it was asked before; remove {path} to ask it anew"
        )
    return nested


def _measured(shared: _Shared, found: Found, nested: Run) -> Checkpoint:
    """Ask the checkpoint, and apply the run's detectors to what it answers.

    An untrained model gets everything wrong, so that sets may come to nothing and AUROC to None.
    """
    run, by = shared.run, shared.settings.by
    names, resamples, seed = set_names(run), run.config.controls.n_bootstrap, run.config.seed
    drift, fitted = _drift(shared, found), shared.fitted()
    answer(run, Work(nested, shared.engine), names)
    own = evaluation_sets(nested)
    sets = {name: own[name] for name in names}
    answered = [pair for name in names for pair in right_answers(nested, name)]
    return Checkpoint(
        step=found.step,
        name=found.name,
        asked=sets_asked(nested, sets),
        strata=strata(answered, by, resamples=resamples, seed=seed) if by is not None else (),
        figures=transferred(fitted.detectors, list(sets.values()), resamples=resamples, seed=seed),
        controls=transfer_controls({name: fitted.draws[name] for name in (RANDOM, MATCHED)}, list(sets.values())),
        drift=drift,
    )


def _drift(shared: _Shared, found: Found) -> DriftToLast | None:
    """None for the last one, and where weights cannot be compared, as of a neuron that begins at zero; that is said."""
    if found is shared.last:
        return None
    try:
        distance = distances(found.stored, shared.last.stored)
    except ModelError as error:
        console.print(f"{found.name}: no distance to the last checkpoint: {error}", markup=False, highlight=False)
        return None
    resamples, seed = shared.run.config.controls.n_bootstrap, shared.run.config.seed
    return drift_to_last(distance, shared.probe.hneurons, resamples=resamples, seed=seed)


def strata(
    answered: Iterable[tuple[Question, bool]], by: str, *, resamples: int = 2000, seed: int = 0
) -> tuple[Stratum, ...]:
    """Accuracy on the questions of every value of a field, in natural order, with intervals over groups of questions.

    A question that is asked in two sets, by its wording, counts once; one without the field or a right answer does not.

    Args:
        answered: questions, and whether each was answered right.
        by: the field of `Question.meta`.
        resamples, seed: of the intervals.
    """
    found: dict[str, list[tuple[Question, bool]]] = {}
    seen: set[str] = set()
    for question, right in answered:
        value = _value(question, by)
        if value is not None and question.wording not in seen:
            seen.add(question.wording)
            found.setdefault(value, []).append((question, right))
    return tuple(
        Stratum(
            value=value,
            questions=len(found[value]),
            accuracy=share_right(found[value], resamples=resamples, seed=seed),
        )
        for value in sorted(found, key=natural)
    )


def _value(question: Question, by: str) -> str | None:
    """The question's value of the field; None where it has none, or no right answer."""
    value = question.meta.get(by) if question.answerable else None
    return None if value is None else str(value)


def _require_field(run: Run, by: str) -> None:
    """Refuse a field that no question has, or that has a value for nearly each.

    Raises:
        RunError: which fields there are.
    """
    questions = [each for name in run.config.evaluate for each in read_questions(run, name) if each.answerable]
    values = {value for each in questions if (value := _value(each, by)) is not None}
    if not values:
        fields = sorted({field for each in questions for field in each.meta})
        told = f"there are {', '.join(fields)}" if fields else "they have none"
        raise RunError(f"no question of the evaluation sets has the field {by!r} to show accuracy by; {told}")
    if len(values) > MOST_STRATA:
        few = ", ".join(sorted(values, key=natural)[:3])
        raise RunError(
            f"{by!r} has {len(values)} values ({few}, ...), too many to show accuracy by; name a field with at most "
            f"{MOST_STRATA}"
        )


def _shape(stored: StoredModel) -> ModelFingerprint:
    """What a probe compares of a model beside its weights."""
    return ModelFingerprint(
        name=stored.name,
        revision=stored.revision,
        model_type=stored.anatomy.model_type,
        n_layers=stored.n_layers,
        n_neurons=stored.n_neurons,
        hidden_size=stored.hidden_size,
        weights_digest="",
    )


def _digest(stored: StoredModel, run: Run) -> str:
    """The digest of a checkpoint's weights as the run loads models.

    Raises:
        ModelError: it cannot be told from the files.
    """
    fingerprint = stored.fingerprint(run.config.model.dtype)
    if fingerprint is None:
        raise ModelError(f"the weights of {stored.name} cannot be told from its files; save it with save_pretrained")
    return fingerprint.weights_digest
