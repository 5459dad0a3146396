"""Scaling equals edited weights, restores the model exactly, and changes contributions as the formula says."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.hooks import n_hooks

from hneurons.contributions import Item, Recording, collect
from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import scale
from hneurons.models.language_model import LanguageModel

IDS = torch.tensor([[5, 17, 40, 41, 9, 30], [8, 2, 100, 55, 60, 61]])
NEURONS = [(0, 3), (1, 0), (1, 47), (0, 21)]


def logits(model: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.hf(input_ids=IDS, use_cache=False).logits
    return found


def edited(model: LanguageModel, neurons: list[tuple[int, int]], alpha: float) -> LanguageModel:
    """A copy with scaled columns of W_down."""
    copied = LanguageModel(copy.deepcopy(model.hf), model.tokenizer, model.anatomy, name="edited")
    for layer, index in neurons:
        copied.down_weight(layer)[:, index] *= alpha  # a view of the copy's own memory
    return copied


def test_scaling_equals_edited_weights_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    check_against_edited_weights(tiny_model(tiny_family), 2.5)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_suppressing_equals_edited_weights(alpha: float, tiny_llama: LanguageModel) -> None:
    check_against_edited_weights(tiny_llama, alpha)


def check_against_edited_weights(model: LanguageModel, alpha: float) -> None:
    plain = logits(model)
    size = plain.abs().max()
    with scale(model, NEURONS, alpha):
        scaled = logits(model)
    other = logits(edited(model, [(layer, index + 1 if index < 40 else 5) for layer, index in NEURONS], alpha))
    assert (scaled - logits(edited(model, NEURONS, alpha))).abs().max() < 1e-5 * size
    assert (scaled - other).abs().max() > 1e-4 * size  # the neurons next to them are others
    assert (scaled - plain).abs().max() > 1e-4 * size
    assert torch.equal(logits(model), plain)
    assert n_hooks(model) == 0


def test_the_model_is_restored_after_an_exception(tiny_llama: LanguageModel) -> None:
    plain = logits(tiny_llama)
    weights = tiny_llama.down_weight(0).clone()

    def interrupted() -> None:
        with scale(tiny_llama, NEURONS, 0.0):
            assert torch.equal(tiny_llama.down_weight(0), weights)
            assert not torch.equal(logits(tiny_llama), plain)
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        interrupted()
    assert torch.equal(logits(tiny_llama), plain)
    assert n_hooks(tiny_llama) == 0


def test_blocks_nest_and_their_factors_multiply(tiny_llama: LanguageModel) -> None:
    with scale(tiny_llama, NEURONS, 6.0):
        six = logits(tiny_llama)
    with scale(tiny_llama, NEURONS, 2.0):
        two = logits(tiny_llama)
        with scale(tiny_llama, NEURONS[:2], 3.0), scale(tiny_llama, NEURONS[2:], 3.0):
            assert torch.allclose(logits(tiny_llama), six, atol=1e-5)
        assert torch.equal(logits(tiny_llama), two)
    assert not torch.allclose(two, six, atol=1e-3)


def test_alpha_one_and_no_neurons_do_nothing(tiny_llama: LanguageModel) -> None:
    plain = logits(tiny_llama)
    for neurons, alpha in ((NEURONS, 1.0), ([], 0.0)):
        with scale(tiny_llama, neurons, alpha):
            assert n_hooks(tiny_llama) == 0
            assert torch.equal(logits(tiny_llama), plain)


def test_a_neuron_named_twice_counts_once(tiny_llama: LanguageModel) -> None:
    with scale(tiny_llama, [NEURONS[0]], 2.0):
        once = logits(tiny_llama)
    with scale(tiny_llama, [NEURONS[0], NEURONS[0]], 2.0):
        assert torch.equal(logits(tiny_llama), once)


def test_the_tensor_that_comes_in_is_left_as_it_was(tiny_llama: LanguageModel) -> None:
    z = torch.randn(2, 3, 48)
    before = z.clone()
    with scale(tiny_llama, [(1, 7)], 0.0):
        out = tiny_llama.down(1)(z)
    assert torch.equal(z, before)
    before[..., 7] = 0
    assert torch.allclose(out, before @ tiny_llama.down_weight(1).T, atol=1e-6)


def test_bfloat16_keeps_its_type(tiny_llama: LanguageModel) -> None:
    half = LanguageModel(copy.deepcopy(tiny_llama.hf).bfloat16(), tiny_llama.tokenizer, tiny_llama.anatomy, name="half")
    with scale(half, NEURONS, 1.1):
        assert logits(half).dtype == torch.bfloat16


@pytest.mark.parametrize("neuron", [(3, 0), (-1, 0), (0, 48), (0, -1)])
def test_neurons_that_do_not_exist_are_refused(neuron: tuple[int, int], tiny_llama: LanguageModel) -> None:
    with pytest.raises(ModelError, match="has no neuron"), scale(tiny_llama, [(0, 0), neuron], 0.5):
        pass
    assert n_hooks(tiny_llama) == 0


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_factors_that_make_no_sense_are_refused(alpha: float, tiny_llama: LanguageModel) -> None:
    with pytest.raises(InterventionError, match="alpha is"), scale(tiny_llama, NEURONS, alpha):
        pass


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 2.5])
def test_the_contribution_of_a_scaled_neuron_follows_the_formula(
    family: str, alpha: float, tiny_model: Callable[..., LanguageModel]
) -> None:
    source = tiny_model(family)
    model = LanguageModel(copy.deepcopy(source.hf).double(), source.tokenizer, source.anatomy, name=family)
    item = Item("q", prompt_ids=tuple(IDS[0].tolist()), response_ids=tuple(IDS[1].tolist()), answer=(1, 2, 4))
    weight = model.down_weight(1).numpy()
    states: list[np.ndarray] = []
    with model.down(1).register_forward_pre_hook(lambda module, args: states.append(args[0][0].numpy())):
        collect(model, [item], Recording(hidden=False))
    answer = [len(item.prompt_ids) + index for index in item.answer]
    for index in (3, 30):
        formula, linear = [], []
        for t in answer:
            alone = weight[:, index] * states[0][t, index]
            h = sum(weight[:, j] * states[0][t, j] for j in range(model.n_neurons))
            formula.append(alpha * np.linalg.norm(alone) / np.linalg.norm(h + (alpha - 1) * alone))
            linear.append(alpha * np.linalg.norm(alone) / np.linalg.norm(h))
        with scale(model, [(1, index)], alpha):
            found = float(collect(model, [item], Recording(hidden=False)).answer[0, 1, index])
        assert found == pytest.approx(np.mean(formula), rel=1e-6, abs=1e-12)
        if alpha:
            assert found != pytest.approx(np.mean(linear), rel=1e-5)  # alpha * CETT is only about right
