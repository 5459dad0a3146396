"""Weights in 8 or 4 bits: which kinds are read, and the numbers that a quantized projection computes with.

A quantized weight is integer codes and a scale for each row or block of them. What a module stands for is its
dequantized weight, (out, in) whatever was stored: contributions take their column norms from it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from hneurons.errors import ModelError, UnsupportedModelError

Quantize = Literal["int8", "nf4", "fp4", "int8-weight-only"]
"""Kinds of quantized weights.

"int8": LLM.int8() of bitsandbytes (arXiv 2208.07339), which rounds what enters a projection to 8 bits too. "nf4" and
"fp4": 4 bits of bitsandbytes (arXiv 2305.14314), in blocks. "int8-weight-only": torchao's.
"""

KINDS: tuple[Quantize, ...] = get_args(Quantize)

_BITSANDBYTES = {"Linear8bitLt": "int8", "Linear4bit": None}
_AO_CONFIG, _AO_TENSOR = "Int8WeightOnlyConfig", "Int8Tensor"


@dataclass(frozen=True)
class Stated:
    """What a configuration says of quantized weights.

    Attributes:
        kind: of them.
        nested: the scales of 4-bit blocks are quantized in their turn.
        skipped: modules that are left as they are; None means those that transformers leaves by itself.
    """

    kind: Quantize
    nested: bool = False
    skipped: tuple[str, ...] | None = None


def read_stated(name: str, settings: Mapping[str, Any]) -> Stated:
    """The kind of quantization that a `quantization_config` states, as a dictionary.

    Raises:
        UnsupportedModelError: nobody has verified what the kernels of that kind compute.
    """
    method = str(getattr(settings.get("quant_method"), "value", settings.get("quant_method")))
    if method.startswith("bitsandbytes") or settings.get("load_in_8bit") or settings.get("load_in_4bit"):
        skipped = settings.get("llm_int8_skip_modules")
        left = None if skipped is None else tuple(skipped)
        if settings.get("load_in_8bit") and not settings.get("llm_int8_has_fp16_weight"):
            return Stated("int8", skipped=left)
        type_4bit = settings.get("bnb_4bit_quant_type", "fp4")
        if settings.get("load_in_4bit") and type_4bit in ("nf4", "fp4"):
            return Stated(type_4bit, nested=bool(settings.get("bnb_4bit_use_double_quant")), skipped=left)
    if method == "torchao":
        kind = settings.get("quant_type")
        named = kind.get("default", {}).get("_type") if isinstance(kind, Mapping) else type(kind).__name__
        if named == _AO_CONFIG and not settings.get("include_input_output_embeddings"):
            skipped = settings.get("modules_to_not_convert")
            return Stated("int8-weight-only", skipped=None if skipped is None else tuple(skipped))
        method = f"torchao {named}"
    raise UnsupportedModelError(
        f"{name} has weights quantized by {method}, where nobody has verified yet what its kernels compute; load the "
        f"original weights, quantized on the way if need be (quantize={' or '.join(map(repr, KINDS))})"
    )


def quantized_as(module: nn.Module) -> str | None:
    """The kind of a projection's weight; None where it is an ordinary one."""
    if type(module).__module__.startswith("bitsandbytes.") and type(module).__name__ in _BITSANDBYTES:
        weight: Any = module.weight
        return _BITSANDBYTES[type(module).__name__] or str(weight.quant_type)
    own: Any = getattr(module, "weight", None)
    if type(own).__module__.startswith("torchao."):
        weight_only = type(own).__name__ == _AO_TENSOR and own.act_quant_kwargs is None and own.act_pre_scale is None
        return "int8-weight-only" if weight_only else f"torchao {type(own).__name__}"
    return None


def named(module: nn.Module) -> str:
    """The kind of a quantized projection, with what else decides its product: in LLM.int8() the threshold."""
    kind = quantized_as(module)
    return f"int8 from {cast(Any, module).state.threshold:g}" if kind == "int8" else str(kind)


def kinds_in(model: nn.Module) -> str | None:
    """The kinds of all quantized projections of a model, joined by "+"; None where there are none."""
    found = {kind for module in model.modules() if (kind := quantized_as(module)) is not None}
    return "+".join(sorted(found)) or None


def dequantized(module: nn.Module) -> Float[Tensor, "out in"]:
    """The weight that a quantized projection stands for, computed anew: memory for one weight in float32.

    In 4 bits it is rounded to the type that the projection computes in, as the kernel does before it multiplies.

    Raises:
        ModelError: the codes are not where they should be.
    """
    kind, owner = quantized_as(module), cast(Any, module)
    if kind == "int8":
        codes, scales = _int8(owner)
        return codes.float() * (scales.float() / 127).unsqueeze(1)
    if kind in ("nf4", "fp4"):
        from bitsandbytes.functional import dequantize_4bit

        _check_unpacked(owner)
        state = copy.copy(owner.weight.quant_state)
        state.dtype = torch.float32
        wide: Tensor = dequantize_4bit(owner.weight.data, state)
        return wide if owner.compute_dtype is None else wide.to(owner.compute_dtype).float()
    if kind == "int8-weight-only":
        plain: Tensor = owner.weight.detach().dequantize(torch.float32)
        return plain
    raise ModelError(f"a {type(module).__name__} with weights of kind {kind!r} cannot be dequantized")


def as_multiplied(module: nn.Module, states: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch in"]:
    """What a projection multiplies its weight by: `states`, and in LLM.int8() those after rounding, in float32.

    LLM.int8() takes the columns in which any token of the batch reaches a threshold as they are, and rounds the rest of
    each token to 127 steps of its largest value (arXiv 2208.07339, section 3), in half precision.
    """
    if quantized_as(module) != "int8":
        return states
    threshold: float = cast(Any, module).state.threshold
    tokens = states.detach().flatten(0, -2)
    half = tokens.half().float()
    outlying = half.abs() >= threshold if threshold > 0 else torch.zeros_like(half, dtype=torch.bool)
    kept = half.masked_fill(outlying, 0.0)
    step = kept.abs().amax(dim=-1, keepdim=True) / 127
    rounded = (kept / step.clamp_min(torch.finfo(torch.float32).tiny)).round() * step
    return torch.where(outlying.any(dim=0), tokens.float(), rounded).reshape(states.shape)


def computes_in(module: nn.Module, dtype: torch.dtype) -> tuple[torch.dtype, ...]:
    """The types that a projection's product passes through in a model of type `dtype`."""
    kind = quantized_as(module)
    if kind == "int8":
        return dtype, torch.float16
    if kind in ("nf4", "fp4"):
        return dtype, cast(Any, module).compute_dtype or dtype
    return (dtype,)


def stored_parts(module: nn.Module) -> Iterator[tuple[str, Shaped[Tensor, "*shape"]]]:
    """What a quantized weight consists of, as it is stored: the codes first, row by row, then the scales.

    These are the same on every device, since nothing is computed.
    """
    kind, owner = quantized_as(module), cast(Any, module)
    weight = owner.weight
    if kind == "int8":
        codes, scales = _int8(owner)
        yield "codes", codes
        yield "scales", scales
    elif kind in ("nf4", "fp4"):
        _check_unpacked(owner)
        state = weight.quant_state
        yield "codes", weight.data.reshape(-1).view(torch.uint8)
        yield "scales", state.absmax
        if state.nested:
            yield "offset", state.offset.reshape(-1)
            yield "outer", state.state2.absmax
            yield "outer_code", state.state2.code
    else:
        for name in weight.tensor_data_names:
            yield name, getattr(weight, name)


def settle(name: str, model: nn.Module, language: nn.Module) -> None:
    """Keep 4-bit codes as they are stored, and see that they are read right.

    On some CPUs bitsandbytes repacks them in the first pass, for a kernel of its own, and nothing but that kernel then
    reads them right. Where rows do not end with a block of scales, its other kernel for CPUs takes the scales of wrong
    blocks (0.50.2), so that such a model is refused there; `language` is the part of it that is read.

    Raises:
        UnsupportedModelError: 4-bit weights that a CPU reads wrong.
    """
    for module in model.modules():
        if quantized_as(module) in ("nf4", "fp4"):
            cast(Any, module).support_avx512bf16_for_cpu = False
    for module in language.modules():
        if quantized_as(module) in ("nf4", "fp4"):
            weight, width = cast(Any, module).weight, cast(Any, module).in_features
            if weight.device.type == "cpu" and width % weight.blocksize:
                raise UnsupportedModelError(
                    f"{name} has 4-bit weights in rows of {width}, no multiple of {weight.blocksize}, which "
                    "bitsandbytes misreads on a CPU; use 'int8', or an accelerator"
                )


def _int8(module: Any) -> tuple[Tensor, Tensor]:
    """Codes (out, in) and the largest magnitude of each row, which 127 stands for."""
    scales = module.state.SCB if module.state.SCB is not None else module.weight.SCB
    if scales is None or module.weight.dtype != torch.int8:
        raise ModelError("a projection is to be of 8 bits and has no scales; load the original weights")
    return module.weight.data, scales


def _check_unpacked(module: Any) -> None:
    state = module.weight.quant_state
    if state is None or getattr(state, "packing_format_for_cpu", False):
        raise ModelError(
            "the 4-bit codes of a projection were repacked for one CPU's kernel and cannot be read; "
            "load the model with hneurons.load"
        )
