"""What the neurons of a layer with experts did at the tokens that are read: z, routing weights, and ||h||.

With routing weights r_{t,e} as the model applies them, and the shared expert's own gate s_t (1 where there is none),

    h_t = sum_e r_{t,e} W_down^e z^e_t + s_t W_down^s z^s_t           all experts of the token together, less biases
    CETT_{(e,j),t} = r_{t,e} |z^e_{j,t}| ||W_down^e[:, j]|| / ||h_t||  and s_t |z^s_{j,t}| ||W_down^s[:, j]|| / ||h_t||

and 0 for the neurons of an expert that the token is not routed to. Nothing is laid out over all experts: z is kept for
the pairs (token, expert) that there are, until the FFN of the layer has put out h.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import align_module_device
from jaxtyping import Float, Int64
from torch import Tensor, nn

from hneurons.errors import ModelError
from hneurons.models.experts import Routed, Tap, down_biases
from hneurons.models.language_model import LanguageModel
from hneurons.models.parts import MixtureParts, bias_of


@dataclass(frozen=True, eq=False)
class MixtureStates:
    """What was read of one layer in one forward pass, at `places` (tokens that are read, counted anew).

    Attributes:
        routed: pairs (place, expert) with their routing weights.
        z: of each pair, as it enters the down-projection, in the type of the model.
        shared: s_t z of the shared expert's neurons, in float32 (float64 of float64); None where there is none.
        norms: ||h||, likewise.
    """

    routed: Routed
    z: Float[Tensor, "pairs width"]
    shared: Float[Tensor, "places shared"] | None
    norms: Float[Tensor, " places"]


def read_mixture(
    model: LanguageModel,
    layer: int,
    take: Callable[[MixtureStates], None],
    places: Callable[[torch.device, int], Int64[Tensor, " tokens"]],
    hooks: ExitStack,
) -> None:
    """Call `take` once the FFN of a layer with experts has run, in every forward pass until `hooks` is closed.

    Args:
        places: of a device and the tokens of the batch, padding included: the place of each token among those that are
            read, -1 where it is not read; places are 0 to the largest.

    Raises:
        ModelError: later, in the pass: the layer runs its experts twice, or not all of its parts.
    """
    parts = model.mixture(layer)
    assert parts is not None
    reader = _Reader(model, layer, parts, take, places)
    hooks.callback(Tap(parts.experts, reader.mixture, read=reader.at_experts).remove)
    handles = [
        parts.experts.register_forward_hook(reader.after_experts),
        parts.ffn.register_forward_hook(reader.after_ffn),
    ]
    if parts.shared is not None:
        handles.append(parts.shared.down.register_forward_hook(reader.after_shared))
    if parts.shared_gate is not None:
        handles.append(parts.shared_gate.register_forward_hook(reader.after_shared_gate))
    for handle in handles:
        hooks.callback(handle.remove)


class _Reader:
    """The hooks of one layer; what they keep is let go once the FFN has run."""

    def __init__(
        self,
        model: LanguageModel,
        layer: int,
        parts: MixtureParts,
        take: Callable[[MixtureStates], None],
        places: Callable[[torch.device, int], Tensor],
    ) -> None:
        assert model.anatomy.mixture is not None
        self.mixture = model.anatomy.mixture
        self.where = f"layer {layer} of {model.name}"
        self.parts = parts
        self.take = take
        self.places = places
        self.pairs: tuple[Routed, Tensor] | None = None
        self.biases: Tensor | None = None
        self.shared: Tensor | None = None
        self.gate: Tensor | None = None

    def at_experts(self, z: Tensor, routed: Routed) -> None:
        if self.pairs is not None:
            raise ModelError(f"{self.where} runs its experts twice; contributions cannot be recorded")
        own, kept = routed.only(self.places(z.device, routed.n_tokens))
        self.pairs = own, z.detach() if len(kept) == len(z) else z.detach().index_select(0, kept)

    def after_experts(self, module: nn.Module, _arguments: Any, _output: Any) -> None:
        with align_module_device(module):
            biases = down_biases(module, self.mixture)
            if biases is None or self.pairs is None:
                return
            routed = self.pairs[0]
            wide = torch.promote_types(biases.dtype, torch.float32)
            weights = torch.zeros(routed.n_tokens, len(biases), dtype=wide, device=biases.device)
            weights[routed.tokens, routed.experts] = routed.weights.to(wide)
            self.biases = weights @ biases.to(wide)

    def after_shared(self, _module: nn.Module, arguments: tuple[Any, ...], _output: Any) -> None:
        self.shared = self._gather(arguments[0])

    def after_shared_gate(self, _module: nn.Module, _arguments: Any, output: Tensor) -> None:
        self.gate = self._gather(output.sigmoid())

    def after_ffn(self, _module: nn.Module, _arguments: Any, output: Any) -> None:
        shared, gate = self.shared, self.gate
        missing = (
            self.parts.shared is not None and shared is None,
            self.parts.shared_gate is not None and gate is None,
        )
        if self.pairs is None or any(missing):
            raise ModelError(f"{self.where} does not run all of its experts' parts; contributions cannot be recorded")
        h = self._gather(output[0] if isinstance(output, tuple) else output)
        if self.biases is not None:
            h = h - self.biases.to(h)
        if self.parts.shared is not None:
            bias = bias_of(self.parts.shared.down)
            if bias is not None:
                own = bias.to(h)
                h = h - (own if gate is None else gate * own)
            if shared is not None and gate is not None:
                shared = gate.abs() * shared
        routed, z = self.pairs
        states = MixtureStates(routed, z, shared, torch.linalg.vector_norm(h, dim=-1))
        self.pairs = self.biases = self.shared = self.gate = None
        self.take(states)

    def _gather(self, states: Tensor) -> Float[Tensor, "places width"]:
        """A float32 copy (float64 of float64) of the tokens that are read, place after place."""
        flat = states.detach().reshape(-1, states.shape[-1])
        places = self.places(flat.device, len(flat))
        kept = (places >= 0).nonzero().squeeze(-1)
        tokens = torch.empty_like(kept)
        tokens[places[kept]] = kept
        return flat.index_select(0, tokens).to(torch.promote_types(flat.dtype, torch.float32))
