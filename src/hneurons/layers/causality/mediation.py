"""Causal mediation: how much of what separates two runs goes through a component, and how much goes past it.

Y is what a run makes of an answer; the clean and the corrupt run differ in what was asked. Of a component M,

    TE  = Y(clean) - Y(corrupt)                                           total effect
    NIE = Y(corrupt, M as in the clean run) - Y(corrupt)                  natural indirect effect: through M alone
    NDE = Y(clean, M as in the corrupt run) - Y(corrupt)                  natural direct effect: past M

(Pearl 2001, "Direct and indirect effects"; Vig et al. 2020, arXiv 2004.12265). TE = NIE + NDE where M and the rest do
not act on each other; what is left of TE is their interaction. A component of which both NIE and TE - NDE are large is
enough, and needed; one of which only NIE is has a stand-in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from hneurons.errors import InterventionError
from hneurons.interventions.sites import Site
from hneurons.layers.causality.ablation import components
from hneurons.layers.causality.inputs import Input
from hneurons.layers.causality.mediation_record import Component, Where
from hneurons.layers.causality.patching import Answers, Patch, Place, patched
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron

WHERES: tuple[Where, ...] = ("all", "subject", "last")
DIFFERENCE, PROBABILITY = range(2)
"""The measures, along the last axis: logit of the clean answer less that of the other one; its probability."""
INDIRECT, DIRECT, UNRELATED_INDIRECT, UNRELATED_DIRECT = range(4)
"""What is done to a component, along the axis before it."""


@dataclass(frozen=True)
class Spots:
    """The same tokens of three runs, in order: entry i of each stands for the same thing."""

    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    unrelated: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Contrast:
    """Two runs that are held against each other, and a third that has to do with neither.

    Attributes:
        group: what resamples keep together.
        clean: the run that gives the clean answer.
        corrupt: the one that does not.
        answers: tokens of the clean and of the other answer.
        spots: which tokens of the runs stand for each other, by group of positions; a group that they lack is not here.
        unrelated: a clean run about something else; None where there is none.
    """

    group: str
    clean: Input
    corrupt: Input
    answers: Answers
    spots: Mapping[Where, Spots]
    unrelated: Input | None = None


@dataclass(frozen=True)
class Asked:
    """A component, the tokens at which it mediates, and whether it is also given an unrelated value.

    `neurons` are those that are meant where it is a set of neurons.
    """

    component: Component
    where: Where
    unrelated: bool = False
    neurons: tuple[Neuron, ...] = ()


@dataclass(frozen=True, eq=False)
class Readings:
    """What became of the answers; NaN where a contrast has no such token, or where it was not asked.

    Attributes:
        runs: of the clean and the corrupt run of each contrast, by measure.
        patched: of every component, by what was done to it, by measure.
    """

    runs: Float64[np.ndarray, "contrasts 2 2"]
    patched: Float64[np.ndarray, "contrasts asked 4 2"]

    def total(self) -> Float64[np.ndarray, "contrasts 2"]:
        """TE of every contrast."""
        return np.asarray(self.runs[:, 0] - self.runs[:, 1])

    def effects(self, asked: int, how: int) -> Float64[np.ndarray, "contrasts 2"]:
        """NIE or NDE of a component in every contrast: `how` is INDIRECT, DIRECT or the unrelated one of either."""
        return np.asarray(self.patched[:, asked, how] - self.runs[:, 1])


def everything(model: LanguageModel, hneurons: Sequence[Neuron], draws: Sequence[Sequence[Neuron]] = ()) -> list[Asked]:
    """What is worth asking: attention and FFN at every group of positions; heads, H-Neurons and random neurons at all.

    The H-Neurons and what goes by layer or head at all positions are given unrelated values too. `draws` come last.
    """
    found = []
    for component in components(model, neurons=False):
        wheres = ("all",) if component.kind == "head" else WHERES
        found += [Asked(component, where, unrelated=where == "all") for where in wheres]
    neurons = Component(kind="neurons")
    if hneurons:
        found.append(Asked(neurons, "all", unrelated=True, neurons=tuple(hneurons)))
    return found + [Asked(neurons, "all", neurons=tuple(drawn)) for drawn in draws]


def mediate(
    model: LanguageModel, contrasts: Sequence[Contrast], asked: Sequence[Asked], *, batch_rows: int = 64
) -> Readings:
    """Run every contrast as it is, and with every component that is asked put into the other run.

    What the components held in all of these runs is kept meanwhile: give few contrasts at a time to a large model.

    Args:
        model: any loaded model.
        contrasts: pairs of runs.
        asked: components.
        batch_rows: rows of a forward pass.

    Raises:
        InterventionError: no contrast, tokens that do not stand for each other one by one, or a component that names
            none of its neurons.
        ModelError: the model has no such layer.
    """
    if not contrasts or not asked:
        raise InterventionError("there is no contrast, or no component to ask about; give at least one of each")
    inputs: list[Input] = []
    answers: list[Answers] = []
    patches: list[Patch] = []
    goals: list[tuple[int, int, int]] = []
    for number, contrast in enumerate(contrasts):
        for spots in contrast.spots.values():
            _check(contrast, spots)
        first = len(inputs)
        runs = [contrast.clean, contrast.corrupt, *([contrast.unrelated] if contrast.unrelated is not None else [])]
        inputs += runs
        answers += [contrast.answers] * len(runs)
        for place, each in enumerate(asked):
            for how, patch in _patches(contrast, each, first, model).items():
                patches.append(patch)
                goals.append((number, place, how))
    made = patched(model, inputs, patches, answers, batch_rows=batch_rows)
    found = np.full((len(contrasts), len(asked), 4, 2), np.nan)
    found[tuple(np.array(goals, dtype=np.int64).reshape(-1, 3).T)] = np.stack(
        [made.difference, made.probabilities[:, 0]], axis=1
    )
    measures = np.stack([made.input_difference, made.input_probabilities[:, 0]], axis=1)
    cleans = np.cumsum([0, *(2 + (contrast.unrelated is not None) for contrast in contrasts)])[:-1]
    return Readings(runs=np.stack([measures[cleans], measures[cleans + 1]], axis=1), patched=found)


def _patches(contrast: Contrast, asked: Asked, first: int, model: LanguageModel) -> dict[int, Patch]:
    """What is put where; runs are inputs `first` (clean), `first + 1` (corrupt), `first + 2` (unrelated)."""
    spots = contrast.spots.get(asked.where)
    if spots is None:
        return {}
    clean, corrupt, other = first, first + 1, first + 2
    sites = _sites(model, asked)

    def patch(into: int, at: tuple[int, ...], source: int, taken: tuple[int, ...]) -> Patch:
        places = tuple(Place(site, layer, at, source, taken, part) for site, layer, part in sites)
        return Patch(into, places)

    found = {
        INDIRECT: patch(corrupt, spots.corrupt, clean, spots.clean),
        DIRECT: patch(clean, spots.clean, corrupt, spots.corrupt),
    }
    if asked.unrelated and contrast.unrelated is not None and spots.unrelated:
        found[UNRELATED_INDIRECT] = patch(corrupt, spots.corrupt, other, spots.unrelated)
        found[UNRELATED_DIRECT] = patch(clean, spots.clean, other, spots.unrelated)
    return found


def _sites(model: LanguageModel, asked: Asked) -> list[tuple[Site, int, tuple[int, ...] | None]]:
    """Sites, layers and parts that a component is made of."""
    component = asked.component
    if component.kind == "neurons":
        if not asked.neurons:
            raise InterventionError("a set of neurons is asked about and none is named; name them in `neurons`")
        layers = sorted({layer for layer, _ in asked.neurons})
        return [
            ("neurons", layer, tuple(sorted({index for own, index in asked.neurons if own == layer})))
            for layer in layers
        ]
    layer = -1 if component.layer is None else component.layer  # refused when it is made, as any that is not there
    if component.kind == "head":
        return [("heads", layer, (-1 if component.head is None else component.head,))]
    return [("attention" if component.kind == "attention" else "ffn", layer, None)]


def _check(contrast: Contrast, spots: Spots) -> None:
    counts = {len(spots.clean), len(spots.corrupt), len(spots.unrelated) or len(spots.clean)}
    if len(counts) > 1 or 0 in counts:
        raise InterventionError(
            f"{len(spots.clean)} tokens of a clean run stand for {len(spots.corrupt)} of the corrupt one of group "
            f"{contrast.group!r}; give as many, and at least one"
        )
