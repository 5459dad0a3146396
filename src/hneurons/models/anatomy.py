"""Where the neurons of an architecture are: one frozen row, from which listing, capability and refusal derive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hneurons.models.mixture import Mixture

Exit = Literal["output", "output+residual", "layer"]


@dataclass(frozen=True)
class Anatomy:
    """One architecture. Paths are attribute paths: `layers` from the model, the others from one decoder layer.

    A neuron is one coordinate of z, the input of the down-projection (H-Neurons, arXiv 2512.01797, section 2):
    z = act(gate) * up in a gated FFN, z = act(up) in a plain one, and h = W_down z is what the neurons write together.
    The denominator of a contribution is ‖h‖: the down-projection's output without its bias, and *before* whatever
    follows it, be it a norm (`post_norm`), a residual multiplier or the residual stream.

    Attributes:
        model_type: `config.model_type`, matched exactly.
        title: the models that have it, for people.
        model_class: name of the Hugging Face class that must come out of loading.
        layers: the list of decoder layers.
        down: the down-projection; its input is z.
        up: the up-projection, or the packed projection.
        gate: the gate projection; None in a plain FFN, the same path as `up` where the two are packed.
        act: the activation function's module.
        attention_out: the attention's output projection; its input holds the heads side by side, in order.
        ffn: the FFN module, or "" where the layer has none and the projections belong to the layer itself.
        packed: order of the two halves of a packed projection's output.
        conv1d: projections are GPT-2's `Conv1D`, whose weight is transposed, (in, out).
        post_norm: the norm between the FFN and the residual stream, where there is one.
        exit: what leaves the FFN module: h with its bias ("output"), that plus the residual stream
            ("output+residual"), or nothing to look at, so that the layer's own output is checked ("layer").
        norm: with `exit="layer"`, the FFN's layer norm, by which the residual stream is found.
        tail: what the residual stream goes through between the last layer and the output embedding, from the model on,
            in order; one that a checkpoint leaves out (is None) is passed over.
        text_types: for a multimodal wrapper, the `text_config.model_type`s that its language part may have.
        mixture: how its layers with experts are built; the projections above are those of its dense layers then.
    """

    model_type: str
    title: str
    model_class: str
    layers: str = "model.layers"
    down: str = "mlp.down_proj"
    up: str = "mlp.up_proj"
    gate: str | None = "mlp.gate_proj"
    act: str = "mlp.act_fn"
    attention_out: str = "self_attn.o_proj"
    ffn: str = "mlp"
    packed: Literal["gate_up", "up_gate"] | None = None
    conv1d: bool = False
    post_norm: str | None = None
    exit: Exit = "output"
    norm: str | None = None
    tail: tuple[str, ...] = ("model.norm",)
    text_types: tuple[str, ...] = ()
    mixture: Mixture | None = None

    def __post_init__(self) -> None:
        if (self.packed is not None) != (self.gate is not None and self.gate == self.up):
            raise ValueError(f"{self.model_type}: gate and up are one path exactly where they are packed")
        if (self.exit == "layer") != (self.ffn == "") or (self.exit == "layer") != (self.norm is not None):
            raise ValueError(f'{self.model_type}: exit "layer", an empty ffn and a norm go together')

    @property
    def gated(self) -> bool:
        """Whether z = act(gate) * up; otherwise z = act(up)."""
        return self.gate is not None

    @property
    def wrapper(self) -> bool:
        """Whether the language model is part of a multimodal one."""
        return bool(self.text_types)

    @property
    def formula(self) -> str:
        """How z comes about, in the names of the row."""
        if self.mixture is not None:
            return self.mixture.formula
        if self.packed is not None:
            return "z = act(gate) * up"
        return f"z = act({self.gate}) * {self.up}" if self.gated else f"z = act({self.up})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is particular about the row, in short sentences."""
        found = []
        if self.wrapper:
            found.append("multimodal wrapper: only its language part is read")
        if self.packed is not None:
            found.append(f"{' and '.join(self.packed.split('_'))} packed in {self.up}")
        if self.conv1d:
            found.append("transposed weights (Conv1D)")
        if self.post_norm is not None:
            found.append(f"‖h‖ is taken before {self.post_norm}")
        if self.exit == "output+residual":
            found.append("the FFN module adds the residual stream, without which ‖h‖ is taken")
        if self.exit == "layer":
            found.append("no FFN module: the projections belong to the layer")
        if self.mixture is not None:
            found.extend(self.mixture.notes)
        return tuple(found)

    @property
    def where(self) -> str:
        """What the neurons are the input of."""
        if self.mixture is None:
            return f"{self.layers}[l].{self.down}"
        shared = "" if self.mixture.shared is None else f" and of {self.mixture.shared}.down_proj"
        return f"each expert's down_proj in {self.layers}[l].{self.mixture.experts}{shared}"

    def describe(self) -> str:
        """The row in one line."""
        line = f"{self.title} ({self.model_type}): neurons are the input of {self.where}; {self.formula}"
        return "; ".join((line, *self.notes))
