"""Finished runs side by side: what each found, which of them were asked the same, and in which settings they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hneurons.compliance.record import Kind, Sweep
from hneurons.endpoint import EndpointSettings
from hneurons.errors import CorruptRunError, RunError
from hneurons.files import read_json, write_json
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.controls import band
from hneurons.probes.labels import Neuron
from hneurons.probes.stability import wilson
from hneurons.probes.table import Detection
from hneurons.progress import track
from hneurons.study.config import StudyConfig
from hneurons.study.evaluating import H_NEURONS, MATCHED, RANDOM, REFIT
from hneurons.study.results import Results
from hneurons.study.side_by_side import (
    AskedAlike,
    Differing,
    LayerShare,
    OriginFound,
    RunFound,
    SetFound,
    SideBySide,
    SlopeFound,
    TurningFound,
)

UNCERTAINTY = ("token entropy", "token log-probability")
"""Baselines that cost nothing: the better of the two stands beside the H-Neurons."""
RESAMPLES = 2000
NO_MATTER = frozenset(("batch_size", "batch_tokens", "storage", "sweep.batch_rows"))
"""Settings that decide no more than rounding."""
COMPARED_OTHERWISE = frozenset(("model", "train", "evaluate", "sweep.benchmarks", "origin.base"))
"""Fields that runs may well differ in, or that digests compare better."""


def compare_runs(paths: Sequence[Path], names: Sequence[str] = ()) -> SideBySide:
    """Read the results of finished runs and put them side by side.

    Args:
        paths: run directories, two or more.
        names: what the runs are called; by default by their model.

    Raises:
        RunError: fewer than two runs, one of them twice or not finished, or names that do not fit.
        CorruptRunError: results that cannot be read.
    """
    if len(paths) < 2:
        raise RunError(f"a comparison needs two runs or more, not {len(paths)}; give their directories")
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise RunError(f"{path} is given twice; give every run once")
    if names and len(names) != len(paths):
        raise RunError(f"{len(names)} names for {len(paths)} runs; give --name once for every run, in their order")
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise RunError("every run needs a name of its own; give other --name")
    found = [read_finished(path) for path in track(paths, "reading results")]
    labels = list(names) or make_labels([each.model.name for each in found], places)
    return side_by_side(found, labels, [str(path) for path in paths])


def write_side_by_side(found: SideBySide, directory: Path) -> Path:
    """Write `compare.json` into a directory, which is made if need be; returns its path.

    Raises:
        RunError: there is a file at `directory`.
    """
    if directory.exists() and not directory.is_dir():
        raise RunError(f"{directory} is a file; give another directory with --out")
    write_json(directory / "compare.json", found.model_dump(mode="json"))
    return directory / "compare.json"


def read_finished(path: Path) -> Results:
    """The results of a run.

    Raises:
        RunError: there are none yet.
        CorruptRunError: they are damaged, or of another version.
    """
    file = path / "results.json"
    if not path.is_dir():
        raise RunError(f"there is no run in {path}; give the directory of a finished run")
    if not file.exists():
        raise RunError(f"{path} has no results.json; finish it with: hneurons report {path}")
    again = f"write it anew with: hneurons report {path}"
    expected = Results.model_fields["format"].default
    try:
        value = read_json(file)
    except (OSError, ValueError) as error:
        raise CorruptRunError(f"{file} cannot be read ({next(iter(str(error).splitlines()), '')}); {again}") from None
    kind = value.get("format") if isinstance(value, dict) else None
    if kind != expected:
        raise CorruptRunError(f"{file} is of format {kind!r}, and this version reads {expected!r}; {again}")
    try:
        return Results.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CorruptRunError(f"{file} cannot be read ({where}: {first['msg']}); {again}") from None


def make_labels(models: Sequence[str], places: Sequence[Path]) -> list[str]:
    """A name for every run: the model's, without the way to it; with the run's directory where models are shared."""
    short = [last_part(name) for name in models]
    own = [
        f"{name} ({place.name})" if short.count(name) > 1 else name for name, place in zip(short, places, strict=True)
    ]
    return unique(own)


def last_part(model: str) -> str:
    """The last part of a model's path or name."""
    return Path(model).name or Path(model).resolve().name or "model"


def unique(names: Iterable[str]) -> list[str]:
    """The names, those that occur again with a number."""
    found: list[str] = []
    for name in names:
        number, own = 2, name
        while own in found:
            own, number = f"{name}-{number}", number + 1
        found.append(own)
    return found


def side_by_side(found: Sequence[Results], labels: Sequence[str], paths: Sequence[str]) -> SideBySide:
    """Put results side by side, under labels that differ."""
    runs = tuple(_run(results, label, path) for results, label, path in zip(found, labels, paths, strict=True))
    swept = [each for each in runs if each.turning is not None]
    return SideBySide(
        version=version("hneurons"),
        runs=runs,
        training=_alike("train", "training questions", {each.label: each.training_digest for each in runs}),
        sets=tuple(
            _alike(
                name,
                name,
                {
                    each.label: (each.sets[name].digest, each.sets[name].faithful_digest)
                    for each in runs
                    if name in each.sets
                },
            )
            for name in dict.fromkeys(name for each in runs for name in each.sets)
        ),
        benchmarks=tuple(_benchmarks(runs)),
        averages_alike=len({_turned(each.turning) for each in swept if each.turning}) == 1 if len(swept) > 1 else None,
        settings=tuple(differing(dict(zip(labels, found, strict=True)))),
    )


def _benchmarks(runs: Sequence[RunFound]) -> list[AskedAlike]:
    held = {each.label: each.turning.benchmarks for each in runs if each.turning is not None}
    titles = {name: each.title for benchmarks in reversed(held.values()) for name, each in benchmarks.items()}
    names = dict.fromkeys(name for benchmarks in held.values() for name in benchmarks)
    return [
        _alike(name, titles[name], {label: each[name].digest for label, each in held.items() if name in each})
        for name in names
    ]


def _turned(found: TurningFound) -> tuple[Any, ...]:
    """What decides what an average slope is of."""
    asked = tuple(sorted((name, each.digest) for name, each in found.benchmarks.items()))
    return (found.alphas, found.judge, asked)


def _alike(name: str, title: str, asked: Mapping[str, object]) -> AskedAlike:
    groups: dict[object, list[str]] = {}
    for label, what in asked.items():
        groups.setdefault(what, []).append(label)
    return AskedAlike(name=name, title=title, groups=tuple(map(tuple, groups.values())), same=len(groups) == 1)


def _run(results: Results, label: str, path: str) -> RunFound:
    fit, probe = results.fit, results.probe
    steady = fit.stability[fit.chosen] if fit.chosen < len(fit.stability) else None
    return RunFound(
        label=label,
        path=path,
        version=results.version,
        model=results.model,
        parameters=results.parameters,
        n_neurons=probe.n_neurons,
        n_hneurons=probe.n_hneurons,
        per_mille=probe.per_mille,
        C=probe.C,
        jaccard=steady.jaccard if steady else None,
        resamples=steady.resamples if steady else 0,
        training_digest=str(results.sets["train"]["digest"]),
        sets={
            name: _set(results, name)
            for name in dict.fromkeys(row.eval_set for row in results.evaluation.detection)
        },
        turning=_turning(results.sweep) if results.sweep else None,
        origin=_origin(results),
        layers=layer_shares(probe.neurons, results.model.n_layers),
        mean_depth=mean_depth(probe.neurons, results.model.n_layers),
    )  # fmt: skip


def _set(results: Results, name: str) -> SetFound:
    rows = {row.detector: row for row in results.evaluation.detection if row.eval_set == name}
    controls = {each.control: each.auroc for each in results.evaluation.controls if each.eval_set == name}
    verdicts = {each.control: each.better for each in results.comparisons if each.eval_set == name}
    source = results.config["evaluate"].get(name, {}).get("faithful_from")
    best = max((rows[each] for each in UNCERTAINTY if each in rows), key=_auroc, default=None)
    best = best if best is not None and best.auroc.value is not None else None
    return SetFound(
        source=str(results.sets[name]["source"]),
        questions=results.sets[name]["n"],
        digest=str(results.sets[name]["digest"]),
        faithful_digest=str(results.sets[source]["digest"]) if source else None,
        answers=rows[H_NEURONS].n,
        hallucinated=rows[H_NEURONS].n_hallucinated,
        probe=rows[H_NEURONS].auroc,
        refit=rows[REFIT].auroc,
        random=controls.get(RANDOM) or band([]),
        layer_matched=controls.get(MATCHED) or band([]),
        beats_random=verdicts.get(RANDOM),
        beats_layer_matched=verdicts.get(MATCHED),
        best=best.detector if best else None,
        best_auroc=best.auroc if best else None,
    )


def _auroc(row: Detection) -> float:
    return -1.0 if row.auroc.value is None else row.auroc.value


def _turning(sweep: Sweep) -> TurningFound | None:
    """None where the sweep has no curve of the H-Neurons."""
    curves = {each.benchmark: each for each in sweep.curves if each.kind == "hneurons"}
    ours = next((each.neurons for each in curves.values()), None)
    if ours is None or ours not in sweep.average_slope:
        return None
    beyond = {each.benchmark: each.beyond for each in sweep.findings if each.kind == "hneurons"}

    def slopes(benchmark: str, kind: Kind) -> tuple[float, ...]:
        found = [each.slope.value for each in sweep.curves if (each.benchmark, each.kind) == (benchmark, kind)]
        return tuple(value for value in found if value is not None)

    def averages(kind: Kind) -> tuple[float, ...]:
        names = dict.fromkeys(each.neurons for each in sweep.curves if each.kind == kind)
        found = [sweep.average_slope[name].value for name in names if name in sweep.average_slope]
        return tuple(value for value in found if value is not None)

    return TurningFound(
        alphas=tuple(sorted(sweep.alphas)),
        judge=sweep.judge,
        average=sweep.average_slope[ours],
        average_random=averages("random"),
        average_layer_matched=averages("layer-matched"),
        benchmarks={
            each.name: SlopeFound(
                title=each.title,
                digest=each.digest,
                slope=curves[each.name].slope,
                random=slopes(each.name, "random"),
                layer_matched=slopes(each.name, "layer-matched"),
                beyond=beyond.get(each.name),
            )
            for each in sweep.benchmarks
            if each.name in curves
        },
    )


def _origin(results: Results) -> OriginFound | None:
    found = results.origin
    if found is None:
        return None
    backward = found.backward
    tests = found.drift.tests if found.drift else ()
    return OriginFound(
        base=found.base.name,
        backward={each.eval_set: each.auroc for each in backward.figures if each.detector == REFIT} if backward else {},
        backward_random=(
            {each.eval_set: each.auroc for each in backward.controls if each.control == RANDOM} if backward else {}
        ),
        drift=next((each for each in tests if each.score == "up+down"), None),
    )


def layer_shares(neurons: Sequence[Neuron], n_layers: int) -> tuple[LayerShare, ...]:
    """The share of `neurons` in every layer; empty where there are none."""
    if not neurons:
        return ()
    held = Counter(layer for layer, _ in neurons)
    shares = []
    for layer in range(n_layers):
        n = held[layer]
        low, high = wilson(n, len(neurons))
        share = n / len(neurons)
        shares.append(
            LayerShare(
                layer=layer,
                depth=(layer + 0.5) / n_layers,
                n=n,
                share=share,
                low=low,
                high=high,
                density=share * n_layers,
            )
        )
    return tuple(shares)


def mean_depth(neurons: Sequence[Neuron], n_layers: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Mean of (layer + 0.5) / layers, with its percentile interval over resampled neurons; none for fewer than two."""
    if not neurons:
        return Estimate(value=None, low=None, high=None, reason="there is no H-Neuron")
    depths = (np.array([layer for layer, _ in neurons], dtype=np.float64) + 0.5) / n_layers
    value = float(depths.mean())
    if len(depths) < 2:
        return Estimate(value=value, low=None, high=None, reason="one H-Neuron has no interval")
    bootstrap = Bootstrap(np.arange(len(depths)), resamples=resamples, seed=seed)
    return bootstrap.interval(value, bootstrap.totals(depths[:, None])[:, 0] / len(depths))


def differing(found: Mapping[str, Results]) -> list[Differing]:
    """Settings in which runs differ, and whose figures so do not compare like with like; by name."""
    parts: list[dict[str, dict[str, Any]]] = [
        {label: {"version": each.version} for label, each in found.items()},
        {label: _flat(_study(each)) for label, each in found.items()},
        {
            label: _flat({"sweep": _swept(each.sweep.settings) | {"judge": each.sweep.judge}})
            for label, each in found.items()
            if each.sweep
        },
        {
            label: _flat({"origin": {**each.origin.settings, "prompt": each.origin.prompt, "stop": each.origin.stop}})
            for label, each in found.items()
            if each.origin
        },
    ]
    listed = []
    for part in parts:
        for key in sorted({key for flat in part.values() for key in flat}):
            values = {label: flat.get(key) for label, flat in part.items()}
            if any(value != next(iter(values.values())) for value in values.values()):
                listed.append(Differing(setting=key, values=values))
    return listed


def _study(results: Results) -> dict[str, Any]:
    """The settings that decide what a study finds, with the type the weights were loaded in."""
    try:
        config = StudyConfig.model_validate(results.config).deciding
    except ValidationError:  # of another version
        config = dict(results.config)
    return config | {"model.dtype": config.get("model", {}).get("dtype")}


def _swept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a sweep; of an LLM judge what decides its verdicts."""
    found = dict(settings)
    if isinstance(found.get("judge"), dict):
        found |= {"judge_settings": EndpointSettings.model_validate(found["judge"]).deciding}
    return found


def _flat(value: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Fields of fields as "field.field", without those that do not matter or are compared by digest."""
    found: dict[str, Any] = {}
    for key, each in value.items():
        name = f"{where}{key}"
        if name in NO_MATTER | COMPARED_OTHERWISE:
            continue
        if isinstance(each, Mapping):
            found |= _flat(each, f"{name}.")
        else:
            found[name] = list(each) if isinstance(each, tuple) else each
    return found
