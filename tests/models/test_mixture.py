"""Layers with experts: found, counted and verified; what their row gets wrong is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import MOE

import hneurons
from hneurons.errors import AnatomyMismatchError, ModelError, UnsupportedModelError
from hneurons.models import verify as verify_module
from hneurons.models.check import inspect_model
from hneurons.models.families import MIXTURES
from hneurons.models.language_model import LanguageModel
from hneurons.models.mixture import ExpertLayout
from hneurons.models.parts import expert_shape, find_parts
from hneurons.models.verify import verify

Make = Callable[..., LanguageModel]


def test_every_row_has_a_tiny_model() -> None:
    assert {str(settings.get("model_type", name)) for name, settings in MOE.items()} == set(MIXTURES)


def test_every_family_is_verified_and_counted(moe_family: str, tiny_model: Make) -> None:
    model = tiny_model(moe_family, layers=3)
    assert model.residual < 1e-5
    assert model.verification.experts is not None
    layout = model.layout
    assert layout is not None
    assert layout == model.fingerprint.experts
    for layer in range(3):
        parts = model.mixture(layer)
        assert (parts is None) == (layer in layout.dense)
        down = model.hf.state_dict()[
            f"model.layers.{layer}.mlp." + ("experts.down_proj" if parts else "down_proj.weight")
        ]
        shared = 0 if parts is None or parts.shared is None else parts.shared.down.in_features
        own = down.numel() // 32 + shared
        assert model.neurons_in(layer) == own <= model.n_neurons
        norms = model.column_norms()[layer]
        assert bool((norms[:own] > 0).all())
        assert not norms[own:].any()
        for index in range(own):
            expert, inside = model.expert_of(layer, index)
            assert model.index_of(layer, expert, inside) == index
            if parts is not None and expert != "shared":
                column = down[expert, inside] if layer_is_transposed(model) else down[expert, :, inside]
            elif parts is not None:
                assert parts.shared is not None
                column = parts.shared.down.weight[:, inside]
            else:
                column = down[:, inside]
            assert float(norms[index]) == pytest.approx(float(column.norm()), rel=1e-5)
        with pytest.raises(ModelError, match=f"has no neuron .{layer}, {own}."):
            model.expert_of(layer, own)
    assert model.neurons == sum(model.neurons_in(layer) for layer in range(3))


def layer_is_transposed(model: LanguageModel) -> bool:
    assert model.anatomy.mixture is not None
    return model.anatomy.mixture.transposed


def test_the_flat_order_is_what_the_page_says() -> None:
    layout = ExpertLayout(n_layers=3, n_experts=4, per_token=2, width=10, shared=5, dense=(0,), dense_width=60)
    assert (layout.widest, layout.neurons, layout.active) == (60, 60 + 2 * 45, 60 + 2 * 25)
    assert layout.expert_of(1, 23) == (2, 3)
    assert layout.index_of(1, 2, 3) == 23
    assert layout.expert_of(2, 41) == ("shared", 1)
    assert layout.index_of(2, "shared", 1) == 41
    assert layout.expert_of(0, 41) == (None, 41)
    assert layout.index_of(0, None, 41) == 41
    assert (layout.name_of(1, 23), layout.name_of(1, 40), layout.name_of(0, 7)) == (
        "expert 2, 3",
        "shared expert, 0",
        "",
    )
    for wrong in [(1, 4, 0), (1, -1, 0), (1, 0, 10), (1, "shared", 5), (1, None, 0), (0, 0, 0), (3, 0, 0)]:
        with pytest.raises(IndexError):
            layout.index_of(*wrong)
    for layer, index in [(1, 45), (0, 60), (3, 0), (1, -1)]:
        with pytest.raises(IndexError):
            layout.expert_of(layer, index)


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("mixtral", {"order": "up_gate"}),
    ("qwen3_moe", {"order": "interleaved"}),
    ("olmoe", {"clamped": True}),
    ("gpt_oss", {"order": "gate_up"}),
    ("gpt_oss", {"clamped": False}),
    ("qwen2_moe", {"shared_gate": None}),
    ("qwen2_moe", {"shared": None, "shared_gate": None}),
    ("deepseek_v3", {"shared": None}),
]


@pytest.mark.parametrize(("family", "change"), WRONG)
def test_a_wrong_row_is_refused(family: str, change: dict[str, Any], tiny_model: Make) -> None:
    model = tiny_model(family, layers=3)
    hf = copy.deepcopy(model.hf)
    for module in hf.modules():
        if type(module).__name__.endswith("Experts"):  # what the wrong formula asks for is there
            module.act_fn = getattr(module, "act_fn", torch.nn.SiLU())
            module.alpha, module.limit = getattr(module, "alpha", 1.702), getattr(module, "limit", 7.0)
    mixture = model.anatomy.mixture
    assert mixture is not None
    row = replace(model.anatomy, mixture=replace(mixture, **change))
    check(hf, model.anatomy)
    with pytest.raises(AnatomyMismatchError, match=r"layer [01]: what leaves the (routed experts|FFN) is not"):
        check(hf, row)


@pytest.mark.parametrize(("family", "change"), [("gpt_oss", {"biases": False}), ("gpt_oss", {"transposed": False})])
def test_fused_parameters_of_another_shape_are_refused(family: str, change: dict[str, Any], tiny_model: Make) -> None:
    model = tiny_model(family, layers=3, intermediate_size=32)
    assert model.anatomy.mixture is not None
    with pytest.raises(AnatomyMismatchError):
        check(model.hf, replace(model.anatomy, mixture=replace(model.anatomy.mixture, **change)))


def test_a_forgotten_routing_weight_or_bias_is_refused(tiny_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt_oss", layers=3)
    assert check(model.hf, model.anatomy).worst < 1e-5
    own = verify_module.combined
    for wrong in (
        lambda e, m, z, routed: own(e, m, z, replace(routed, weights=torch.ones_like(routed.weights))),
        lambda e, m, z, routed: own(e, replace(m, biases=False), z, routed),
    ):
        monkeypatch.setattr(verify_module, "combined", wrong)
        with pytest.raises(AnatomyMismatchError, match="layer 0: what leaves the routed experts"):
            check(model.hf, model.anatomy)


def check(hf: Any, anatomy: Any) -> Any:
    return verify(hf, anatomy, find_parts(hf, anatomy), device=torch.device("cpu"))


def test_narrow_types_pass(tiny_directory: Callable[..., Path]) -> None:
    for family in ("gpt_oss", "qwen2_moe", "deepseek_v3"):
        model = hneurons.load(tiny_directory(family, layers=3), dtype="bfloat16", device="cpu")
        assert 0 < model.residual < model.verification.tolerance / 2


def test_what_needs_one_down_projection_is_refused_with_the_reason(tiny_model: Make) -> None:
    model = tiny_model("deepseek_v3", layers=3)
    assert model.down(0).in_features == 40
    for ask in (model.down, model.down_weight, model.down_bias):
        with pytest.raises(UnsupportedModelError, match=r"layer 1 of .* is a mixture of experts"):
            ask(1)


def test_quantized_and_unknown_mixtures_are_refused(tiny_directory: Callable[..., Path], tmp_path: Path) -> None:
    def refused(config: dict[str, Any], reason: str) -> None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(UnsupportedModelError, match=reason):
            inspect_model(tmp_path)

    refused({"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}, r"quantized experts .mxfp4")
    with pytest.raises(UnsupportedModelError, match="no library quantizes; leave quantize='int8' out"):
        hneurons.load(tiny_directory("olmoe", layers=3), quantize="int8", device="cpu")
    refused({"model_type": "glm4_moe", "n_routed_experts": 8}, "mixture of experts .* supported mixtures: mixtral, ")


def attention(heads: int, size: int | None = None) -> dict[str, Any]:
    return {"num_attention_heads": heads, "num_key_value_heads": 8} | ({"head_dim": size} if size else {})


# Name: (configuration, layers, experts, width, shared, dense layers, neurons, parameters and active ones in billions)
PUBLISHED: dict[str, tuple[dict[str, Any], int, int, int, int, tuple[int, ...], int, float, float]] = {
    "Mixtral-8x7B": (
        attention(32) | {"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 32000},
        32, 8, 14336, 0, (), 32 * 8 * 14336, 46.7, 12.9,
    ),
    "Qwen3-30B-A3B": (
        attention(32, 128) | {"num_key_value_heads": 4, "model_type": "qwen3_moe", "hidden_size": 2048,
        "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "vocab_size": 151936},
        48, 128, 768, 0, (), 48 * 128 * 768, 30.5, 3.3,
    ),
    "OLMoE-1B-7B": (
        attention(16) | {"num_key_value_heads": 16, "model_type": "olmoe", "hidden_size": 2048,
        "intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8, "vocab_size": 50304},
        16, 64, 1024, 0, (), 16 * 64 * 1024, 6.9, 1.3,
    ),
    "gpt-oss-20b": (
        attention(64, 64) | {"model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880,
        "num_local_experts": 32, "num_experts_per_tok": 4, "vocab_size": 201088},
        24, 32, 2880, 0, (), 24 * 32 * 2880, 20.9, 3.6 + 0.58,  # its card leaves the input embedding out
    ),
    "Qwen1.5-MoE-A2.7B": (
        attention(16) | {"num_key_value_heads": 16, "model_type": "qwen2_moe", "hidden_size": 2048,
        "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts": 60,
        "num_experts_per_tok": 4, "vocab_size": 151936},
        24, 60, 1408, 5632, (), 24 * (60 * 1408 + 5632), 14.3, 2.7,
    ),
    "DeepSeek-V2-Lite": (
        attention(16) | {"num_key_value_heads": 16, "model_type": "deepseek_v2", "hidden_size": 2048,
        "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2,
        "num_experts_per_tok": 6, "first_k_dense_replace": 1, "q_lora_rank": None, "vocab_size": 102400},
        27, 64, 1408, 2816, (0,), 10944 + 26 * 66 * 1408, 15.7, 2.7,
    ),
    "DeepSeek-V3": (
        attention(128) | {"num_key_value_heads": 128, "model_type": "deepseek_v3", "hidden_size": 7168,
        "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
        "num_experts_per_tok": 8, "first_k_dense_replace": 3, "vocab_size": 129280},
        61, 256, 2048, 2048, (0, 1, 2), 3 * 18432 + 58 * 257 * 2048, 671.0, 37.5,
    ),
}  # fmt: skip


QUICK = ("OLMoE-1B-7B", "DeepSeek-V2-Lite")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PUBLISHED])
def test_published_shapes_from_the_configuration_alone(name: str, tmp_path: Path) -> None:
    config, layers, experts, width, shared, dense, neurons, billions, active = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers, "dtype": "bfloat16"}))
    report = inspect_model(tmp_path)
    layout = report.experts
    assert layout is not None
    assert report.active_parameters is not None
    assert (report.n_layers, layout.n_experts, layout.width, layout.shared) == (layers, experts, width, shared)
    assert (layout.dense, report.neurons) == (dense, neurons)
    assert report.parameters / 1e9 == pytest.approx(billions, rel=0.01)
    assert report.active_parameters / 1e9 == pytest.approx(active, rel=0.03)
    assert report.memory.weights == 2 * report.parameters
    assert report.memory.contributions_per_response == 2 * 4 * layers * report.n_neurons
    assert report.memory.cache_per_token > 0


def test_shapes_are_told_by_the_fused_parameter(tiny_model: Make) -> None:
    model = tiny_model("gpt_oss", layers=3)
    parts = model.mixture(0)
    assert parts is not None
    assert expert_shape(parts.experts, model.anatomy) == (6, 16, 32)
