"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.layers.causality.mediation_record import Ablation, Mediation
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band

Corruption = Literal["question", "noise"]
"""What keeps the corrupt run from the clean answer: it was asked another question, or its subject's embeddings are
noisy."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grid(_Frozen):
    """A number with its interval in every cell, a row a layer; None where it is undefined."""

    value: tuple[tuple[float | None, ...], ...]
    low: tuple[tuple[float | None, ...], ...]
    high: tuple[tuple[float | None, ...], ...]


class PairsFound(_Frozen):
    """Which answers were held against each other.

    `found` counts pairs there were to choose from, `unpaired` hallucinated answers that have no partner, by reason. By
    corruption, `gap` is how far the logit difference (clean answer - hallucinated answer) of the clean runs lies above
    that of the corrupt ones, in nats: what patching can bring back, `probability` the same of the clean answer's
    probability; `small` counts pairs with next to none. `unrelated`
    are the pairs that have an unrelated run beside them, for the control. `sigma` is the standard deviation of the
    noise, `draws` how often it was drawn for a pair.
    """

    n: int
    found: int
    by_set: dict[str, int]
    by_kind: dict[str, int]
    unpaired: dict[str, int]
    gap: dict[Corruption, Estimate]
    probability: dict[Corruption, Estimate]
    small: dict[Corruption, int]
    unrelated: int
    sigma: float
    draws: int


class EffectMap(_Frozen):
    """What comes back when a site of one layer, at one group of positions, is that of the clean run.

    Attributes:
        corruption: of the runs that are patched.
        site: "residual", "attention", "ffn", or "heads" (all positions; a column a head).
        columns: groups of positions, or heads.
        n: pairs that have such a position, by column.
        effect: share of the gap in the logit difference that comes back, sum(patched - corrupt) / sum(clean - corrupt)
            over pairs.
        probability: how much the probability of the clean answer rises, on average.
        control: the effect of what an unrelated question's run held there; None where it was not asked.
    """

    corruption: Corruption
    site: str
    columns: tuple[str, ...]
    n: tuple[int, ...]
    effect: Grid
    probability: Grid
    control: Grid | None = None


class NeuronsPatched(_Frozen):
    """Neurons patched together, at every position: the H-Neurons beside as many random ones, of any layer ("random")
    and as many of each layer ("matched"), and beside all neurons of the model. Effects are shares of the gap.
    """

    corruption: Corruption
    n_neurons: int
    n_pairs: int
    effect: Estimate
    random: Band
    matched: Band
    all_neurons: Estimate


class Agreement(_Frozen):
    """How far an estimate agrees with patching itself, over all patches of a site."""

    pearson: Estimate
    spearman: Estimate


class AttributionFound(_Frozen):
    """Attribution patching (one backward pass) against patching, for one site.

    Attributes:
        corruption: of the runs; of noise, the first draw only.
        site: one of the patched sites, or "neurons".
        n: patches that were both estimated and made.
        n_pairs: pairs that they are of.
        linear: gradients of the corrupt run.
        averaged: the mean of the gradients of both runs (trapezoid).
        by_layer: Spearman of the linear estimate within each layer; None where it is undefined.
        points: some of the patches (layer, exact effect, linear estimate, averaged estimate), in nats.
    """

    corruption: Corruption
    site: str
    n: int
    n_pairs: int
    linear: Agreement
    averaged: Agreement
    by_layer: tuple[float | None, ...]
    points: tuple[tuple[int, float, float, float], ...]


class Tracing(_Frozen):
    """Where the answer is carried."""

    pairs: PairsFound
    maps: tuple[EffectMap, ...]


class Causality(_Frozen):
    """Which part causes it: patching, attribution, ablation, mediation.

    `missing` says why `neurons`, `mediation` or `ablation` is not there.
    """

    tracing: Tracing
    neurons: NeuronsPatched | None
    attribution: tuple[AttributionFound, ...]
    mediation: Mediation | None = None
    ablation: Ablation | None = None
    missing: dict[str, str] = {}
