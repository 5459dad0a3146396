"""Llamas with random weights: of a chosen shape, made on the spot, with a tokenizer that has a word for every token.

They never end a response by themselves (no token is an end of text), so that every way passes as many tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hneurons.models.families import FAMILIES
from hneurons.models.language_model import LanguageModel


def _shape(layers: int, hidden: int, ffn: int, heads: int, vocabulary: int, kv: int | None = None) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": kv or heads,
        "vocab_size": vocabulary,
    }


SHAPES = {
    "toy": _shape(2, 64, 256, 4, 512) | {"tie_word_embeddings": True},
    "tiny": _shape(3, 64, 192, 4, 512, kv=2) | {"rope_theta": 500000.0},
    "7m": _shape(6, 256, 1024, 8, 3072) | {"tie_word_embeddings": True},
    "100m": _shape(12, 768, 2048, 12, 32000) | {"tie_word_embeddings": True},
    "8b": _shape(32, 4096, 14336, 32, 128256, kv=8) | {"rope_theta": 500000.0, "max_position_embeddings": 8192},
}
"""By name; "8b" is that of Llama-3.1-8B, and "tiny" has its parts, for a try anywhere."""


def random_config(shape: str, **settings: object) -> LlamaConfig:
    """The configuration of a shape; `settings` override it."""
    plain: dict[str, object] = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    return LlamaConfig(**(SHAPES[shape] | plain | settings))


def random_llama(
    shape: str, *, device: str | torch.device = "cpu", dtype: str = "float32", **settings: object
) -> LanguageModel:
    """A model with seeded random weights, made where it is to be: nothing is read, written or moved."""
    config = random_config(shape, **settings)
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            hf = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model = LanguageModel(hf, word_tokenizer(config.vocab_size), FAMILIES["llama"], name=shape)
    model.name = called(model)
    return model


def save_random(directory: Path, shape: str) -> None:
    """Such a model with its tokenizer as files, in float32."""
    config = random_config(shape)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    word_tokenizer(config.vocab_size).save_pretrained(directory)


def word_tokenizer(n: int) -> PreTrainedTokenizerFast:
    """A word for every token, token 0 pads, and there is no end of text."""
    words = Tokenizer(WordLevel({"<pad>": 0} | {f"w{k}": k for k in range(1, n)}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>")


def called(model: LanguageModel) -> str:
    """What it is, by its size."""
    millions = sum(parameter.numel() for parameter in model.hf.parameters()) / 1e6
    size = (
        f"{millions / 1000:.1f}B" if millions >= 1000 else f"{millions:.0f}M" if millions >= 10 else f"{millions:.2g}M"
    )
    return f"a random Llama of {size} parameters"
