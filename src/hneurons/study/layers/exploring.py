"""A run asked layer by layer: part after part, each written down when it is found.

    layers/settings.json    how it is asked; never continued with other settings
    layers/PART/            what a part has worked out so far, task by task
    layers/PART.json        what it found
    layers.json             all of it

Like a study it can be killed at any moment: what is there is not made again, and the end is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hneurons.compliance.benchmark import BenchmarkRequest
from hneurons.engine import Engine, Here
from hneurons.errors import (
    ConfigChangedError,
    InterventionError,
    ModelError,
    NotEnoughDataError,
    ProbeError,
    QuestionSetError,
    ResponseError,
    RunError,
)
from hneurons.files import write_json
from hneurons.layers.record import Layers
from hneurons.layers.settings import PARTS, LayersSettings
from hneurons.models.registered import RegisteredModel
from hneurons.probes.probe import Probe
from hneurons.progress import console
from hneurons.registry import registered
from hneurons.study.config import benchmark_requests, make_sweep_settings, validated
from hneurons.study.layers.attention import find_attention
from hneurons.study.layers.causality import find_causality
from hneurons.study.layers.comparison import find_comparison
from hneurons.study.layers.concepts import find_concepts
from hneurons.study.layers.confidence import find_confidence
from hneurons.study.layers.mitigation import find_mitigation
from hneurons.study.layers.tracking import find_tracking
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run, differences, read_record
from hneurons.study.stages import State
from hneurons.study.turning import settings_of as sweep_settings_of

FINDERS: Mapping[str, Callable[[LayersWork], BaseModel]] = {
    "tracking": find_tracking,
    "comparison": find_comparison,
    "attention": find_attention,
    "confidence": find_confidence,
    "concepts": find_concepts,
    "causality": find_causality,
    "mitigation": find_mitigation,
}


class Found(BaseModel):
    """One part as it lies on disk: what it found, or why it found nothing; about which probe; in how many seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe: str
    seconds: float
    found: dict[str, Any] | None
    reason: str = ""


def explore(run: Run, settings: LayersSettings, parts: Sequence[str] = PARTS, engine: Engine | None = None) -> Layers:
    """Do what is missing of some parts, and write down what all parts so far have found.

    A part that cannot be asked (too few answers, no benchmark, an architecture that it does not know) is left out with
    the reason, and tried again the next time.

    Raises:
        RunError: the run has no probe, there is no such part, or another process works on the run.
        ConfigChangedError: the run was asked with other settings before.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise RunError(f"there is no part {unknown[0]!r}; use some of {', '.join(PARTS)}")
    if not run.fit.exists():
        raise RunError(f"{run.path} has no probe yet; find it with: hneurons fit {run.path}")
    with run.locked():
        probe = Probe.load(run.probe).card.tensors
        _begin(run, settings)
        work = LayersWork(run, settings, engine or Here())
        for part in PARTS:
            before = _before(run, part, probe)
            if part in parts and (before is None or before.found is None):
                write_json(_file(run, part), _find(work, part, probe).model_dump(mode="json"))
        made = {part: each for part in PARTS if (each := _before(run, part, probe)) is not None}
        layers = Layers(
            settings=settings.model_dump(mode="json"),
            probe=probe,
            seconds={part: each.seconds for part, each in made.items()},
            missing={part: each.reason for part, each in made.items() if each.found is None},
            **{part: each.found for part, each in made.items() if each.found is not None},  # type: ignore[arg-type]
        )
        write_json(run.layers_found, layers.model_dump(mode="json"))
        return layers


def settings_of(run: Run) -> LayersSettings | None:
    """The settings that a run was asked with; None where it was not asked yet."""
    file = run.layers / "settings.json"
    return read_record(file, LayersSettings) if file.exists() else None


def make_layers_settings(run: Run, **given: Any) -> LayersSettings:
    """Those that the run was asked with, or else the general ones, with the benchmarks of its sweep or its model.

    Args:
        run: the run.
        given: fields that are laid over them; None leaves one as it is. `benchmarks` are "NAME" or "NAME=FILE" each.

    Raises:
        RunError: a field has a value that it cannot have.
    """
    begun = settings_of(run) or LayersSettings(benchmarks=_benchmarks(run))
    chosen = {key: value for key, value in given.items() if value is not None}
    if "benchmarks" in chosen:
        chosen["benchmarks"] = benchmark_requests(chosen["benchmarks"])
    return validated(LayersSettings, {**begun.model_dump(mode="json"), **chosen}, "")


def layers_state(run: Run) -> State | None:
    """How far the layers are, in parts; None where they were not begun."""
    if settings_of(run) is None:
        return None
    files = [_file(run, part) for part in PARTS]
    done = sum(file.exists() and read_record(file, Found).found is not None for file in files)
    return State("layers", done, len(PARTS), "parts")


def _benchmarks(run: Run) -> tuple[BenchmarkRequest, ...]:
    """What the run was swept on, or is by default where its model is a registered one; else none."""
    swept = sweep_settings_of(run)
    if swept is not None:
        return swept.benchmarks
    entry = registered("hneurons.models").get(run.config.model.name)
    own = isinstance(entry, RegisteredModel) and entry.sweep
    return make_sweep_settings(run.config.model.name).benchmarks if own else ()


def _find(work: LayersWork, part: str, probe: str) -> Found:
    started = time.perf_counter()
    try:
        found = FINDERS[part](work).model_dump(mode="json")
    except (InterventionError, ModelError, NotEnoughDataError, ProbeError, QuestionSetError, ResponseError) as error:
        console.print(f"{part} is left out: {error}", markup=False, highlight=False)
        return Found(probe=probe, seconds=time.perf_counter() - started, found=None, reason=str(error))
    return Found(probe=probe, seconds=time.perf_counter() - started, found=found)


def _before(run: Run, part: str, probe: str) -> Found | None:
    """What a part found before, where it was asked about this probe."""
    if not _file(run, part).exists():
        return None
    found = read_record(_file(run, part), Found)
    return found if found.probe == probe else None


def _begin(run: Run, settings: LayersSettings) -> None:
    before = settings_of(run)
    if before is not None and before != settings:
        changes = list(differences(before.model_dump(mode="json"), settings.model_dump(mode="json")))
        raise ConfigChangedError(
            f"{run.layers} was asked with other settings ({'; '.join(changes[:3])}); leave the options out to go on "
            f"with its own, or remove {run.layers} to begin anew"
        )
    write_json(run.layers / "settings.json", settings.model_dump(mode="json"))


def _file(run: Run, part: str) -> Path:
    return run.layers / f"{part}.json"
