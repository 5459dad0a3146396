"""Scaling where a layer has experts: z^e_j times a factor at every token routed to expert e; the router is left.

Routing weights multiply what an expert puts out, so this is the same function as scaling column j of W_down^e.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from hneurons.interventions.sites import Moved
from hneurons.models.experts import Routed, Tap
from hneurons.models.language_model import LanguageModel
from hneurons.models.mixture import Expert

Kinds = Callable[[torch.device], Int64[Tensor, " tokens"]]
"""Which row of the factors belongs to each token of the pass that runs, row after row, padding included."""


def scale_experts(
    model: LanguageModel,
    layer: int,
    indices: Sequence[int],
    factors: Float64[Tensor, "kinds chosen"],
    hooks: ExitStack,
    kinds: Kinds | None = None,
) -> None:
    """Multiply neurons `indices` of a layer with experts, until `hooks` is closed.

    Args:
        factors: of each of them; one row, or as many as `kinds` chooses from.
    """
    parts = model.mixture(layer)
    assert parts is not None
    assert model.anatomy.mixture is not None
    columns: dict[Expert | None, tuple[list[int], list[int]]] = {}
    for place, index in enumerate(indices):
        expert, own = model.expert_of(layer, index)
        places, inside = columns.setdefault(expert, ([], []))
        places.append(place)
        inside.append(own)
    turned = {expert: _Turned(inside, factors[:, places], kinds) for expert, (places, inside) in columns.items()}
    shared = turned.pop("shared", None)
    if turned:

        def edit(z: Tensor, routed: Routed) -> Tensor:
            for expert, own in routed.segments():
                if expert in turned:
                    turned[expert].into(z[own], routed.tokens[own])  # z is ours to write into
            return z

        hooks.callback(Tap(parts.experts, model.anatomy.mixture, edit=edit).remove)
    if shared is not None and parts.shared is not None:

        def before(_module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            z = arguments[0].clone()  # the caller's z may be read again
            flat = z.view(-1, z.shape[-1])
            shared.into(flat, torch.arange(len(flat), device=flat.device))
            return (z, *arguments[1:])

        hooks.callback(parts.shared.down.register_forward_pre_hook(before).remove)


class _Turned:
    """The turned neurons of one expert."""

    def __init__(self, columns: Sequence[int], factors: Tensor, kinds: Kinds | None) -> None:
        self._columns, self._factors, self._kinds = Moved(torch.tensor(columns)), Moved(factors), kinds

    def into(self, z: Tensor, tokens: Tensor) -> None:
        """Write into `z` (some, width), whose rows belong to `tokens`; in float32 at least, as everywhere."""
        columns = self._columns.to(z.device, torch.int64)
        factors = self._factors.to(z.device, torch.promote_types(z.dtype, torch.float32))
        own = factors[0] if self._kinds is None else factors[self._kinds(z.device)[tokens]]
        z[:, columns] = (z[:, columns] * own).to(z.dtype)
