"""Quantizing weights while they are loaded: what may be asked for, and the settings that transformers is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from hneurons.errors import ModelError
from hneurons.models.quantized import KINDS, Quantize, Stated

BLOCK = 64
"""Weights of 4 bits that share a scale."""


def parse_quantize(quantize: str | None) -> Quantize | None:
    """One of the kinds, whose library is there.

    Raises:
        ModelError: it is none of them, or its library is missing.
    """
    if quantize is None:
        return None
    kind = next((known for known in KINDS if known == quantize), None)
    if kind is None:
        raise ModelError(f"weights cannot be quantized as {quantize!r}; choose {', '.join(KINDS)}, or leave it out")
    require_library(kind)
    return kind


def require_library(kind: Quantize) -> None:
    """See that the library of a kind is installed.

    Raises:
        ModelError: it is not.
    """
    library = "torchao" if kind == "int8-weight-only" else "bitsandbytes"
    if find_spec(library) is None:
        raise ModelError(f"{kind} weights need {library}; pip install 'hneurons[quantized]'")


def quantization_config(kind: Quantize, dtype: torch.dtype) -> Any:
    """What transformers is given to quantize the weights of a model that computes in `dtype`."""
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if kind == "int8-weight-only":
        from torchao.quantization import Int8WeightOnlyConfig  # type: ignore[import-untyped]

        return TorchAoConfig(Int8WeightOnlyConfig())
    make: Any = BitsAndBytesConfig
    if kind == "int8":
        return make(load_in_8bit=True)
    return make(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_compute_dtype=dtype)


@dataclass(frozen=True)
class Size:
    """What the quantized weights of a model take: how many there are, and their bytes, scales included."""

    weights: int
    stored: int

    @property
    def bits(self) -> float:
        """Bits of one weight, scales included; NaN where there is none."""
        return 8 * self.stored / self.weights if self.weights else float("nan")


def quantized_size(skeleton: Any, stated: Stated, itemsize: int) -> Size:
    """What becomes of a model on the meta device when transformers quantizes it.

    Args:
        skeleton: its modules, with ordinary weights.
        stated: the kind, and what is left out.
        itemsize: bytes of a number in the model's own type.
    """
    sizes = [(out, into) for out, into in _replaced(skeleton, stated)]
    stored = sum(_stored_bytes(stated, out, into, itemsize) for out, into in sizes)
    return Size(weights=sum(out * into for out, into in sizes), stored=stored)


def _replaced(skeleton: Any, stated: Stated) -> Iterator[tuple[int, int]]:
    """(out, in) of each weight that is quantized."""
    left = list(get_keys_to_not_convert(skeleton) if stated.skipped is None else stated.skipped)
    left += list(skeleton._keep_in_fp32_modules or [])
    for name, module in skeleton.named_modules():
        turned = isinstance(module, Conv1D) and stated.kind != "int8-weight-only"
        if should_convert_module(name, left) and (turned or type(module) is nn.Linear):
            rows, columns = module.weight.shape
            yield (columns, rows) if turned else (rows, columns)


def _stored_bytes(stated: Stated, out: int, into: int, itemsize: int) -> int:
    """Bytes of a quantized (out, in) weight, scales included; `itemsize` is that of the model's own type."""
    numbers = out * into
    if stated.kind == "int8":
        return numbers + 4 * out
    if stated.kind == "int8-weight-only":
        return numbers + max(4, itemsize) * out
    blocks = -(-numbers // BLOCK)
    scales = blocks + 4 * -(-blocks // 256) + 4 if stated.nested else 4 * blocks
    return -(-numbers // 2) + scales
