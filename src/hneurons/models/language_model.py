"""A loaded language model, and where its neurons are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.fingerprint import ModelFingerprint, weights_digest
from hneurons.models.mixture import Expert, ExpertLayout
from hneurons.models.parts import (
    LayerParts,
    MixtureParts,
    Parts,
    bias_of,
    column_norms_of,
    dtype_of,
    expert_layout,
    find_parts,
    first_row_of,
    n_heads,
    oriented_weight,
    text_config,
    weight_shape,
    width_of,
)
from hneurons.models.quantized import kinds_in, settle
from hneurons.models.spreading import mend_columns
from hneurons.models.verify import Verification, verify


class LanguageModel:
    """A causal language model in evaluation mode, with the modules that its neurons live in; `hneurons.load` makes it.

    A neuron is `(layer, index)`: coordinate `index` of z, the input of that layer's down-projection. What the layer's
    neurons write together is h = W_down z (H-Neurons, arXiv 2512.01797, section 2). A bias of the down-projection is no
    neuron's: `down(l)` puts out h plus that bias, and ||h|| in a contribution is the norm without it.

    Where layers have experts (`layout` is not None) the neurons of all experts of a layer are counted in a row, and h
    is what the whole FFN puts out, less its biases; see `hneurons.models.mixture`. Such a layer has no `down`.

    Forward hooks on these modules must read at once or clone: some models go on to write into the same tensor
    (Falcon adds its attention output in place to what its down-projection returned).

    Attributes:
        name: path or name as it was asked for.
        revision: commit on the hub; None for a local directory.
        hf: the model itself, without gradients.
        tokenizer: its tokenizer.
        anatomy: the row that says where things are.
        verification: what was measured when that row was checked.
        n_layers: number of decoder layers.
        n_neurons: neurons per layer, the width of the FFN; where layers differ, of the widest (see `neurons_in`).
        layout: how the neurons of a mixture of experts are counted; None of a dense model.
        hidden_size: width of the residual stream.
        n_heads: attention heads of a layer.
        quantization: kind of its quantized weights (`hneurons.models.quantized`); None where there are none.
        head_size: width of a head's output; the attention's output projection reads `n_heads * head_size` numbers.
        rows: for each row of the running forward pass, the number of the prompt it belongs to, where that was
            announced with `rows_are`; None where row i simply is prompt i.
        n_prompts: number of prompts of the batch whose rows were announced; 0 where none were.
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        anatomy: Anatomy,
        *,
        name: str,
        revision: str | None = None,
    ) -> None:
        """Take `hf` over: evaluation mode, no gradients; find its parts and check them on a short forward pass.

        Raises:
            AnatomyMismatchError: the neurons are not where `anatomy` says.
        """
        self.hf: Any = hf
        hf.train(False).requires_grad_(False)
        self.tokenizer: Any = tokenizer
        self.anatomy = anatomy
        self.name = name
        self.revision = revision
        mend_columns(hf)
        self.quantization = kinds_in(hf)
        self._parts: tuple[Parts, ...] = find_parts(hf, anatomy)
        settle(name, hf, hf.get_submodule(anatomy.layers.rpartition(".")[0]))
        self.n_layers = len(self._parts)
        self.layout: ExpertLayout | None = expert_layout(hf, anatomy, self._parts)
        self.hidden_size = weight_shape(self._parts[0].attention_out, anatomy)[0]
        self.n_neurons = width_of(self._parts, self.layout, anatomy)
        self.n_heads = n_heads(hf, anatomy)
        self.head_size = weight_shape(self._parts[0].attention_out, anatomy)[1] // self.n_heads
        if self.layout is not None and self.quantization is not None:
            raise UnsupportedModelError(
                f"{name} is a mixture of experts with quantized weights ({self.quantization}), which nobody has "
                "verified yet; load it without quantizing it"
            )
        if self.layout is not None and self.dtype == torch.float64:
            self.hf.set_experts_implementation("eager")  # torch multiplies groups of experts in narrower types only
        self.rows: Int64[np.ndarray, " rows"] | None = None
        self.n_prompts = 0
        self.verification: Verification = verify(hf, anatomy, self._parts, device=self.device)

    def __repr__(self) -> str:
        return f"LanguageModel({self.name!r}, {self.n_layers} x {self.n_neurons} neurons, {self.dtype}, {self.device})"

    @property
    def neurons(self) -> int:
        """Number of neurons in the whole model."""
        return self.n_layers * self.n_neurons if self.layout is None else self.layout.neurons

    @property
    def residual(self) -> float:
        """Largest relative difference found when the anatomy was verified."""
        return self.verification.worst

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; of a quantized model the type of its other weights, which it computes in."""
        return dtype_of(self._parts[0]) or self.hf.dtype

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the token embedding."""
        embedding = self.hf.get_input_embeddings()
        if embedding.weight.is_meta and hasattr(embedding, "_hf_hook"):  # offloaded: comes to this device when needed
            return torch.device(embedding._hf_hook.execution_device)
        device: torch.device = embedding.weight.device
        return device

    @property
    def config(self) -> Any:
        """The configuration of the language part."""
        return text_config(self.hf.config, self.anatomy)

    @contextmanager
    def rows_are(self, owners: Int64[np.ndarray, " rows"], n_prompts: int) -> Iterator[None]:
        """Say to which of `n_prompts` prompts each row of the forward passes in the block belongs.

        Whoever drops, repeats or reorders the rows of a batch says so here, so that interventions find their prompt.
        """
        before = self.rows, self.n_prompts
        self.rows, self.n_prompts = owners, n_prompts
        try:
            yield
        finally:
            self.rows, self.n_prompts = before

    def neurons_in(self, layer: int) -> int:
        """Neurons of one layer; `n_neurons` but for narrower layers of a mixture of experts."""
        return self.n_neurons if self.layout is None else self.layout.neurons_in(layer)

    def expert_of(self, layer: int, index: int) -> tuple[Expert | None, int]:
        """Expert of neuron (layer, index), a number or "shared", and its number there; None in a dense layer.

        Raises:
            ModelError: the model has no such neuron.
        """
        try:
            if self.layout is not None:
                return self.layout.expert_of(layer, index)
            if 0 <= layer < self.n_layers and 0 <= index < self.n_neurons:
                return None, index
        except IndexError:
            pass
        raise ModelError(f"{self.name} has no neuron ({layer}, {index})")

    def index_of(self, layer: int, expert: Expert | None, index: int) -> int:
        """The number in its layer of neuron `index` of an expert: the inverse of `expert_of`.

        Raises:
            ModelError: the layer has no such expert, or the expert no such neuron.
        """
        try:
            if self.layout is not None:
                return self.layout.index_of(layer, expert, index)
            if expert is None and 0 <= layer < self.n_layers and 0 <= index < self.n_neurons:
                return index
        except IndexError:
            pass
        raise ModelError(f"{self.name} has no neuron {index} of expert {expert} in layer {layer}")

    def parts(self, layer: int) -> Parts:
        """All modules that the row names, in decoder layer `layer` (counted from 0; negative indices are refused)."""
        if not 0 <= layer < self.n_layers:
            raise IndexError(f"layer {layer} of a model with layers 0 to {self.n_layers - 1}")
        return self._parts[layer]

    def mixture(self, layer: int) -> MixtureParts | None:
        """The parts of a layer with experts; None of a dense layer."""
        parts = self.parts(layer)
        return parts if isinstance(parts, MixtureParts) else None

    def block(self, layer: int) -> nn.Module:
        """The decoder layer; its output (a tensor, or the first of a tuple) is the residual stream after it."""
        return self.parts(layer).block

    def ffn(self, layer: int) -> nn.Module:
        """The FFN; the decoder layer itself where the architecture has no FFN module (`anatomy.ffn` is empty)."""
        return self.parts(layer).ffn

    def down(self, layer: int) -> nn.Module:
        """The down-projection: its input is z (batch, seq, neurons), its output h plus its bias (batch, seq, hidden).

        OPT flattens the batch before its FFN: there z is (batch * seq, neurons), and the output likewise.

        Raises:
            UnsupportedModelError: the layer has experts, each with a down-projection of its own.
        """
        return self._dense(layer).down

    def attention_out(self, layer: int) -> nn.Module:
        """The attention's output projection: its input holds what the heads put out, (batch, seq, heads * head_size).

        Head i is `[i * head_size : (i + 1) * head_size]` of it. Heads are those of the queries, also where several
        share their keys and values.
        """
        return self.parts(layer).attention_out

    def down_weight(self, layer: int) -> Float[Tensor, "hidden neurons"]:
        """W_down, oriented so that h = z @ W_down.T whatever the module; the model's own memory, not a copy.

        Weights that are offloaded come as a copy on the device where they are used; quantized ones dequantized, in
        float32, anew at every call.

        Raises:
            UnsupportedModelError: the layer has experts.
        """
        return oriented_weight(self.down(layer), self.anatomy)

    def down_bias(self, layer: int) -> Float[Tensor, " hidden"] | None:
        """Bias of the down-projection, or None; it is no neuron's.

        Raises:
            UnsupportedModelError: the layer has experts.
        """
        return bias_of(self.down(layer))

    def _dense(self, layer: int) -> LayerParts:
        parts = self.parts(layer)
        if isinstance(parts, MixtureParts):
            raise UnsupportedModelError(
                f"layer {layer} of {self.name} is a mixture of experts: it has no one down-projection that every token "
                "passes, which this needs; contributions, scaling and ablation to zero work, and so does whatever "
                "reads FFN outputs, heads or the residual stream"
            )
        return parts

    def column_norms(self) -> Float[Tensor, "layers neurons"]:
        """||W_down[:, j]||_2 of every neuron, float32, on `device`; computed once, so weights must not change after.

        0 where a narrower layer has no neuron.
        """
        return self._column_norms

    @cached_property
    def _column_norms(self) -> Tensor:
        norms = torch.zeros(self.n_layers, self.n_neurons, device=self.device)
        for layer, parts in enumerate(self._parts):
            own = column_norms_of(parts, self.anatomy)
            norms[layer, : len(own)] = own.to(self.device, torch.float32)
        return norms

    @cached_property
    def fingerprint(self) -> ModelFingerprint:
        """What identifies the model, weights included; equal on every device."""
        return ModelFingerprint(
            name=self.name,
            revision=self.revision,
            model_type=self.anatomy.model_type,
            n_layers=self.n_layers,
            n_neurons=self.n_neurons,
            hidden_size=self.hidden_size,
            quantization=self.quantization,
            weights_digest=weights_digest(self.hf, [first_row_of(parts, self.anatomy) for parts in self._parts]),
            experts=self.layout,
        )

    @cached_property
    def eos_ids(self) -> frozenset[int]:
        """Every token id that ends a turn: those that `generate` stops at, and the tokenizer's end of text."""
        stated = self.hf.generation_config.eos_token_id if self.hf.generation_config is not None else None
        if stated is None:
            stated = getattr(self.config, "eos_token_id", None)
        listed = [stated] if isinstance(stated, int) else list(stated or [])
        return frozenset(i for i in (*listed, self.tokenizer.eos_token_id) if i is not None)

    @cached_property
    def pad_id(self) -> int:
        """Token id to pad with: the tokenizer's, else the configuration's, else an end of turn, else 0.

        Padding is masked wherever it is used, so that any id of the embedding does.
        """
        rows = self.hf.get_input_embeddings().num_embeddings
        wished = (self.tokenizer.pad_token_id, getattr(self.config, "pad_token_id", None), *sorted(self.eos_ids), 0)
        found: int = next(i for i in wished if i is not None and 0 <= i < rows)
        return found
