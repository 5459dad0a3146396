"""Contributions of neurons in experts, held against a loop over tokens, experts and neurons."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.hooks import hooks_of
from tests.naive_mixture import mixtral_twin, naive_ffn, run

from hneurons.contributions import Item, Recording, collect
from hneurons.contributions.tokens import TokenReader
from hneurons.interventions import scale
from hneurons.models.families import MIXTURES
from hneurons.models.language_model import LanguageModel

Make = Callable[..., LanguageModel]
RECORDINGS = [Recording(), Recording(other="sequence", positions="before")]


@pytest.fixture(scope="module")
def double(tiny_model: Make) -> Callable[[str], LanguageModel]:
    """A tiny model of three layers in float64; DeepSeek's correction of the choice is not zero in it."""
    made: dict[str, LanguageModel] = {}

    def make(family: str) -> LanguageModel:
        if family not in made:
            tiny = tiny_model(family, layers=3)
            hf = copy.deepcopy(tiny.hf).double()
            for name, buffer in hf.named_buffers():
                if name.endswith("e_score_correction_bias"):
                    buffer.copy_(torch.linspace(-0.3, 0.3, len(buffer)).roll(3))
            made[family] = LanguageModel(hf, tiny.tokenizer, tiny.anatomy, name=family)
        return made[family]

    return make


def cett(model: LanguageModel, item: Item, wrong: str = "") -> np.ndarray:
    """(layers, tokens, n_neurons); 0 where a narrower layer has no neuron."""
    ids = [*item.prompt_ids, *item.response_ids]
    found = np.zeros((model.n_layers, len(ids), model.n_neurons))
    for layer, (x, out) in enumerate(run(model, ids)):
        naive = naive_ffn(model, layer, x, wrong)
        if not wrong:
            # by hand as the model itself, but for its routers, which run in float32
            np.testing.assert_allclose(naive.output, out, rtol=1e-5, atol=1e-6)
        found[layer, :, : naive.parts.shape[1]] = naive.cett
    return found


def answer_and_other(item: Item, recording: Recording, each: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    start, shift = len(item.prompt_ids), recording.positions == "before"
    answer = [start + index - shift for index in item.answer]
    first = start if recording.other == "response" else 0
    rest = [t - shift for t in range(first, len(item)) if t - start not in item.answer and t - shift >= 0]
    return each[:, answer].mean(axis=1), each[:, rest].mean(axis=1) if rest else None


def worst(model: LanguageModel, items: tuple[Item, ...], recording: Recording, every: list[np.ndarray]) -> float:
    found = collect(model, items, recording)
    others, errors = iter(found.other), []
    for index, item in enumerate(items):
        answer, other = answer_and_other(item, recording, every[index])
        errors.append(np.abs(found.answer[index] - answer).max() / answer.max())
        if other is not None:
            errors.append(np.abs(next(others) - other).max() / other.max())
    assert next(others, None) is None
    return float(max(errors))


def test_contributions_equal_the_loop(
    moe_family: str, double: Callable[[str], LanguageModel], items: tuple[Item, ...]
) -> None:
    model = double(moe_family)
    every = [cett(model, item) for item in items]
    before = hooks_of(model)
    for recording in RECORDINGS:
        assert worst(model, items, recording, every) < 5e-6  # routers and column norms are float32
    unrouted = np.mean([(each == 0).mean() for each in every])
    assert unrouted > 0.2  # most neurons belong to experts that a token is not routed to
    assert hooks_of(model) == before


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("mixtral", "no routing weight"),
        ("deepseek_v3", "no routing weight"),
        ("olmoe", "halves swapped"),
        ("gpt_oss", "halves swapped"),
        ("gpt_oss", "biases kept"),
        ("deepseek_v2", "biases kept"),
        ("qwen2_moe", "routed only"),
        ("qwen2_moe", "shared first"),
    ],
)
def test_the_comparison_notices_a_mistake(
    family: str, wrong: str, double: Callable[[str], LanguageModel], items: tuple[Item, ...]
) -> None:
    model = double(family)
    every = [cett(model, item, wrong) for item in items[:3]]
    assert worst(model, items[:3], RECORDINGS[0], every) > 1e-2


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm", "batched_mm"])
def test_the_models_own_way_of_computing_experts_changes_nothing(
    implementation: str, tiny_model: Make, items: tuple[Item, ...]
) -> None:
    model = tiny_model("deepseek_v3", layers=3)
    expected = collect(model, items, RECORDINGS[0])
    before = model.hf.get_experts_implementation()
    model.hf.set_experts_implementation(implementation)
    try:
        found = collect(model, items[::-1], RECORDINGS[0])
        assert model.hf.get_experts_implementation()[""] == implementation
    finally:
        model.hf.set_experts_implementation(before)
    torch.testing.assert_close(found.answer.flip(0), expected.answer, rtol=1e-4, atol=1e-6)
    assert found.hidden_answer is not None
    assert expected.hidden_answer is not None
    torch.testing.assert_close(found.hidden_answer.flip(0), expected.hidden_answer, rtol=1e-4, atol=1e-5)


def test_sums_are_taken_in_float32_of_a_narrow_type(tiny_model: Make, items: tuple[Item, ...]) -> None:
    tiny = tiny_model("olmoe", layers=3)
    half = LanguageModel(copy.deepcopy(tiny.hf).bfloat16(), tiny.tokenizer, tiny.anatomy, name="bfloat16")
    found = collect(half, items, RECORDINGS[0])
    assert found.answer.dtype == torch.float32
    expected = collect(tiny, items, RECORDINGS[0]).answer
    both = (found.answer > 0) & (expected > 0)  # rounding may route a token elsewhere
    assert both.float().mean() > 0.8 * (expected > 0).float().mean()
    assert ((found.answer - expected)[both].abs() / expected[both]).median() < 0.03


def test_tokens_are_read_as_the_loop_has_them(
    moe_family: str, double: Callable[[str], LanguageModel], items: tuple[Item, ...]
) -> None:
    model, item = double(moe_family), items[0]
    each = cett(model, item)
    last = [(layer, model.neurons_in(layer) - 1) for layer in range(model.n_layers)]
    most = [(layer, int(each[layer].max(axis=0).argmax())) for layer in range(model.n_layers)]
    chosen = [(2, 5), *last, (0, 1), *most, (1, 0)]
    ids = torch.tensor([[*item.prompt_ids, *item.response_ids]])
    _, found = TokenReader(model, chosen).read(lambda: model.hf(input_ids=ids, use_cache=False))
    expected = np.stack([each[layer, :, index] for layer, index in chosen], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    assert (expected > 0).any(axis=0).sum() >= 3
    assert np.abs(found - np.roll(expected, 1, axis=1)).max() > 1e-2


def test_what_is_recorded_is_the_model_as_it_stands(tiny_model: Make, items: tuple[Item, ...]) -> None:
    model = tiny_model("qwen2_moe", layers=3)
    plain: Any = collect(model, items, RECORDINGS[0]).answer
    routed = int(plain[:, 2, :96].sum(dim=0).argmax())
    neurons = [(2, routed), (2, 100)]
    with scale(model, neurons, 0.0):
        off: Any = collect(model, items, RECORDINGS[0]).answer
    assert plain[:, 2, routed].max() > 0
    assert plain[:, 2, 100].min() > 0
    assert off[:, 2, [routed, 100]].abs().max() == 0
    assert torch.equal(off[:, :2], plain[:, :2])
    assert torch.equal(collect(model, items, RECORDINGS[0]).answer, plain)


def test_a_dense_models_neurons_are_shared_out_among_equal_experts(
    tiny_llama: LanguageModel, items: tuple[Item, ...]
) -> None:
    hf = mixtral_twin(tiny_llama.hf, 3)
    twin = LanguageModel(hf, tiny_llama.tokenizer, MIXTURES["mixtral"], name="twin")
    for recording in RECORDINGS:
        dense, mixed = collect(tiny_llama, items, recording), collect(twin, items, recording)
        for own, shared_out in ((dense.answer, mixed.answer), (dense.other, mixed.other)):
            by_expert = shared_out.unflatten(-1, (3, 48))
            torch.testing.assert_close(by_expert.sum(dim=2), own, rtol=1e-4, atol=1e-6)
            assert (by_expert[:, :, 0] - by_expert[:, :, 1]).abs().max() > 1e-2  # as their routing weights differ
        entropies = [[row.entropy for row in found.rows if row.role == "answer"] for found in (mixed, dense)]
        assert entropies[0] == pytest.approx(entropies[1], rel=1e-4)
