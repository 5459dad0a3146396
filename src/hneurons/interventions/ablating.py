"""Ablation: what a part puts out is replaced by zero, by its mean, or by what it put out at another token."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hneurons.errors import InterventionError
from hneurons.interventions.experts import scale_experts
from hneurons.interventions.positions import Mask, Positions
from hneurons.interventions.reference import Activations, Means
from hneurons.interventions.sites import Edit, Moved, Site, Which, columns_by_layer, edit
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Pass, Passes, watch
from hneurons.responses.noise import question_keys, uniform

How = Literal["zero", "mean", "resample"]


@contextmanager
def ablate(
    model: LanguageModel,
    site: Site,
    which: Which,
    *,
    how: How = "zero",
    reference: Means | Activations | None = None,
    positions: Positions = "all",
    seed: int = 0,
) -> Iterator[None]:
    """Take out neurons, heads, FFN outputs or the residual stream after a layer, until the block ends.

    "zero" puts 0 in their place. "mean" puts their mean over a reference set, which keeps what is the same at every
    token. "resample" puts what they held at a token of the reference set, drawn anew for each token of the batch; all
    parts take theirs from the same token. A draw belongs to the seed, the number of the prompt in the batch and the
    position, so that it is the same with and without a cache or padding.

    Args:
        model: any loaded model.
        site: which is turned.
        which: pairs (layer, neuron) or (layer, head); layers, of the sites that are whole vectors.
        how: what takes their place.
        reference: of `mean_activations` for "mean", of `activations` for "resample", with this site and these layers.
        positions: at which tokens.
        seed: of the draws of "resample".

    Raises:
        ModelError: the model has no such layer, neuron or head.
        InterventionError: `reference` does not belong to `how`, `site`, the layers or the model, or an argument makes
            no sense; later, in the block, a batch of another number of prompts than `positions` are given for.
    """
    columns, mask = columns_by_layer(model, site, which), Mask(positions)
    mixed = {layer: columns.pop(layer) for layer in list(columns) if site == "neurons" and model.mixture(layer)}
    if mixed and how != "zero":
        raise InterventionError(
            f"layer {min(mixed)} of {model.name} is a mixture of experts, whose neurons have no value at a token that "
            f"is not routed to them, so that none can take its place; {how} ablation of neurons is for dense layers"
        )
    draws: _Draws | None = None
    values: dict[int, Tensor]
    if how == "zero":
        if reference is not None:
            raise InterventionError("zero ablation takes no reference; leave it out, or say how='mean' or 'resample'")
        values = {layer: torch.zeros(()) for layer in columns}
    elif how == "mean":
        if not isinstance(reference, Means):
            raise InterventionError("mean ablation needs the reference that mean_activations makes")
        values = {layer: check_values(reference, site, layer, chosen) for layer, chosen in columns.items()}
    elif how == "resample":
        if not isinstance(reference, Activations):
            raise InterventionError("resample ablation needs the reference that activations makes")
        values = {layer: check_values(reference, site, layer, chosen) for layer, chosen in columns.items()}
        draws = _Draws(len(reference.positions), seed)
    else:
        raise InterventionError(f"there is no ablation {how!r}; choose zero, mean or resample")
    edits = {layer: _ablation(values[layer], chosen, mask, draws) for layer, chosen in columns.items()}
    with ExitStack() as hooks:
        if mixed:
            passes = hooks.enter_context(watch(model, mask.n_prompts))
            for layer, chosen in mixed.items():
                indices = chosen.nonzero().flatten().tolist()
                table = torch.tensor([[1.0], [0.0]], dtype=torch.float64).expand(2, len(indices))
                scale_experts(model, layer, indices, table, hooks, functools.partial(_ablated, passes, mask))
        hooks.enter_context(edit(model, site, edits, n_prompts=mask.n_prompts))
        yield


def _ablated(passes: Passes, mask: Mask, device: torch.device) -> Int64[Tensor, " tokens"]:
    """1 at every token of the pass that is ablated, and 0 elsewhere."""
    here = mask.of(passes.current)
    if isinstance(here, bool):
        return torch.full(passes.current.shape, int(here), device=device).flatten()
    return here.flatten().long().to(device)


def check_values(
    reference: Means | Activations, site: Site, layer: int, chosen: Bool[Tensor, " width"]
) -> Float[Tensor, "*tokens width"]:
    """The values of `layer`, held against the site that they are to be put into.

    Raises:
        InterventionError: they are of another site, layer or width, or not finite.
    """
    if reference.site != site:
        raise InterventionError(f"the reference was read at site {reference.site!r}, not {site!r}; read it again there")
    if layer not in reference.values:
        known = ", ".join(map(str, reference.values))
        raise InterventionError(f"the reference has no layer {layer}, only {known}; read it again with that layer")
    values = reference.values[layer]
    if values.shape[-1] != len(chosen):
        raise InterventionError(
            f"the reference has vectors of width {values.shape[-1]}, and the model has {len(chosen)} there; "
            "read it from this model"
        )
    if not bool(values.isfinite().all()):
        raise InterventionError(f"the reference has values that are not finite in layer {layer}; read it again")
    return values


class _Draws:
    """Which row of the reference each token of a pass gets, found once for all layers."""

    def __init__(self, n_rows: int, seed: int) -> None:
        self._n_rows = n_rows
        self._key = question_keys(seed, [""])
        self._last: tuple[Pass, Tensor] | None = None

    def of(self, current: Pass) -> Int64[Tensor, "rows seq"]:
        if self._last is None or self._last[0] is not current:
            positions = current.positions.clamp(min=0).cpu().numpy()
            flat, prompts = positions.ravel(), np.repeat(current.rows, positions.shape[1])
            noise = uniform(np.repeat(self._key, len(flat)), prompts, flat, np.zeros_like(flat))
            drawn = torch.from_numpy((noise * self._n_rows).astype(np.int64).reshape(positions.shape))
            self._last = current, drawn
        return self._last[1]


def _ablation(values: Tensor, chosen: Bool[Tensor, " width"], mask: Mask, draws: _Draws | None) -> Edit:
    moved, columns = Moved(values), Moved(chosen)

    def change(states: Tensor, current: Pass) -> Tensor:
        here = moved.to(states.device, states.dtype)
        if draws is not None:
            here = here[draws.of(current).to(states.device)]
        return replace(states, here, columns, mask.of(current))

    return change


def replace(
    states: Float[Tensor, "rows seq width"],
    values: Tensor,
    columns: Moved,
    tokens: Bool[Tensor, "rows seq"] | bool,
) -> Float[Tensor, "rows seq width"]:
    """New states: `values` in the `columns` that are True, of the `tokens`, and every other bit as it was."""
    where = columns.to(states.device, torch.bool)
    if isinstance(tokens, Tensor):
        where = where & tokens.to(states.device).unsqueeze(-1)
    elif not tokens:
        return states
    return torch.where(where, values, states)
