"""`hneurons models check`: what a model is, where its neurons are, whether that holds, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from hneurons.errors import ModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.load import auto_class, load, stated_dtype
from hneurons.models.mixture import ExpertLayout
from hneurons.models.parts import MixtureParts, Parts, expert_layout, find_parts, weight_shape, width_of
from hneurons.models.quantized import Quantize, Stated
from hneurons.models.quantizing import parse_quantize, quantized_size
from hneurons.models.refusals import find_row, stated_quantization
from hneurons.models.source import check_weight_files, find_source, read_config
from hneurons.models.verify import Verification

_PROBE_TOKENS = 2
_CONTRIBUTION_BYTES = 4  # stored as float32


class MemoryEstimate(BaseModel):
    """What a model takes, in bytes. Working memory of the forward pass comes on top.

    `weights`: all parameters, vision part included, each shared one once, quantized ones with their scales.
    `cache_per_token`: keys and values of one token of one sequence; layers with a sliding window stop growing at their
    window. `contributions_per_response`: the two vectors that are kept of one response, in float32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: int
    cache_per_token: int
    contributions_per_response: int


class ModelReport(BaseModel):
    """What `inspect_model` finds.

    `verification` is None where only the configuration was read: shapes are checked then, numbers are not.
    `quantization` is the kind of quantized weights, if there are any, and `bits` what one of them takes, its share of
    the scales included; `dtype` is the type of all others. `experts` says how the neurons of a mixture of experts are
    counted, and `n_neurons` is that of its widest layer. `active_parameters` are all but those of experts that a token
    is not routed to; embeddings are counted whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str | None
    model_type: str
    title: str
    model_class: str
    n_layers: int
    n_neurons: int
    hidden_size: int
    where: str
    formula: str
    notes: tuple[str, ...]
    parameters: int
    dtype: str
    quantization: str | None
    bits: float | None
    memory: MemoryEstimate
    verification: Verification | None
    experts: ExpertLayout | None = None
    active_parameters: int | None = None

    @property
    def neurons(self) -> int:
        """Number of neurons in the whole model."""
        return self.n_layers * self.n_neurons if self.experts is None else self.experts.neurons

    @property
    def layer_widths(self) -> str:
        """How many neurons a layer has, as a phrase."""
        layout = self.experts
        if layout is None:
            return f"{self.n_neurons:,} a layer, {self.neurons:,} in all"
        at_a_token = f"{layout.active:,} of them at a token ({layout.per_token} experts)"
        return f"{layout.phrase}; {self.neurons:,} in all, {at_a_token}"

    @property
    def verified(self) -> str:
        """What is known about the anatomy, as a sentence."""
        if self.verification is None:
            return "shapes fit; not verified, since the weights were not read"
        return (
            f"verified on a forward pass: relative residual {self.verification.worst:.1e}, "
            f"tolerance {self.verification.tolerance:.0e}"
        )


def inspect_model(
    path_or_id: str | PathLike[str],
    *,
    weights: bool | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    quantize: Quantize | str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> ModelReport:
    """Describe a model; `path_or_id` may also be a config.json, or a directory that holds nothing else.

    Args:
        path_or_id: as for `hneurons.load`.
        weights: load the weights and verify the anatomy on a forward pass. Where left out, that is done for a local
            directory that has them, and a hub model is judged by its configuration, so that nothing large is fetched.
        dtype: type that memory is estimated for, and that weights are loaded in.
        device: where weights are loaded to; the first accelerator, or else the CPU, where left out.
        quantize: kind of weights that the model's are turned into, as for `hneurons.load`.
        revision: branch, tag or commit on the hub.
        trust_remote_code: let a repository run Python code of its own.

    Raises:
        ModelError: as for `hneurons.load`.
    """
    path = Path(path_or_id).expanduser()
    if path.name == "config.json" and path.is_file():
        path_or_id, weights = path.parent, False
    source = find_source(path_or_id, revision)
    config = read_config(source, trust_remote_code=trust_remote_code)
    anatomy = find_row(source.name, config)
    asked = parse_quantize(quantize)
    stated = stated_quantization(source.name, config) if asked is None else Stated(asked)
    if weights is None:
        weights = source.local and any(Path(source.location).glob("*.safetensors*"))
    hf = without_memory(config, anatomy, trust_remote_code)
    parts = find_parts(hf, anatomy)
    layout = expert_layout(hf, anatomy, parts)
    neurons = width_of(parts, layout, anatomy)
    verification = None
    if weights:
        check_weight_files(source)
        model = load(
            path_or_id,
            dtype=dtype,
            device=device,
            quantize=asked,
            revision=source.revision,
            trust_remote_code=trust_remote_code,
        )
        verification, dtype = model.verification, model.dtype
    kind = stated_dtype(dtype, config, anatomy)
    parameters = sum(parameter.numel() for parameter in hf.parameters())
    size = None if stated is None else quantized_size(hf, stated, kind.itemsize)
    stored = parameters * kind.itemsize if size is None else (parameters - size.weights) * kind.itemsize + size.stored
    return ModelReport(
        name=source.name,
        revision=source.revision,
        model_type=anatomy.model_type,
        title=anatomy.title,
        model_class=anatomy.model_class,
        n_layers=len(parts),
        n_neurons=neurons,
        hidden_size=weight_shape(parts[0].attention_out, anatomy)[0],
        where=f"input of {anatomy.where}",
        formula=anatomy.formula,
        notes=anatomy.notes,
        parameters=parameters,
        dtype=str(kind).removeprefix("torch."),
        quantization=None if stated is None else stated.kind,
        bits=None if size is None else size.bits,
        memory=MemoryEstimate(
            weights=stored,
            cache_per_token=_cache_per_token(hf) * kind.itemsize,
            contributions_per_response=2 * len(parts) * neurons * _CONTRIBUTION_BYTES,
        ),
        verification=verification,
        experts=layout,
        active_parameters=None if layout is None else parameters - _idle(parts, layout),
    )


def _idle(parts: Sequence[Parts], layout: ExpertLayout) -> int:
    """Parameters of the experts that a token is not routed to."""
    fused = sum(
        parameter.numel() for each in parts if isinstance(each, MixtureParts) for parameter in each.experts.parameters()
    )
    return fused // layout.n_experts * (layout.n_experts - layout.per_token)


def without_memory(config: Any, anatomy: Anatomy, trust_remote_code: bool) -> Any:
    """The model on the meta device: modules and shapes, no numbers."""
    try:
        with torch.device("meta"):
            hf: nn.Module = auto_class(anatomy).from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, TypeError, RuntimeError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(f"no model can be made from this config.json: {error}") from error
    return hf.eval()


def _cache_per_token(hf: Any) -> int:
    """Numbers that one token leaves in the key/value cache, read off a forward pass without numbers."""
    for config in (hf.config, hf.config.get_text_config()):
        config.pad_token_id = None  # transformers would look for it among the ids, which are not there
    if hf._can_set_experts_implementation():
        hf.set_experts_implementation("batched_mm")  # the others count tokens, which needs numbers
    with torch.no_grad():
        ids = torch.zeros(1, _PROBE_TOKENS, dtype=torch.long, device="meta")
        cache = hf(input_ids=ids, use_cache=True).past_key_values
    return int(sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)) // _PROBE_TOKENS
