"""Steering adds exactly a vector: against edited biases, and against the rest of a model run by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import ablate, activations, steer
from hneurons.interventions.sites import SITES
from hneurons.models.language_model import LanguageModel

Logits = Callable[..., list[Tensor]]
Prompts = list[tuple[int, ...]]


def vector(width: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("site", ["residual", "ffn"])
@pytest.mark.parametrize("family", ["llama-bias", "gpt2", "gpt_neox", "opt", "falcon-new", "falcon-sequential", "phi"])
def test_steering_equals_another_bias(
    family: str, site: Any, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    """Where no norm follows, what is added to the stream after a layer may as well be a bias of its FFN."""
    model = tiny_model(family)
    edited = LanguageModel(copy.deepcopy(model.hf), model.tokenizer, model.anatomy, name="edited")
    bias: Any = edited.down_bias(0)
    bias += 1.5 * vector()
    plain, expected = logits(model, prompts), logits(edited, prompts)
    with steer(model, 0, vector(), 1.5, site=site):
        found = logits(model, prompts, "left")
    with steer(model, 1, vector(), 1.5, site=site):
        deeper = logits(model, prompts)
    for row in range(3):
        torch.testing.assert_close(found[row], expected[row], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(found[row], plain[row], atol=1e-2)
        assert not torch.allclose(found[row], deeper[row], atol=1e-2)  # the next layer is another


def test_the_rest_of_the_model_by_hand(tiny_model: Callable[..., LanguageModel], prompts: Prompts) -> None:
    model = tiny_model("gpt2", layers=3)
    ids = torch.tensor(prompts[:1])
    stream = activations(model, prompts[:1], "residual", [0]).values[0].unsqueeze(0)
    stream[0, 2] += 2 * vector()
    for block in model.hf.transformer.h[1:]:
        out = block(stream)
        stream = out[0] if isinstance(out, tuple) else out
    expected = model.hf.lm_head(model.hf.transformer.ln_f(stream))
    with steer(model, 0, vector(), 2.0, positions=[2]):
        torch.testing.assert_close(model.hf(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)
    with steer(model, 0, vector(), 2.0, positions=[3]):
        assert not torch.allclose(model.hf(input_ids=ids).logits, expected, atol=1e-2)


@pytest.mark.parametrize("site", SITES)
def test_the_vector_is_added_where_it_is_said(site: Any, tiny_llama: LanguageModel, prompts: Prompts) -> None:
    plain = activations(tiny_llama, prompts, site, [1]).values[1]
    direction = vector(plain.shape[1])
    with steer(tiny_llama, 1, direction, -0.5, site=site, positions=[[1, 6], [], [0]]):
        found = activations(tiny_llama, prompts, site, [1]).values[1]
    expected = plain.clone()
    expected[[1, 6, 10]] = plain[[1, 6, 10]] + -0.5 * direction
    assert torch.equal(found, expected)
    with steer(tiny_llama, 1, direction, -0.5, site=site):
        assert torch.equal(activations(tiny_llama, prompts, site, [1]).values[1], plain + -0.5 * direction)


def test_a_relative_strength_follows_the_length_of_the_stream(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    plain = activations(tiny_llama, prompts, "residual", [1]).values[1]
    with steer(tiny_llama, 1, 7 * vector(), 0.25, relative=True):
        found = activations(tiny_llama, prompts, "residual", [1]).values[1]
    for token in range(15):
        unit = vector() / vector().norm()
        torch.testing.assert_close(found[token], plain[token] + 0.25 * plain[token].norm() * unit)
    assert plain.norm(dim=-1).std() > 0.1  # lengths differ, so that one for all would show


def test_blocks_act_in_the_order_in_which_they_are_entered(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    with ablate(tiny_llama, "residual", [1]), steer(tiny_llama, 1, vector()):
        found = activations(tiny_llama, prompts, "residual", [1]).values[1]
    assert torch.equal(found, vector().expand(15, -1))
    with steer(tiny_llama, 1, vector()), ablate(tiny_llama, "residual", [1]):
        assert not activations(tiny_llama, prompts, "residual", [1]).values[1].any()


def test_bfloat16_keeps_its_type(tiny_llama: LanguageModel) -> None:
    half = LanguageModel(copy.deepcopy(tiny_llama.hf).bfloat16(), tiny_llama.tokenizer, tiny_llama.anatomy, name="half")
    with steer(half, 1, vector(), relative=True), steer(half, 0, vector(), site="ffn"), ablate(half, "heads", [(0, 1)]):
        assert half.hf(input_ids=torch.tensor([[5, 6, 7]])).logits.dtype == torch.bfloat16


def test_what_makes_no_sense_is_refused(
    tiny_llama: LanguageModel, hooks: Callable[[LanguageModel], int], as_a_user_calls: None
) -> None:
    before = hooks(tiny_llama)
    cases: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
        ((3, vector()), {}, ModelError, "no layer 3: its layers are 0 to 2"),
        ((1, vector(31)), {}, InterventionError, r"shape \(31,\); site 'residual' of .* needs \(32,\)"),
        ((1, vector(32)), {"site": "neurons"}, InterventionError, r"needs \(48,\)"),
        ((1, vector()[None]), {}, InterventionError, r"shape \(1, 32\)"),
        ((1, vector() * torch.inf), {}, InterventionError, "not finite"),
        ((1, vector(), float("nan")), {}, InterventionError, "not finite"),
        ((1, torch.zeros(32)), {"relative": True}, InterventionError, "direction is zero"),
        ((1, vector()), {"positions": [-1]}, InterventionError, "count them from 0"),
        ((1, vector()), {"site": "stream"}, InterventionError, "no site 'stream'"),
    ]
    for arguments, named, error, message in cases:
        with pytest.raises(error, match=message), steer(tiny_llama, *arguments, **named):
            pass
    assert hooks(tiny_llama) == before
