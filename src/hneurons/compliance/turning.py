"""Which neurons a sweep turns, and how every row of a batch is turned by its own alpha."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from hneurons.compliance.record import Kind
from hneurons.interventions.gating import gate
from hneurons.interventions.scaling import Scaling, scale_rows
from hneurons.models.language_model import LanguageModel
from hneurons.probes.controls import draw_neurons
from hneurons.probes.labels import Neuron, flat, neurons
from hneurons.probes.probe import Probe

INTACT = "intact"
H_NEURONS, GATED = "H-Neurons", "H-Neurons, gated"


@dataclass(frozen=True)
class NeuronSet:
    """Neurons that are turned together.

    `threshold` is that of the probe's gate, where they are turned behind it; they are `probe`'s H-Neurons then.
    """

    name: str
    kind: Kind
    neurons: tuple[Neuron, ...]
    probe: Probe | None = None
    threshold: float | None = None


def neuron_sets(
    probe: Probe, *, n_random: int, n_layer_matched: int, threshold: float | None, seed: int
) -> list[NeuronSet]:
    """The H-Neurons, the same behind the gate where a threshold is given, and as many random neurons, drawn often.

    Random neurons are drawn from all layers alike, layer-matched ones from every layer as many as it has H-Neurons;
    none is an H-Neuron.

    Raises:
        ProbeError: the probe has no H-Neurons, or too few others are left to draw from.
    """
    model, chosen = probe.card.model, probe.hneurons
    sets = [NeuronSet(H_NEURONS, "hneurons", chosen)]
    if threshold is not None:
        sets.append(NeuronSet(GATED, "gated", chosen, probe, threshold))
    numbers, total = flat(chosen, model.n_neurons), model.n_layers * model.n_neurons
    wanted: tuple[tuple[Kind, int], ...] = (("random", n_random), ("layer-matched", n_layer_matched))
    for kind, draws in wanted:
        matched = kind == "layer-matched"
        drawn = draw_neurons(
            numbers, total, model.n_neurons, draws=draws, layer_matched=matched, seed=seed, absent=model.absent
        )
        sets += [NeuronSet(f"{kind} {i}", kind, neurons(each, model.n_neurons)) for i, each in enumerate(drawn)]
    return sets


@dataclass
class Turned:
    """Tokens that passed while a block lasted, by row of the batch, and those at which neurons were turned.

    Only a gate counts; without one both are zero, and neurons were turned everywhere.
    """

    tokens: Int64[np.ndarray, " rows"]
    turned: Int64[np.ndarray, " rows"]


@contextmanager
def turn(model: LanguageModel, chosen: NeuronSet | None, alphas: Sequence[float]) -> Iterator[Turned]:
    """Turn `chosen`, prompt i of every batch in the block by `alphas[i]`; None leaves the model alone.

    Raises:
        ProbeMismatchError: the gate's probe is another model's.
        InterventionError: an alpha is negative or not finite; later, a batch has another number of prompts.
    """
    nothing = np.zeros(len(alphas), dtype=np.int64)
    if chosen is None:
        yield Turned(nothing, nothing)
    elif chosen.probe is None or chosen.threshold is None:
        with scale_rows(model, [Scaling(chosen.neurons, alpha) for alpha in alphas]):
            yield Turned(nothing, nothing)
    else:
        with gate(model, chosen.probe, threshold=chosen.threshold, alpha=alphas, neurons=chosen.neurons) as count:
            yield Turned(count.tokens, count.turned)
