"""A run held against the model that its own was tuned from: transfer both ways, and drift of the weights.

    origin/config.json     how the base model is asked
    origin/base/           the base model: a run of its own, on the same questions
    origin.json            what was found, written last

Like a study it can be killed at any moment: what is there is not made again, and the end is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.engine import Engine, Here
from hneurons.errors import ModelError, NotEnoughDataError, ProbeError, RunError
from hneurons.files import read_json, write_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.stored import StoredModel, open_stored
from hneurons.origins.drift import drift
from hneurons.origins.record import Drift, Origin, Transferred
from hneurons.origins.transfer import transfer, transferred
from hneurons.probes.answers import Answers
from hneurons.probes.probe import Probe
from hneurons.study.asking import parts
from hneurons.study.config import ModelSettings
from hneurons.study.evaluating import Fitted, evaluation_sets, fitted_detectors
from hneurons.study.fitting import fit_probe
from hneurons.study.nested import answer, fingerprint_of, nested_run, set_names, sets_asked
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run, read_record
from hneurons.study.stages import State
from hneurons.study.work import Work

BASE = "base"


def trace(run: Run, settings: OriginSettings, engine: Engine | None = None) -> Origin:
    """Do what is missing to hold a run against its base model, and write down what that shows.

    Raises:
        RunError: no base model is named, the run has no probe, or another process works on it.
        ModelError: the base model cannot be loaded, or is the run's own.
        ProbeMismatchError: it has another shape.
        ConfigChangedError: another base model was asked there, or asked otherwise.
    """
    if settings.base is None:
        raise RunError(f"which model {run.config.model.name} was tuned from is not known; give it with --base")
    if not run.fit.exists():
        raise RunError(f"{run.path} has no probe yet; find it with: hneurons fit {run.path}")
    probe = Probe.load(run.probe)
    with run.locked():
        base = nested_run(run, run.origin / BASE, settings.base, settings)
        with base.locked():
            work = Work(base, engine or Here())
            fingerprint = fingerprint_of(work)
            _refuse(probe, fingerprint)
            found = _found(run, settings, probe, fingerprint)
            write_json(run.origin / "config.json", settings.model_dump(mode="json"))
            if found is None:
                found = _trace(run, work, settings, probe, fingerprint)
            write_json(run.origin_found, found.model_dump(mode="json"))
            return found


def settings_of(run: Run) -> OriginSettings | None:
    """The settings that tracing was begun with; None where it has not got as far as an answer."""
    file = run.origin / "config.json"
    begun = file.exists() and (run.origin / BASE / "responses").exists()
    return read_record(file, OriginSettings) if begun else None


def origin_state(run: Run) -> State | None:
    """How far tracing is, in batches of the base model's responses; None where it was not begun."""
    settings = settings_of(run)
    if settings is None:
        return None
    base = Run.open(run.origin / BASE)
    sampled = [parts(base, name) for name in (base.config.sets if settings.forward else base.config.evaluate)]
    done, total = (sum(column) for column in zip(*sampled, strict=True))
    finished = run.origin_found.exists()
    return State("origin", done if done < total or finished else total - 1, total, "batches")


def _refuse(probe: Probe, base: ModelFingerprint) -> None:
    """Refuse a model that the run's cannot have been tuned from."""
    probe.require(base, weights=False)
    tuned = probe.card.model
    if tuned.same_model(base):
        raise ModelError(
            f"{base.name} and {tuned.name} have the same weights, so one was not tuned from the other; "
            "give the base model with --base"
        )


def _found(run: Run, settings: OriginSettings, probe: Probe, base: ModelFingerprint) -> Origin | None:
    """What was found before, if it is whole and of this probe, this base and these settings; else that is removed.

    By which field growth is shown makes no difference to it.
    """
    if not run.origin_found.exists():
        return None
    try:
        found = Origin.model_validate(read_json(run.origin_found))
    except ValueError:  # damaged, or of another version; what it is made of is still there
        run.origin_found.unlink()
        return None
    now = settings.model_dump(mode="json")
    same = {**found.settings, "by": settings.by} == now and (found.probe, found.base) == (probe.card.tensors, base)
    if same and "drift" not in found.missing and settings_of(run) is not None:
        return found.model_copy(update={"settings": now})
    run.origin_found.unlink()
    return None


def _trace(run: Run, work: Work, settings: OriginSettings, probe: Probe, fingerprint: ModelFingerprint) -> Origin:
    base, missing, controls = work.run, dict[str, str](), run.config.controls
    names = set_names(run)
    answer(run, work, names)
    theirs = _sets(base, names)
    tuned = probe.card.model.name
    how = {"resamples": controls.n_bootstrap, "seed": run.config.seed}
    here = fitted_detectors(run)
    backward = transfer(
        "backward",
        here.detectors,
        here.draws,
        list(theirs.values()),
        fitted_on=tuned,
        applied_to=fingerprint.name,
        **how,
    )
    forward, native = None, tuple[Transferred, ...]()
    if settings.forward:
        try:
            there = _fitted_on_base(run, work)
        except (NotEnoughDataError, ProbeError) as error:
            missing["forward"] = f"no probe could be fitted on {fingerprint.name}: {error}"
        else:
            own = list(_sets(run, names).values())
            forward = transfer(
                "forward", there.detectors, there.draws, own, fitted_on=fingerprint.name, applied_to=tuned, **how
            )
            native = transferred(there.detectors, list(theirs.values()), **how)
    else:
        missing["forward"] = "only backward transfer was asked for"
    moved = None
    try:
        moved = _drift(run, probe, base.config.model, fingerprint)
    except ModelError as error:
        missing["drift"] = str(error)
    return Origin(
        settings=settings.model_dump(mode="json"),
        probe=probe.card.tensors,
        base=fingerprint,
        prompt=settings.prompt.model_dump(mode="json"),
        stop=settings.stop,
        asked=sets_asked(base, theirs),
        native=native,
        backward=backward,
        forward=forward,
        drift=moved,
        missing=missing,
    )


def _sets(run: Run, names: Sequence[str]) -> dict[str, Answers]:
    sets = evaluation_sets(run)
    return {name: sets[name] for name in names}


def _fitted_on_base(run: Run, work: Work) -> Fitted:
    """Every detector and control fitted on the base model's own answers, its own sparse probe first.

    Raises:
        NotEnoughDataError: the base model has too few consistent answers.
        ProbeError: no probe can be fitted on them.
    """
    base = work.run
    answer(run, work, list(base.config.sets))
    if not base.fit.exists():
        fit_probe(base, work.model)
    return fitted_detectors(base)


def _drift(run: Run, probe: Probe, base: ModelSettings, fingerprint: ModelFingerprint) -> Drift:
    """How far the weights moved, read from the files of both models.

    Raises:
        ModelError: the files of one cannot be read tensor by tensor, or are no longer those that were loaded.
    """
    stored = (_stored(base, fingerprint), _stored(run.config.model, probe.card.model))
    settings = run.config.controls
    return drift(*stored, probe.hneurons, resamples=settings.n_bootstrap, seed=run.config.seed)


def _stored(settings: ModelSettings, expected: ModelFingerprint) -> StoredModel:
    if settings.quantize is not None:
        raise ModelError(
            f"{settings.name} was quantized while it was loaded ({settings.quantize}), and drift is read from its "
            "files, which hold other weights; trace a study of the original weights"
        )
    stored = open_stored(settings.name, revision=expected.revision, trust_remote_code=settings.trust_remote_code)
    found = stored.fingerprint(settings.dtype)
    if found is not None and not found.same_model(expected):
        raise ModelError(f"the files of {settings.name} are no longer those of the model that was asked; put them back")
    return stored
