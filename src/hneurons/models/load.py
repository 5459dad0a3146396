"""`hneurons.load`: a name, a local directory or a hub id becomes a verified `LanguageModel`."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from hneurons.models.families import FAMILIES
from hneurons.models.language_model import LanguageModel


def load(
    path_or_id: str,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    device_map: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Early version."""
    config = AutoConfig.from_pretrained(path_or_id)
    anatomy = FAMILIES[config.model_type]
    auto = AutoModelForImageTextToText if anatomy.wrapper else AutoModelForCausalLM
    hf = auto.from_pretrained(path_or_id, dtype=dtype, device_map=device_map, use_safetensors=True)
    return LanguageModel(hf, AutoTokenizer.from_pretrained(path_or_id), anatomy, name=path_or_id, revision=revision)
