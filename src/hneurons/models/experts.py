"""The routed experts of a layer while somebody looks: the same sums as the model's own, with z in the open.

transformers computes all experts of a layer in one of several ways ("eager", "grouped_mm", "batched_mm"), none of which
shows z. It lets others register a way of their own; ours is used for a layer only as long as something is tapped there,
and every other layer keeps the model's. Whether ours computes what the model's does is checked when a model is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from hneurons.errors import ModelError
from hneurons.models.mixture import Mixture

IMPLEMENTATION = "hneurons_tapped"
"""Name under which transformers knows our way of computing the experts."""


@dataclass(frozen=True, eq=False)
class Routed:
    """Which token goes to which expert: pairs, sorted by expert.

    Attributes:
        tokens: the token of each pair, a flat number in the batch, padding included.
        experts: the expert of each pair, ascending.
        weights: its routing weight, as the model applies it.
        bounds: the pairs of expert e are `bounds[e]` to `bounds[e + 1]`.
        n_tokens: tokens of the batch.
    """

    tokens: Int64[Tensor, " pairs"]
    experts: Int64[Tensor, " pairs"]
    weights: Float[Tensor, " pairs"]
    bounds: tuple[int, ...]
    n_tokens: int

    def segments(self) -> Iterator[tuple[int, slice]]:
        """Every expert that some token goes to, and its pairs."""
        for expert, (first, last) in enumerate(zip(self.bounds, self.bounds[1:], strict=False)):
            if first < last:
                yield expert, slice(first, last)

    def only(self, places: Int64[Tensor, " tokens"]) -> tuple[Routed, Int64[Tensor, " kept"]]:
        """The pairs of those tokens that have a place (0 or more), each token under its place; and which pairs."""
        own = places[self.tokens]
        kept = (own >= 0).nonzero().squeeze(-1)
        experts = self.experts[kept]
        bounds = _bounds(experts, len(self.bounds) - 1)
        count = int(places.max()) + 1 if len(places) else 0
        return Routed(own[kept], experts, self.weights[kept], bounds, count), kept


Activations = Float[Tensor, "pairs width"]
Edit = Callable[[Activations, Routed], Activations]
"""Makes the z that goes on of the z that was computed; it may write into what it gets."""
Read = Callable[[Activations, Routed], None]
"""Looks at z as it enters the down-projections, after every edit; it must not write into it."""


class _Taps:
    """What is tapped at one module, in order of arrival."""

    def __init__(self, mixture: Mixture, config: Any) -> None:
        self.mixture = mixture
        self.config = config
        self.edits: list[Edit] = []
        self.reads: list[Read] = []


_tapped: WeakKeyDictionary[nn.Module, _Taps] = WeakKeyDictionary()


class Tap:
    """An edit or a read of one layer's routed experts, until it is removed."""

    def __init__(self, experts: nn.Module, mixture: Mixture, *, edit: Edit | None = None, read: Read | None = None):
        """Tap `experts`, the fused module of a layer, from the next forward pass on."""
        self._experts, self._edit, self._read = experts, edit, read
        taps = _tapped.get(experts)
        if taps is None:
            module: Any = experts
            taps = _tapped[experts] = _Taps(mixture, module.config)
            module.config = copy.copy(module.config)  # its own: the other layers go on as they are
            module.config._experts_implementation = IMPLEMENTATION
        taps.edits += [] if edit is None else [edit]
        taps.reads += [] if read is None else [read]

    def remove(self) -> None:
        """Take the tap away; with the last one the layer is computed in the model's own way again."""
        taps = _tapped.get(self._experts)
        if taps is None or (self._edit, self._read) == (None, None):
            return
        taps.edits = [each for each in taps.edits if each is not self._edit]
        taps.reads = [each for each in taps.reads if each is not self._read]
        self._edit = self._read = None
        if not taps.edits and not taps.reads:
            module: Any = self._experts
            module.config = taps.config
            del _tapped[self._experts]


def route(index: Int64[Tensor, "tokens k"], weights: Float[Tensor, "tokens k"], n_experts: int) -> Routed:
    """Pairs from what the model's router puts out; one synchronisation with the device."""
    return _route(index, weights, n_experts)[0]


def activations(
    experts: nn.Module, mixture: Mixture, states: Float[Tensor, "some hidden"], expert: int
) -> Float[Tensor, "some width"]:
    """z of one expert for states that are routed to it, in the type of the model."""
    module: Any = experts
    weight: Tensor = module.gate_up_proj[expert]
    packed: Tensor = states.to(weight.dtype) @ (weight if mixture.transposed else weight.T)
    if mixture.biases:
        packed = packed + module.gate_up_proj_bias[expert]
    if mixture.order == "interleaved":
        gate, up = packed[..., ::2], packed[..., 1::2]
    else:
        gate, up = packed.chunk(2, dim=-1)
    if mixture.order == "up_gate":
        gate, up = up, gate
    if not mixture.clamped:
        return torch.mul(module.act_fn(gate), up)
    gate, up = gate.clamp(max=module.limit), up.clamp(min=-module.limit, max=module.limit)
    return torch.mul(up + 1, gate * torch.sigmoid(gate * module.alpha))


def down_biases(experts: nn.Module, mixture: Mixture) -> Float[Tensor, "experts hidden"] | None:
    """The biases of the down-projections, or None where there are none."""
    module: Any = experts
    biases: Tensor | None = module.down_proj_bias.detach() if mixture.biases else None
    return biases


def combined(
    experts: nn.Module,
    mixture: Mixture,
    z: Float[Tensor, "pairs width"],
    routed: Routed,
) -> Float[Tensor, "pairs hidden"]:
    """r (W_down z + bias) of every pair, in the order of the pairs; in the wider type of z and of the weights."""
    module: Any = experts
    parts = []
    for expert, own in routed.segments():
        weight = module.down_proj[expert].to(z.dtype)
        out = z[own] @ (weight if mixture.transposed else weight.T)
        if mixture.biases:
            out = out + module.down_proj_bias[expert].to(z.dtype)
        parts.append(out * routed.weights[own].unsqueeze(-1))
    return torch.cat(parts)


def _forward(experts: nn.Module, states: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """What transformers calls in the place of its own: tokens (t, hidden), experts and weights (t, k)."""
    taps = _tapped.get(experts)
    if taps is None:
        raise ModelError("the experts of a layer are computed as if they were tapped and are not; load the model again")
    module: Any = experts
    routed, order = _route(index, weights, module.num_experts)
    gathered = states[routed.tokens]
    z = torch.cat([activations(experts, taps.mixture, gathered[own], expert) for expert, own in routed.segments()])
    for edit in taps.edits:
        z = edit(z, routed)
    for read in taps.reads:
        read(z, routed)
    out = combined(experts, taps.mixture, z, routed)
    by_token = torch.empty_like(out)
    by_token[order] = out
    return by_token.view(*index.shape, -1).sum(dim=1).to(states.dtype)


def _route(index: Tensor, weights: Tensor, n_experts: int) -> tuple[Routed, Tensor]:
    flat = index.reshape(-1)
    order = flat.argsort(stable=True)
    experts = flat[order]
    tokens = order // index.shape[-1]
    return Routed(tokens, experts, weights.reshape(-1)[order], _bounds(experts, n_experts), len(index)), order


def _bounds(experts: Tensor, n_experts: int) -> tuple[int, ...]:
    edges = torch.arange(n_experts + 1, device=experts.device, dtype=experts.dtype)
    return tuple(torch.searchsorted(experts, edges).tolist())


ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, _forward)
