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

from hneurons.models.anatomy import Anatomy
from hneurons.models.fingerprint import ModelFingerprint, weights_digest
from hneurons.models.parts import LayerParts, bias_of, find_parts, n_heads, oriented_weight, text_config, weight_shape
from hneurons.models.quantized import kinds_in, quantized_as, settle, stored_parts
from hneurons.models.verify import Verification, verify


class LanguageModel:
    """A causal language model in evaluation mode, with the modules that its neurons live in; `hneurons.load` makes it.

    A neuron is `(layer, index)`: coordinate `index` of z, the input of that layer's down-projection. What the layer's
    neurons write together is h = W_down z (H-Neurons, arXiv 2512.01797, section 2). A bias of the down-projection is no
    neuron's: `down(l)` puts out h plus that bias, and ||h|| in a contribution is the norm without it.

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
        n_neurons: neurons per layer, the width of the FFN.
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
        self.quantization = kinds_in(hf)
        self._parts: tuple[LayerParts, ...] = find_parts(hf, anatomy)
        settle(name, hf, hf.get_submodule(anatomy.layers.rpartition(".")[0]))
        self.n_layers = len(self._parts)
        self.hidden_size, self.n_neurons = weight_shape(self._parts[0].down, anatomy)
        self.n_heads = n_heads(hf, anatomy)
        self.head_size = weight_shape(self._parts[0].attention_out, anatomy)[1] // self.n_heads
        self.rows: Int64[np.ndarray, " rows"] | None = None
        self.n_prompts = 0
        self.verification: Verification = verify(hf, anatomy, self._parts, device=self.device)

    def __repr__(self) -> str:
        return f"LanguageModel({self.name!r}, {self.n_layers} x {self.n_neurons} neurons, {self.dtype}, {self.device})"

    @property
    def neurons(self) -> int:
        """Number of neurons in the whole model."""
        return self.n_layers * self.n_neurons

    @property
    def residual(self) -> float:
        """Largest relative difference found when the anatomy was verified."""
        return self.verification.worst

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; of a quantized model the type of its other weights, which it computes in."""
        down: Any = self.down(0)
        dtype: torch.dtype = down.weight.dtype if quantized_as(down) is None else self.hf.dtype
        return dtype

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

    def parts(self, layer: int) -> LayerParts:
        """All modules that the row names, in decoder layer `layer` (counted from 0; negative indices are refused)."""
        if not 0 <= layer < self.n_layers:
            raise IndexError(f"layer {layer} of a model with layers 0 to {self.n_layers - 1}")
        return self._parts[layer]

    def block(self, layer: int) -> nn.Module:
        """The decoder layer; its output (a tensor, or the first of a tuple) is the residual stream after it."""
        return self.parts(layer).block

    def ffn(self, layer: int) -> nn.Module:
        """The FFN; the decoder layer itself where the architecture has no FFN module (`anatomy.ffn` is empty)."""
        return self.parts(layer).ffn

    def down(self, layer: int) -> nn.Module:
        """The down-projection: its input is z (batch, seq, neurons), its output h plus its bias (batch, seq, hidden).

        OPT flattens the batch before its FFN: there z is (batch * seq, neurons), and the output likewise.
        """
        return self.parts(layer).down

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
        """
        return oriented_weight(self.down(layer), self.anatomy)

    def down_bias(self, layer: int) -> Float[Tensor, " hidden"] | None:
        """Bias of the down-projection, or None; it is no neuron's."""
        return bias_of(self.down(layer))

    def column_norms(self) -> Float[Tensor, "layers neurons"]:
        """||W_down[:, j]||_2 of every neuron, float32, on `device`; computed once, so weights must not change after."""
        return self._column_norms

    @cached_property
    def _column_norms(self) -> Tensor:
        wide = torch.promote_types(self.dtype, torch.float32)  # float64 weights refuse to be narrowed on the way
        norms = [torch.linalg.vector_norm(self.down_weight(layer), dim=0, dtype=wide) for layer in range(self.n_layers)]
        return torch.stack([norm.to(self.device, torch.float32) for norm in norms])

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
            weights_digest=weights_digest(self.hf, [self._first_row(layer) for layer in range(self.n_layers)]),
        )

    def _first_row(self, layer: int) -> Tensor:
        """The first row of W_down, and of quantized weights its codes: as stored, whatever device dequantizes them."""
        down = self.down(layer)
        if quantized_as(down) is None:
            return self.down_weight(layer)[0]
        _, codes = next(stored_parts(down))
        return codes.reshape(-1)[: codes.numel() // self.hidden_size]

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
