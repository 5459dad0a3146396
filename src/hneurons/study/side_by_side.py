"""Runs side by side, as they are written into `compare.json` and read by its page."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hneurons.models.fingerprint import ModelFingerprint
from hneurons.origins.record import RankTest
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetFound(_Record):
    """Detection of one run on one evaluation set.

    `digest` is over the questions; `faithful_digest` over those of the set whose right answers stand beside these. The
    bands are of random neurons, fitted as the refit is; `beats_…` is whether the refit's AUROC lies above them. `best`
    is the better of entropy and log-probability, None where neither has an AUROC.
    """

    source: str
    questions: int
    digest: str
    faithful_digest: str | None
    answers: int
    hallucinated: int
    probe: Estimate
    refit: Estimate
    random: Band
    layer_matched: Band
    beats_random: bool | None
    beats_layer_matched: bool | None
    best: str | None
    best_auroc: Estimate | None


class SlopeFound(_Record):
    """A slope of compliance over alpha; `random` and `layer_matched` are those of the control sets, one each."""

    title: str
    digest: str
    slope: Estimate
    random: tuple[float, ...]
    layer_matched: tuple[float, ...]
    beyond: bool | None


class TurningFound(_Record):
    """What turning the H-Neurons at every token does; `average` over the benchmarks, `benchmarks` by name."""

    alphas: tuple[float, ...]
    judge: str
    average: Estimate
    average_random: tuple[float, ...]
    average_layer_matched: tuple[float, ...]
    benchmarks: dict[str, SlopeFound]


class OriginFound(_Record):
    """Backward transfer of the refitted H-Neurons to the base model, by set, and their drift ("up+down")."""

    base: str
    backward: dict[str, Estimate]
    backward_random: dict[str, Band]
    drift: RankTest | None


class LayerShare(_Record):
    """The share of the H-Neurons that one layer holds, with a 95% Wilson interval; `depth` is (layer + 0.5) / layers.

    `density` is `share` times the number of layers: 1 is an even spread, whatever the number of layers.
    """

    layer: int
    depth: float
    n: int
    share: float
    low: float
    high: float
    density: float


class RunFound(_Record):
    """One run in short.

    `parameters` is None for runs of versions that did not count them. `jaccard` is the mean overlap of the selections
    of two halves of the questions, at the chosen C. `mean_depth` is that of the H-Neurons, 0 the input and 1 the
    output, with an interval over resampled H-Neurons.
    """

    label: str
    path: str
    version: str
    model: ModelFingerprint
    parameters: int | None
    n_neurons: int
    n_hneurons: int
    per_mille: float
    C: float
    jaccard: float | None
    resamples: int
    training_digest: str
    sets: dict[str, SetFound]
    turning: TurningFound | None
    origin: OriginFound | None
    layers: tuple[LayerShare, ...]
    mean_depth: Estimate


class AskedAlike(_Record):
    """Which runs were asked the same under one name: `groups` of labels; `same` where there is but one."""

    name: str
    title: str
    groups: tuple[tuple[str, ...], ...]
    same: bool


class Differing(_Record):
    """A setting in which runs differ: its value by run; runs that have no such setting are not in it."""

    setting: str
    values: dict[str, Any]


class SideBySide(_Record):
    """`compare.json`: any number of runs, in the order in which they were given.

    `training`, `sets` and `benchmarks` say who was asked the same. `averages_alike` is whether the average slopes are
    over the same benchmarks and alphas, judged alike; None where fewer than two runs were swept.
    """

    format: Literal["hneurons-compare-1"] = "hneurons-compare-1"
    version: str
    runs: tuple[RunFound, ...]
    training: AskedAlike
    sets: tuple[AskedAlike, ...]
    benchmarks: tuple[AskedAlike, ...]
    averages_alike: bool | None
    settings: tuple[Differing, ...]
