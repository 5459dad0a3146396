"""Token scores against a loop in float64 that forms every neuron's output, and against recorded answer vectors."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.hooks import hooks_of

from hneurons.contributions import Item, Recording, collect
from hneurons.errors import ModelError, ProbeError, ProbeMismatchError, ResponseError
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import token_scores

WEIGHTS = {(0, 3): 6.0, (0, 17): -4.0, (1, 0): 5.0, (1, 47): -7.0, (1, 21): 3.0}
draw = np.random.default_rng(3)
ITEMS = tuple(
    Item(
        key=f"q{number}",
        prompt_ids=tuple(draw.integers(10, 300, n_prompt).tolist()),
        response_ids=tuple(draw.integers(10, 300, n_response).tolist()),
        answer=(0,),
    )
    for number, (n_prompt, n_response) in enumerate([(5, 6), (9, 3), (1, 4), (4, 1), (7, 8)])
)


def in_float64(model: LanguageModel) -> LanguageModel:
    return LanguageModel(copy.deepcopy(model.hf).double(), model.tokenizer, model.anatomy, name=model.name)


def naive(model: LanguageModel, probe: Probe, item: Item, *, keep_bias: bool = False, shift: int = 0) -> np.ndarray:
    """One item alone, neuron by neuron; h is W_down z, so that no bias enters it. Flags make deliberate mistakes."""
    z: dict[int, np.ndarray] = {}
    handles = [
        model.down(layer).register_forward_pre_hook(
            lambda module, args, layer=layer: z.update({layer: args[0].reshape(-1, model.n_neurons).clone().numpy()})
        )
        for layer in range(model.n_layers)
    ]
    with torch.no_grad():
        model.hf(input_ids=torch.tensor([item.prompt_ids + item.response_ids]))
    for handle in handles:
        handle.remove()
    slope, offset = probe.card.calibration or (1.0, 0.0)
    found = []
    for i in range(len(item.response_ids)):
        t = len(item.prompt_ids) + i + shift - (1 if probe.card.positions == "before" else 0)
        logit = probe.card.intercept
        for (layer, j), weight in zip(probe.neurons, probe.weights, strict=True):
            down = model.down_weight(layer).numpy()
            h = down @ z[layer][t]
            if keep_bias:
                h = h + model.down_bias(layer).numpy()
            logit += weight * np.linalg.norm(down[:, j] * z[layer][t, j]) / np.linalg.norm(h)
        found.append(1 / (1 + np.exp(-(slope * logit + offset))))
    return np.array(found)


def worst(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    return max(float(np.abs(mine - theirs).max()) for mine, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize("positions", ["at", "before"])
def test_every_family_matches_the_naive_loop(
    positions: str, tiny_family: str, tiny_model: Callable[..., LanguageModel], hand_probe: Callable[..., Probe]
) -> None:
    model = in_float64(tiny_model(tiny_family))
    probe = hand_probe(model, WEIGHTS, -1.0, positions=positions, calibration=(1.5, 0.25))
    found = token_scores(model, probe, ITEMS)
    assert [len(own) for own in found] == [len(item.response_ids) for item in ITEMS]
    assert worst(found, [naive(model, probe, item) for item in ITEMS]) < 1e-7  # the column norms are float32
    assert np.ptp(np.concatenate(found)) > 0.05


def test_the_comparison_notices_a_bias_left_in_and_shifted_positions(
    tiny_model: Callable[..., LanguageModel], hand_probe: Callable[..., Probe]
) -> None:
    model = in_float64(tiny_model("llama-bias"))
    probe = hand_probe(model, WEIGHTS, -1.0, positions="before")
    found = token_scores(model, probe, ITEMS)
    assert worst(found, [naive(model, probe, item, keep_bias=True) for item in ITEMS]) > 1e-3
    assert worst(found, [naive(model, probe, item, shift=1) for item in ITEMS]) > 1e-2


@pytest.mark.parametrize("positions", ["at", "before"])
@pytest.mark.parametrize("family", ["llama", "llama-bias", "opt", "falcon", "gpt2", "gemma2"])
def test_it_is_the_probability_of_an_answer_of_that_one_token(
    family: str, positions: str, tiny_model: Callable[..., LanguageModel], hand_probe: Callable[..., Probe]
) -> None:
    model = tiny_model(family)
    probe = hand_probe(model, WEIGHTS, 0.3, positions=positions, calibration=(0.7, -0.1))
    item = ITEMS[4]
    single = [Item(str(i), item.prompt_ids, item.response_ids, (i,)) for i in range(len(item.response_ids))]
    recorded = collect(model, single, Recording(positions=positions, hidden=False)).answer.numpy()
    np.testing.assert_allclose(token_scores(model, probe, [item])[0], probe.probabilities(recorded), atol=1e-6)


def test_neurons_may_come_in_any_order(tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]) -> None:
    backwards = hand_probe(tiny_llama, dict(reversed(WEIGHTS.items())))
    found = token_scores(tiny_llama, backwards, ITEMS)
    assert worst(found, token_scores(tiny_llama, hand_probe(tiny_llama, WEIGHTS), ITEMS)) < 1e-9
    swapped = dict(zip(WEIGHTS, reversed(WEIGHTS.values()), strict=True))
    assert worst(found, token_scores(tiny_llama, hand_probe(tiny_llama, swapped), ITEMS)) > 1e-2


def test_batches_and_their_order_change_nothing(tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]) -> None:
    probe = hand_probe(tiny_llama, WEIGHTS)
    together = token_scores(tiny_llama, probe, ITEMS)
    passes: list[tuple[int, ...]] = []
    embedding = tiny_llama.hf.get_input_embeddings()
    with embedding.register_forward_pre_hook(lambda module, args: passes.append(tuple(args[0].shape))):
        apart = token_scores(tiny_llama, probe, ITEMS[::-1], max_tokens=1)
    assert [rows for rows, _ in passes] == [1] * len(ITEMS)
    assert worst(apart[::-1], together) < 1e-6
    assert token_scores(tiny_llama, probe, []) == []


def test_a_position_without_output_contributes_nothing(
    tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]
) -> None:
    probe = hand_probe(tiny_llama, {(2, 3): 5.0}, -0.5)
    silent = [tiny_llama.down(2).register_forward_pre_hook(lambda module, args: (args[0] * 0,))]
    found = token_scores(tiny_llama, probe, ITEMS)
    silent[0].remove()
    assert np.concatenate(found) == pytest.approx(1 / (1 + np.exp(0.5)))
    assert not (np.concatenate(token_scores(tiny_llama, probe, ITEMS)) == np.concatenate(found)).any()


def test_what_cannot_be_scored_is_refused(
    tiny_llama: LanguageModel, tiny_model: Callable[..., LanguageModel], hand_probe: Callable[..., Probe]
) -> None:
    probe, before = hand_probe(tiny_llama, WEIGHTS), hooks_of(tiny_llama)
    with pytest.raises(ProbeMismatchError, match="weights_digest"):
        token_scores(tiny_model("llama", layers=3, seed=1), probe, ITEMS)
    with pytest.raises(ProbeError, match="reads no neuron"):
        token_scores(tiny_llama, hand_probe(tiny_llama, {}), ITEMS)
    with pytest.raises(ResponseError, match="share the key"):
        token_scores(tiny_llama, probe, [ITEMS[0], ITEMS[0]])
    with pytest.raises(ResponseError, match="token ids outside"):
        token_scores(tiny_llama, probe, [Item("alien", (10,), (100_000,), (0,))])
    overflow = tiny_llama.down(1).register_forward_pre_hook(lambda module, args: (args[0] * torch.inf,))
    with overflow, pytest.raises(ModelError, match="not finite"):
        token_scores(tiny_llama, probe, ITEMS)
    assert hooks_of(tiny_llama) == before


def test_a_layer_that_runs_twice_is_refused(tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]) -> None:
    def again(module: torch.nn.Module, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        tiny_llama.down(1)(torch.ones(1, 1, tiny_llama.n_neurons))

    with tiny_llama.block(1).register_forward_hook(again), pytest.raises(ModelError, match="repeats layer 1"):
        token_scores(tiny_llama, hand_probe(tiny_llama, WEIGHTS), ITEMS)
