"""Quantizing weights while they are loaded: what may be asked for, and the settings that transformers is given."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from hneurons.errors import ModelError
from hneurons.models.quantized import KINDS, Quantize


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
