"""Mixture-of-experts layers: how an architecture builds them, how many neurons they have, and their flat order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64
from pydantic import BaseModel, ConfigDict, model_validator

Order = Literal["gate_up", "up_gate", "interleaved"]
Expert = int | Literal["shared"]


@dataclass(frozen=True)
class Mixture:
    """The companion of an architecture's row where its layers have experts. Paths are from one decoder layer.

    transformers keeps the routed experts of a layer in one module with two fused parameters, `gate_up_proj` and
    `down_proj`, one slice an expert, and calls it with tokens, the experts that each goes to, and their weights. A
    neuron of expert e is one coordinate of z^e, what W_down^e multiplies; with r_{t,e} the routing weight as the model
    applies it (after its own top-k, normalisation and scaling factor), and s_t the shared expert's own gate,

        h_t = sum_e r_{t,e} W_down^e z^e_t + s_t W_down^s z^s_t

    is what all neurons of the layer write together. A layer without the module `experts` is a dense one, and the
    projections of the row are its own.

    Attributes:
        experts: the module of the fused parameters.
        router: the module that chooses experts; only described.
        order: how gate and up lie along the fused output: one half after the other, or in turn, gate first.
        transposed: slices are (in, out).
        biases: the fused projections have biases. r_{t,e} times the bias of W_down^e is no neuron's.
        clamped: z = (up + 1) * gate * sigmoid(alpha * gate), gate and up clamped first; otherwise z = act(gate) * up.
            alpha and the limit are the module's `alpha` and `limit`.
        shared: the shared expert's module, which every token passes; its projections have the names of a dense FFN's.
        shared_gate: the projection to the logit of its own gate, s_t = sigmoid; s_t = 1 where there is none.
        per_token: the configuration's name for how many experts a token goes to.
        stored: the names of gate, up and down in files that hold each expert by itself, as published ones mostly do;
            None where all hold the fused parameters.
    """

    experts: str = "mlp.experts"
    router: str = "mlp.gate"
    order: Order = "gate_up"
    transposed: bool = False
    biases: bool = False
    clamped: bool = False
    shared: str | None = None
    shared_gate: str | None = None
    per_token: str = "num_experts_per_tok"
    stored: tuple[str, str, str] | None = ("gate_proj", "up_proj", "down_proj")

    @property
    def formula(self) -> str:
        """How z of one expert comes about."""
        return "z = (up + 1) * gate * sigmoid(alpha * gate), clamped" if self.clamped else "z = act(gate) * up"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a contribution is in such a layer, in short sentences."""
        shared = ""
        if self.shared is not None:
            gate = f" times sigmoid of {self.shared_gate}" if self.shared_gate is not None else ""
            shared = f"; the shared expert, {self.shared}{gate}, is part of it"
        return (
            f"mixture of experts: {self.router} chooses; the routing weight, as the model applies it, is part of a "
            "contribution, and a neuron of an expert that a token is not routed to contributes 0",
            f"‖h‖ is that of the whole FFN, all experts of the token together{shared}",
        )


class ExpertLayout(BaseModel):
    """How many neurons each layer of a mixture of experts has, and in which order they are counted.

    In a layer with experts neuron j of routed expert e is number `e * width + j`, and neuron j of the shared expert
    number `n_experts * width + j`. A dense layer counts its own from 0. A model's layers differ in width then: those
    that count to less than the widest have no neuron at the numbers above, and those numbers contribute exactly 0.

    Attributes:
        n_layers: decoder layers.
        n_experts: routed experts of a layer.
        per_token: experts that a token goes to.
        width: neurons of a routed expert.
        shared: neurons of the shared expert; 0 where there is none.
        dense: layers without experts, ascending.
        dense_width: neurons of such a layer; 0 where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_layers: int
    n_experts: int
    per_token: int
    width: int
    shared: int = 0
    dense: tuple[int, ...] = ()
    dense_width: int = 0

    @model_validator(mode="after")
    def _one_layer_with_experts(self) -> ExpertLayout:
        if not 0 < self.per_token <= self.n_experts or len(self.dense) >= self.n_layers:
            raise ValueError("a mixture of experts has a layer with experts, and routes a token to some of them")
        return self

    @property
    def mixed_width(self) -> int:
        """Neurons of a layer with experts."""
        return self.n_experts * self.width + self.shared

    @property
    def widest(self) -> int:
        """Neurons of the widest layer."""
        return max(self.mixed_width, self.dense_width if self.dense else 0)

    @property
    def neurons(self) -> int:
        """Neurons of the whole model."""
        return (self.n_layers - len(self.dense)) * self.mixed_width + len(self.dense) * self.dense_width

    @property
    def active(self) -> int:
        """Neurons of the whole model that one token passes through."""
        routed = self.per_token * self.width + self.shared
        return (self.n_layers - len(self.dense)) * routed + len(self.dense) * self.dense_width

    @property
    def phrase(self) -> str:
        """How many neurons its layers have, such as "58 layers of 256 experts of 2,048, 3 dense of 18,432"."""
        shared = f" and a shared one of {self.shared:,}" if self.shared else ""
        mixed = f"{self.n_layers - len(self.dense)} layers of {self.n_experts:,} experts of {self.width:,}{shared}"
        return f"{mixed}, {len(self.dense)} dense of {self.dense_width:,}" if self.dense else mixed

    @property
    def absent(self) -> Int64[np.ndarray, " absent"]:
        """Flat numbers, layer * widest + index, at which a narrower layer has no neuron; ascending."""
        widest = self.widest
        ends = ((layer * widest + self.neurons_in(layer), (layer + 1) * widest) for layer in range(self.n_layers))
        return np.concatenate([np.arange(first, last) for first, last in ends])

    def neurons_in(self, layer: int) -> int:
        """Neurons of one layer."""
        return self.dense_width if layer in self.dense else self.mixed_width

    def expert_of(self, layer: int, index: int) -> tuple[Expert | None, int]:
        """Expert and number within it of neuron `index` of `layer`; the expert is None in a dense layer.

        Raises:
            IndexError: the layer has no such neuron.
        """
        if not (0 <= layer < self.n_layers and 0 <= index < self.neurons_in(layer)):
            raise IndexError(f"there is no neuron ({layer}, {index})")
        if layer in self.dense:
            return None, index
        routed = self.n_experts * self.width
        return ("shared", index - routed) if index >= routed else (index // self.width, index % self.width)

    def index_of(self, layer: int, expert: Expert | None, index: int) -> int:
        """The number within its layer of neuron `index` of an expert: the inverse of `expert_of`.

        Raises:
            IndexError: the layer has no such expert, or the expert no such neuron.
        """
        first, count = 0, self.dense_width
        if expert == "shared":
            first, count = self.n_experts * self.width, self.shared
        elif expert is not None:
            first, count = expert * self.width, self.width if 0 <= expert < self.n_experts else 0
        if (expert is None) != (layer in self.dense) or not 0 <= layer < self.n_layers or not 0 <= index < count:
            raise IndexError(f"there is no neuron {index} of expert {expert} in layer {layer}")
        return first + index

    def name_of(self, layer: int, index: int) -> str:
        """What a table says beside a neuron's numbers, such as "expert 3, 17"; empty in a dense layer."""
        expert, own = self.expert_of(layer, index)
        return "" if expert is None else f"shared expert, {own}" if expert == "shared" else f"expert {expert}, {own}"
