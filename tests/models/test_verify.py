"""The check on load, and that it fails whenever a row does not describe the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hneurons
from hneurons.errors import AnatomyMismatchError
from hneurons.models.anatomy import Anatomy
from hneurons.models.families import FAMILIES
from hneurons.models.language_model import LanguageModel
from hneurons.models.parts import find_parts
from hneurons.models.verify import TOLERANCE, Verification, verify

GATED = [row.model_type for row in FAMILIES.values() if row.gated]
PLAIN = [row.model_type for row in FAMILIES.values() if not row.gated]


def check(model: LanguageModel, anatomy: Anatomy) -> Verification:
    parts = find_parts(model.hf, anatomy)
    return verify(model.hf, anatomy, parts, device=model.device)


def swapped(row: Anatomy) -> Anatomy:
    if row.packed is not None:
        return replace(row, packed="up_gate" if row.packed == "gate_up" else "gate_up")
    assert row.gate is not None
    return replace(row, up=row.gate, gate=row.up)


@pytest.mark.parametrize("family", GATED)
def test_swapped_gate_and_up_are_refused(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    assert check(model, model.anatomy).worst < 1e-5
    with pytest.raises(AnatomyMismatchError, match=r"layer 0: what enters mlp\.down_proj is not z = act\("):
        check(model, swapped(model.anatomy))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_each_dtype_passes_and_still_refuses_a_swap(dtype: str, tiny_directory: Callable[..., Path]) -> None:
    model = hneurons.load(tiny_directory("llama", layers=3), dtype=dtype, device="cpu")
    assert model.dtype == getattr(torch, dtype)
    assert model.residual < TOLERANCE[model.dtype] / 3
    assert model.verification.tolerance == TOLERANCE[model.dtype]
    if dtype != "float64":
        assert model.verification.projection > 0  # rounding shows: the product is computed anew, in float32
    with pytest.raises(AnatomyMismatchError, match="what enters"):
        check(model, swapped(model.anatomy))


@pytest.mark.parametrize("family", GATED)
def test_a_gated_ffn_taken_for_a_plain_one_is_refused(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    with pytest.raises(AnatomyMismatchError):
        check(model, replace(model.anatomy, gate=None, packed=None))


@pytest.mark.parametrize("family", PLAIN)
def test_another_activation_function_is_refused(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    *parent, name = model.anatomy.act.split(".")
    owner = model.block(0).get_submodule(".".join(parent))
    parts = find_parts(model.hf, model.anatomy)
    assert getattr(owner, name) is parts[0].act
    broken = (replace(parts[0], act=nn.Tanh()), *parts[1:])
    with pytest.raises(AnatomyMismatchError, match="layer 0: what enters"):
        verify(model.hf, model.anatomy, broken, device=model.device)


@pytest.mark.parametrize("family", [*GATED, *PLAIN])
def test_up_and_down_exchanged_is_refused(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    row = FAMILIES[family]
    gate = row.down if row.packed is not None else row.gate
    with pytest.raises(AnatomyMismatchError):
        check(tiny_model(family), replace(row, up=row.down, down=row.up, gate=gate))


SQUARE = {"intermediate_size": 32, "num_key_value_heads": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"up": "self_attn.q_proj"}, "what enters mlp.down_proj is not"),
        ({"gate": "self_attn.v_proj"}, "what enters mlp.down_proj is not"),
        ({"down": "self_attn.o_proj"}, "did not run in the order"),
        ({"act": "input_layernorm"}, "what enters mlp.down_proj is not"),
        ({"ffn": "self_attn"}, "did not run in the order"),
        ({"ffn": "mlp.up_proj"}, "did not run in the order"),
    ],
)
def test_a_row_that_points_elsewhere_is_refused_even_where_shapes_fit(
    change: dict[str, str], message: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model("llama", **SQUARE)
    with pytest.raises(AnatomyMismatchError, match=message):
        check(model, replace(model.anatomy, **change))


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("bloom", {"exit": "output"}),
        ("gemma2", {"ffn": "post_feedforward_layernorm"}),
        ("olmo2", {"ffn": "post_feedforward_layernorm"}),
        ("opt", {"norm": "self_attn_layer_norm"}),
        ("opt-norm-last", {"norm": "self_attn_layer_norm"}),
        ("granite", {"ffn": "", "exit": "layer", "norm": "post_attention_layernorm"}),  # its output is scaled
    ],
)
def test_a_wrong_exit_of_the_ffn_is_refused(
    family: str, change: dict[str, Any], tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(family)
    with pytest.raises(AnatomyMismatchError, match=r"what leaves the FFN is not what .* puts out"):
        check(model, replace(model.anatomy, **change))


@contextmanager
def forward(module: Any, function: Callable[..., Any]) -> Iterator[None]:
    module.forward = function
    try:
        yield
    finally:
        del module.forward


def test_a_down_projection_that_is_not_linear_is_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("llama")
    down: Any = model.down(1)
    with (
        forward(down, lambda z: 1.5 * F.linear(z, down.weight)),
        pytest.raises(AnatomyMismatchError, match=r"layer 1: what leaves mlp\.down_proj is not its weights"),
    ):
        check(model, model.anatomy)
    check(model, model.anatomy)


def test_an_ffn_that_adds_something_is_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("llama")
    ffn: Any = model.ffn(0)
    usual = ffn.forward
    with (
        forward(ffn, lambda x: usual(x) + 0.01 * x),
        pytest.raises(AnatomyMismatchError, match="layer 0: what leaves the FFN"),
    ):
        check(model, model.anatomy)


def test_a_second_call_of_the_down_projection_is_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("llama")
    ffn: Any = model.ffn(0)
    usual = ffn.forward
    with forward(ffn, lambda x: usual(x) + 0 * usual(x)), pytest.raises(AnatomyMismatchError, match="layer 0"):
        check(model, model.anatomy)


def test_the_wrong_class_and_kind_are_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    with pytest.raises(AnatomyMismatchError, match="loaded as LlamaForCausalLM, not as MistralForCausalLM"):
        check(tiny_model("llama"), FAMILIES["mistral"])
    with pytest.raises(AnatomyMismatchError, match="a projection is Conv1D, not Linear"):
        check(tiny_model("gpt2"), replace(FAMILIES["gpt2"], conv1d=False))
    with pytest.raises(AnatomyMismatchError, match=r"LlamaForCausalLM has no module model\.blocks"):
        check(tiny_model("llama"), replace(FAMILIES["llama"], layers="model.blocks"))
    with pytest.raises(AnatomyMismatchError, match="is not a list of decoder layers"):
        check(tiny_model("llama"), replace(FAMILIES["llama"], layers="model.norm"))


def test_layers_of_different_width_are_refused(tiny_directory: Callable[..., Path]) -> None:
    model = hneurons.load(tiny_directory("llama"), device="cpu")
    mlp: Any = model.ffn(1)
    for name, shape in (("gate_proj", (32, 40)), ("up_proj", (32, 40)), ("down_proj", (40, 32))):
        setattr(mlp, name, nn.Linear(*shape, bias=False))
    with pytest.raises(AnatomyMismatchError, match="layer 1 has another width"):
        check(model, model.anatomy)


def test_overflow_is_refused_with_the_remedy(tiny_directory: Callable[..., Path]) -> None:
    model = hneurons.load(tiny_directory("llama"), device="cpu", dtype="float16")
    model.down_weight(0).mul_(1e30)
    with pytest.raises(AnatomyMismatchError, match=r"values overflow; load it with dtype=\"bfloat16\""):
        check(model, model.anatomy)


def test_verification_leaves_no_hook_behind(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("llama")

    def hooks() -> list[int]:  # transformers has a few of its own
        return [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.hf.modules()]

    before = hooks()
    with pytest.raises(AnatomyMismatchError):
        check(model, swapped(model.anatomy))
    assert hooks() == before
