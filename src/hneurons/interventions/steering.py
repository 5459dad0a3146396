"""Steering: a direction is added to what a layer puts out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from hneurons.errors import InterventionError
from hneurons.interventions.positions import Mask, Positions
from hneurons.interventions.sites import Moved, Site, check_layers, edit, site_width
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Pass


@contextmanager
def steer(
    model: LanguageModel,
    layer: int,
    direction: Float[Tensor, " width"],
    strength: float = 1.0,
    *,
    site: Site = "residual",
    positions: Positions = "all",
    relative: bool = False,
) -> Iterator[None]:
    """Add `strength * direction` to a site of a layer at each token, until the block ends.

    Args:
        model: any loaded model.
        layer: which, from 0.
        direction: as long as the site is wide: the width of the residual stream, but for "neurons" and "heads".
        strength: its factor; negative steers away.
        site: where it is added; the residual stream after the layer, if left out.
        positions: at which tokens; "generated" steers what is said and leaves the prompt alone.
        relative: take `direction` at unit length and `strength` in multiples of the length of what is there, so that
            one strength means the same in every layer and model.

    Raises:
        ModelError: the model has no such layer.
        InterventionError: the direction has another shape, is not finite, or is zero where only its direction counts;
            the strength is not finite; later, in the block, a batch of another number of prompts than `positions` are
            given for.
    """
    check_layers(model, [layer])
    width = site_width(model, site)
    if direction.shape != (width,):
        raise InterventionError(
            f"the direction has shape {tuple(direction.shape)}; site {site!r} of {model.name} needs ({width},)"
        )
    if not (math.isfinite(strength) and bool(direction.isfinite().all())):
        raise InterventionError("the strength or the direction has values that are not finite; nothing can be added")
    length = torch.linalg.vector_norm(direction.double())
    if relative and length == 0:
        raise InterventionError("the direction is zero and cannot be taken at unit length; give another one")
    wide = torch.promote_types(model.dtype, torch.float32)
    added = strength * (direction.double() / length if relative else direction.double())
    moved, mask = Moved(added), Mask(positions)

    def change(states: Tensor, current: Pass) -> Tensor:
        tokens = mask.of(current)
        if tokens is False:
            return states
        here = moved.to(states.device, wide)
        if relative:
            here = here * torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=wide)
        steered = (states + here).to(states.dtype)
        if isinstance(tokens, Tensor):
            return torch.where(tokens.to(states.device).unsqueeze(-1), steered, states)
        return steered

    with edit(model, site, {layer: change}, n_prompts=mask.n_prompts):
        yield
