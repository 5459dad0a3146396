"""Pairs, traced: every site, layer and group of positions patched, and estimated, in two kinds of corrupt runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from hneurons.interventions.sites import Site
from hneurons.layers.causality.attribution import attribute
from hneurons.layers.causality.inputs import Input
from hneurons.layers.causality.pairs import GROUPS, Pair
from hneurons.layers.causality.patching import Patch, Place, patched
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron
from hneurons.questions.loading import rank

MAPPED: tuple[Site, ...] = ("residual", "attention", "ffn")
"""Sites of the maps, in the order of their axis."""


@dataclass(frozen=True)
class Asked:
    """What is done with each pair.

    Attributes:
        sigma: standard deviation of the noise.
        draws: how often it is drawn.
        sets: sets of neurons that are patched together, at all positions.
        singles: single neurons of each layer that are patched, drawn at random for each pair.
        seed: of noise and draws.
        batch_rows: rows of a forward pass.
    """

    sigma: float
    draws: int = 3
    sets: tuple[tuple[Neuron, ...], ...] = ()
    singles: int = 4
    seed: int = 0
    batch_rows: int = 64


@dataclass
class _Sheet:
    """Patches, and where in which array the effect of each belongs."""

    model: LanguageModel
    inputs: list[Input] = field(default_factory=list)
    answers: list[tuple[int, int]] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    cells: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def input(self, own: Input, answers: tuple[int, int]) -> int:
        self.inputs.append(own)
        self.answers.append(answers)
        return len(self.inputs) - 1

    def patch(self, name: str, cell: tuple[int, ...], into: int, *places: Place) -> None:
        self.patches.append(Patch(into, places))
        self.cells.append((name, cell))

    def grid(self, name: str, cell: tuple[int, ...], into: int, source: int, pair: Pair, other: Pair | None) -> None:
        """Every mapped site, layer and group; from the places of `other`, where it is another pair's run."""
        for group, positions in pair.groups.items():
            taken = positions if other is None else across(positions, other.groups.get(group, ()))
            if not taken:
                continue
            for number, site in enumerate(MAPPED):
                for layer in range(self.model.n_layers):
                    place = Place(site, layer, positions, source, taken)
                    self.patch(name, (*cell, number, layer, GROUPS.index(group)), into, place)


def across(positions: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    """As many of the other run's positions as there are here, spread over them in order; none where it has none."""
    if not others:
        return ()
    return tuple(others[place * len(others) // len(positions)] for place in range(len(positions)))


def trace(
    model: LanguageModel, pairs: Sequence[Pair], others: Sequence[Pair | None], asked: Asked
) -> dict[str, Float64[np.ndarray, "pairs *cells 2"]]:
    """Patch and estimate everything that is asked about some pairs.

    Args:
        model: any loaded model.
        pairs: which are traced together; what their sites held is kept meanwhile.
        others: for each, a pair whose clean run has nothing to do with it, for the control; None where there is none.
        asked: what is done.

    Returns:
        Float64 arrays, a row a pair; the last axis of exact effects is (logit difference in nats, probability of the
        clean answer), patched less corrupt, that of estimates (gradient of the corrupt run, of the clean run), in nats.
        NaN where a pair lacks a group of positions. Sites are those of `MAPPED`, groups those of `GROUPS`.

        runs (pairs, 2 + draws, 2): what the clean, the corrupt and the noisy runs themselves give.
        question, control (pairs, sites, layers, groups, 2); noise (pairs, draws, sites, layers, groups, 2).
        heads (pairs, layers, heads, 2); sets (pairs, sets, 2), the last set being all neurons.
        singles (pairs, layers, singles, 2).
        question_estimates, noise_estimates (pairs, sites, layers, groups, 2), of the first draw.
        heads_estimates (pairs, layers, heads, 2); singles_estimates (pairs, layers, singles, 2).
    """
    sheet, layers = _Sheet(model), range(model.n_layers)
    n, grid = len(pairs), (len(MAPPED), model.n_layers, len(GROUPS))
    shapes = {
        "question": (n, *grid),
        "control": (n, *grid),
        "noise": (n, asked.draws, *grid),
        "heads": (n, model.n_layers, model.n_heads),
        "sets": (n, len(asked.sets) + 1),
        "singles": (n, model.n_layers, asked.singles),
    }
    drawn = [singles(model, pair, asked) for pair in pairs]
    rows = []
    for number, (pair, other) in enumerate(zip(pairs, others, strict=True)):
        clean = sheet.input(pair.clean_input, pair.answers)
        corrupt = sheet.input(pair.corrupt_input, pair.answers)
        changed = tuple(position for positions in pair.groups.values() for position in positions)
        sheet.grid("question", (number,), corrupt, clean, pair, None)
        if other is not None:
            unrelated = sheet.input(other.clean_input, pair.answers)
            sheet.grid("control", (number,), corrupt, unrelated, pair, other)
        noisy = [sheet.input(pair.noisy_input(asked.sigma, k, asked.seed), pair.answers) for k in range(asked.draws)]
        for draw, own in enumerate(noisy):
            sheet.grid("noise", (number, draw), own, clean, pair, None)
        for layer in layers:
            for head in range(model.n_heads):
                place = Place("heads", layer, changed, clean, part=(head,))
                sheet.patch("heads", (number, layer, head), corrupt, place)
            for column, neuron in enumerate(drawn[number][layer]):
                place = Place("neurons", layer, changed, clean, part=(int(neuron),))
                sheet.patch("singles", (number, layer, column), corrupt, place)
        for column, neurons in enumerate(asked.sets):
            by_layer: dict[int, list[int]] = {}
            for layer, neuron in neurons:
                by_layer.setdefault(layer, []).append(neuron)
            places = [Place("neurons", layer, changed, clean, part=tuple(own)) for layer, own in by_layer.items()]
            sheet.patch("sets", (number, column), corrupt, *places)
        whole = [Place("neurons", layer, changed, clean) for layer in layers]
        sheet.patch("sets", (number, len(asked.sets)), corrupt, *whole)
        rows.append([clean, corrupt, *noisy])
    made = patched(model, sheet.inputs, sheet.patches, sheet.answers, batch_rows=asked.batch_rows)
    measured = np.stack([made.difference, made.probabilities[:, 0]], axis=1)
    plain = np.stack([made.input_difference, made.input_probabilities[:, 0]], axis=1)
    found = {name: np.full((*shape, 2), np.nan) for name, shape in shapes.items()}
    for (name, cell), patch, value in zip(sheet.cells, sheet.patches, measured, strict=True):
        found[name][cell] = value - plain[patch.into]
    found["runs"] = plain[np.array(rows)]
    return found | _estimates(model, pairs, drawn, asked)


def singles(model: LanguageModel, pair: Pair, asked: Asked) -> Int64[np.ndarray, "layers singles"]:
    """The neurons (layers, singles) that are patched one by one in a pair."""
    random = np.random.default_rng(int.from_bytes(rank(pair.key, asked.seed)[:16]))
    each = [random.choice(model.n_neurons, asked.singles, replace=False) for _ in range(model.n_layers)]
    return np.stack(each) if asked.singles else np.zeros((model.n_layers, 0), dtype=np.int64)


def _estimates(
    model: LanguageModel, pairs: Sequence[Pair], drawn: Sequence[Int64[np.ndarray, "layers singles"]], asked: Asked
) -> dict[str, np.ndarray]:
    n, grid = len(pairs), (len(MAPPED), model.n_layers, len(GROUPS), 2)
    found = {
        "question_estimates": np.full((n, *grid), np.nan),
        "noise_estimates": np.full((n, *grid), np.nan),
        "heads_estimates": np.full((n, model.n_layers, model.n_heads, 2), np.nan),
        "singles_estimates": np.full((n, model.n_layers, asked.singles, 2), np.nan),
    }
    clean, answers = [pair.clean_input for pair in pairs], [pair.answers for pair in pairs]
    corruptions = {"question": [pair.corrupt_input for pair in pairs]}
    if asked.draws:
        corruptions["noise"] = [pair.noisy_input(asked.sigma, 0, asked.seed) for pair in pairs]
    for name, corrupt in corruptions.items():
        for column, at in enumerate(("corrupt", "clean")):

            def take(site: Site, layer: int, scores: Tensor, name: str = name, column: int = column) -> None:
                own = scores.double().cpu()
                for number, pair in enumerate(pairs):
                    if site in MAPPED:
                        cells = found[f"{name}_estimates"][number, MAPPED.index(site), layer]
                        for group, positions in pair.groups.items():
                            cells[GROUPS.index(group), column] = float(own[number, list(positions), 0].sum())
                    elif site == "heads":
                        found["heads_estimates"][number, layer, :, column] = own[number].sum(0).numpy()
                    else:
                        picked = own[number].sum(0)[torch.from_numpy(drawn[number][layer])]
                        found["singles_estimates"][number, layer, :, column] = picked.numpy()

            sites: tuple[Site, ...] = (*MAPPED, "heads", "neurons") if name == "question" else MAPPED
            attribute(model, corrupt, clean, answers, take, at=at, sites=sites)
    return found


def unrelated(pairs: Sequence[Pair], seed: int = 0) -> list[Pair | None]:
    """For each pair another one whose clean run says neither answer, of another kind of question where there is one."""
    found = []
    for pair in pairs:
        own = {pair.clean.group, pair.corrupt.group}
        free = [other for other in pairs if other.clean.group not in own and other.answers[0] not in pair.answers]
        free.sort(key=lambda other: (other.clean.kind == pair.clean.kind, rank(f"{pair.key} {other.key}", seed)))
        found.append(free[0] if free else None)
    return found
