"""Scaling: z_j <- alpha * z_j for chosen neurons, in all rows of a batch alike or in each by its own alpha."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from hneurons.errors import InterventionError
from hneurons.interventions.experts import scale_experts
from hneurons.interventions.sites import Moved, Site, Which, attach, by_layer, by_row, columns_by_layer
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Passes, watch
from hneurons.models.stored import StoredModel
from hneurons.probes.labels import Neuron


@dataclass(frozen=True)
class Scaling:
    """The neurons of one prompt, pairs (layer, index), and the factor alpha of what they put out."""

    neurons: tuple[Neuron, ...]
    alpha: float


@contextmanager
def scale(model: LanguageModel, neurons: Which, alpha: float, *, site: Site = "neurons") -> Iterator[None]:
    """Multiply what `neurons` put out by `alpha` at every token, until the block ends.

    z_j <- alpha * z_j (H-Neurons, arXiv 2512.01797); the same function as scaling column j of W_down, without touching
    a weight; of a neuron of an expert, at every token routed to it, and the router is left. 0 suppresses, 1 leaves the
    model alone, more than 1 amplifies. The contribution of a single scaled neuron becomes
    alpha ||h_j|| / ||h + (alpha - 1) h_j||. The model is as before after the block, also after an exception. Blocks
    nest: their factors multiply.

    Args:
        model: any loaded model.
        neurons: pairs (layer, index); one that is named twice counts once.
        alpha: the factor, finite and not negative.
        site: "neurons"; or another, whose parts `neurons` then are: pairs (layer, head) of "heads", else layers.

    Raises:
        ModelError: the model has no such neuron.
        InterventionError: `alpha` is negative or not finite.
    """
    check_alpha(alpha)
    columns = columns_by_layer(model, site, neurons)
    with ExitStack() as hooks:
        if alpha != 1:
            for layer, chosen in columns.items():
                if site == "neurons" and model.mixture(layer) is not None:
                    indices = chosen.nonzero().flatten().tolist()
                    table = torch.full((1, len(indices)), alpha, dtype=torch.float64)
                    scale_experts(model, layer, indices, table, hooks)
                    continue
                factors = torch.where(chosen, torch.tensor(alpha, dtype=torch.float64), 1.0)
                hooks.callback(attach(model, site, layer, _scaler(factors)).remove)
        yield


@contextmanager
def scale_rows(model: LanguageModel, scalings: Sequence[Scaling]) -> Iterator[None]:
    """Scale as `scale` does, each prompt of a batch by its own neurons and alpha: a whole sweep in one batch.

    `scalings[i]` belongs to prompt i of every batch in the block. In `sample` that is prompt i of the list, whatever
    becomes of its rows; in a forward pass or `generate` of the model itself it is row i.

    Args:
        model: any loaded model.
        scalings: one for each prompt of the batch.

    Raises:
        ModelError: the model has no such neuron.
        InterventionError: an alpha is negative or not finite; later, in the block, a batch does not have as many
            prompts as there are scalings.
    """
    if not scalings:
        raise InterventionError("there is no scaling; give one for each prompt of the batch")
    distinct = {scaling: index for index, scaling in enumerate(dict.fromkeys(scalings))}
    tables: dict[int, Tensor] = {}
    for scaling, index in distinct.items():
        check_alpha(scaling.alpha)
        for layer, indices in neurons_by_layer(model, scaling.neurons).items():
            if scaling.alpha != 1:
                ones = torch.ones(len(distinct), model.neurons_in(layer), dtype=torch.float64)
                tables.setdefault(layer, ones)[index, indices] = scaling.alpha
    kinds = np.array([distinct[scaling] for scaling in scalings])
    with watch(model, len(scalings)) as passes, ExitStack() as hooks:
        for layer, factors in tables.items():
            if model.mixture(layer) is not None:
                turned = (factors != 1).any(dim=0).nonzero().flatten()
                own = functools.partial(_kinds, passes, kinds)
                scale_experts(model, layer, turned.tolist(), factors[:, turned], hooks, own)
                continue
            hooks.callback(attach(model, "neurons", layer, _row_scaler(passes, kinds, factors)).remove)
        yield


def check_alpha(alpha: float) -> None:
    """Refuse an alpha that is negative or not finite, with an `InterventionError`."""
    if not (math.isfinite(alpha) and alpha >= 0):
        raise InterventionError(
            f"alpha is {alpha}; it must be a finite number of at least 0 (0 suppresses, 1 changes nothing)"
        )


def neurons_by_layer(model: LanguageModel | StoredModel, neurons: Sequence[Neuron]) -> dict[int, list[int]]:
    """Indices of `neurons` by layer, ascending, each once.

    Raises:
        ModelError: the model has no such neuron.
    """
    return by_layer(neurons, "neuron", model.n_neurons, model.n_layers, model.name, model.neurons_in)


def _kinds(passes: Passes, kinds: Int64[np.ndarray, " prompts"], device: torch.device) -> Int64[Tensor, " tokens"]:
    """The scaling of each token's prompt."""
    current = passes.current
    return torch.from_numpy(kinds[current.rows]).repeat_interleave(current.shape[1]).to(device)


# The hooks multiply all of z: one operation costs less than to gather, scale and scatter a few columns. They make a
# new tensor, for the caller's z may be read again, and multiply in float32 at least, lest alpha be rounded to bfloat16.


def _scaler(factors: Float64[Tensor, " width"]) -> Callable[[Tensor], Tensor]:
    moved = Moved(factors)

    def change(states: Tensor) -> Tensor:
        wide = torch.promote_types(states.dtype, torch.float32)
        return (states * moved.to(states.device, wide)).to(states.dtype)

    return change


def _row_scaler(
    passes: Passes, kinds: Int64[np.ndarray, " prompts"], factors: Float64[Tensor, "kinds neurons"]
) -> Callable[[Tensor], Tensor]:
    """`kinds` says which row of `factors` belongs to each prompt."""
    moved = Moved(factors)
    rows: np.ndarray | None = None
    gathered = factors

    def change(z: Tensor) -> Tensor:
        nonlocal rows, gathered
        now = passes.current.rows
        if rows is None or not np.array_equal(rows, now):  # then the choice of each row is moved, not its factors
            table = moved.to(z.device, torch.promote_types(z.dtype, torch.float32))
            chosen = torch.from_numpy(kinds[now]).to(z.device)
            rows, gathered = now, table.index_select(0, chosen).unsqueeze(1)
        return (by_row(z, passes.current) * gathered).to(z.dtype).reshape(z.shape)

    return change
