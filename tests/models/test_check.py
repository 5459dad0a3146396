"""Reports, on tiny models and on the published shapes of the six models of the paper, which need no weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.models.check import ModelReport, inspect_model
from hneurons.models.language_model import LanguageModel

MISTRAL = {"model_type": "mistral", "num_key_value_heads": 8, "head_dim": 128}
GEMMA = {"model_type": "gemma3_text", "head_dim": 256, "vocab_size": 262208}
LLAMA = {"model_type": "llama", "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256}


def shape(layers: int, hidden: int, width: int, heads: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_attention_heads": heads,
    }


# Name: (configuration, layers, neurons per layer, parameters in billions, cache bytes per token in bfloat16)
PUBLISHED: dict[str, tuple[dict[str, Any], int, int, float, int]] = {
    "Mistral-7B-v0.3": (
        MISTRAL | shape(32, 4096, 14336, 32) | {"vocab_size": 32768},
        32, 14336, 7.25, 2 * 32 * 8 * 128 * 2,
    ),
    "Mistral-Small-3.1-24B": (
        {
            "model_type": "mistral3",
            "tie_word_embeddings": False,
            "text_config": MISTRAL | shape(40, 5120, 32768, 32) | {"vocab_size": 131072},
            "vision_config": {"model_type": "pixtral"} | shape(24, 1024, 4096, 16),
        },
        40, 32768, 24.0, 2 * 40 * 8 * 128 * 2,
    ),
    "Gemma-3-4B": (
        {
            "model_type": "gemma3",
            "text_config": GEMMA | shape(34, 2560, 10240, 8) | {"num_key_value_heads": 4},
            "vision_config": {"model_type": "siglip_vision_model", "image_size": 896, "patch_size": 14}
            | shape(27, 1152, 4304, 16),
        },
        34, 10240, 4.3, 2 * 34 * 4 * 256 * 2,
    ),
    "Gemma-3-27B": (
        {
            "model_type": "gemma3",
            "text_config": GEMMA | shape(62, 5376, 21504, 32) | {"num_key_value_heads": 16, "head_dim": 128},
            "vision_config": {"model_type": "siglip_vision_model", "image_size": 896, "patch_size": 14}
            | shape(27, 1152, 4304, 16),
        },
        62, 21504, 27.4, 2 * 62 * 16 * 128 * 2,
    ),
    "Llama-3.1-8B": (LLAMA | shape(32, 4096, 14336, 32), 32, 14336, 8.03, 2 * 32 * 8 * 128 * 2),
    "Llama-3.3-70B": (LLAMA | shape(80, 8192, 28672, 64), 80, 28672, 70.6, 2 * 80 * 8 * 128 * 2),
}  # fmt: skip


def report_of(directory: Path, config: dict[str, Any], **arguments: Any) -> ModelReport:
    (directory / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    return inspect_model(directory, **arguments)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_shapes_are_found_from_the_configuration_alone(name: str, tmp_path: Path) -> None:
    config, layers, width, billions, cache = PUBLISHED[name]
    report = report_of(tmp_path, config)
    assert (report.n_layers, report.n_neurons) == (layers, width)
    assert report.neurons == layers * width
    assert report.parameters / 1e9 == pytest.approx(billions, rel=0.01)
    assert report.dtype == "bfloat16"
    assert report.memory.weights == 2 * report.parameters
    assert report.memory.cache_per_token == cache
    assert report.memory.contributions_per_response == 2 * 4 * layers * width
    assert report.verification is None
    assert "not verified" in report.verified


def test_another_width_would_show(tmp_path: Path) -> None:
    config, _, width, *_ = PUBLISHED["Llama-3.1-8B"]
    assert report_of(tmp_path, config | {"intermediate_size": width - 1}).n_neurons == width - 1


def test_a_directory_with_weights_is_verified(
    tiny_family: str, tiny_directory: Callable[..., Path], tiny_model: Callable[..., LanguageModel]
) -> None:
    report = inspect_model(tiny_directory(tiny_family), device="cpu")
    model = tiny_model(tiny_family)
    assert report.verification == model.verification
    assert "verified on a forward pass" in report.verified
    assert (report.n_layers, report.n_neurons, report.hidden_size) == (2, model.n_neurons, 32)
    assert report.where == f"input of {model.anatomy.layers}[l].{model.anatomy.down}"
    assert report.parameters == sum(parameter.numel() for parameter in model.hf.parameters())
    assert report.dtype == "float32"
    ids = torch.full((1, 7), 9)
    cache = model.hf(input_ids=ids, use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert report.memory.cache_per_token * 7 == held
    assert ModelReport.model_validate_json(report.model_dump_json()) == report


def test_weights_can_be_left_alone(tiny_directory: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny_directory("llama")
    assert inspect_model(path, weights=False).verification is None
    assert inspect_model(path / "config.json").verification is None
    shutil.copy(path / "config.json", tmp_path)
    assert inspect_model(tmp_path).verification is None
    with pytest.raises(ModelError, match=r"holds no model\.safetensors; download the weights"):
        inspect_model(tmp_path, weights=True)


def test_memory_follows_the_dtype(tiny_directory: Callable[..., Path]) -> None:
    path = tiny_directory("llama")
    full, half = inspect_model(path, device="cpu"), inspect_model(path, dtype="float16", device="cpu")
    assert full.memory.weights == 2 * half.memory.weights
    assert full.memory.cache_per_token == 2 * half.memory.cache_per_token
    assert half.dtype == "float16"
    assert half.verification is not None
    assert half.verification.projection > 0


def test_what_cannot_be_loaded_cannot_be_inspected(tmp_path: Path) -> None:
    AutoConfig.for_model("granitemoe").save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="mixture of experts"):
        inspect_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | shape(2, 32, 48, 5)))
    with pytest.raises(ModelError, match=r"describes no possible model: The hidden size \(32\) is not a multiple"):
        inspect_model(tmp_path)
