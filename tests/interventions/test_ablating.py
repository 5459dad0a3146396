"""Ablation against edited weights and naive loops, in every family where a twin can be made by hand."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import Means, ablate, activations, mean_activations, scale
from hneurons.interventions.sites import SITES
from hneurons.models.language_model import LanguageModel

NEURONS = [(0, 3), (1, 0), (1, 47), (0, 21)]
HEADS = [(0, 1), (1, 3)]
Logits = Callable[..., list[Tensor]]
Prompts = list[tuple[int, ...]]


def close(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> bool:
    size = max(float(each.abs().max()) for each in expected)
    return all(float((a - b).abs().max()) < tolerance * size for a, b in zip(found, expected, strict=True))


def with_heads_scaled(model: LanguageModel, heads: list[tuple[int, int]], alpha: float) -> LanguageModel:
    """A copy with scaled columns of the attention's output projection."""
    copied = LanguageModel(copy.deepcopy(model.hf), model.tokenizer, model.anatomy, name="edited")
    for layer, head in heads:
        weight: Any = copied.attention_out(layer).weight.data
        columns = weight.T if model.anatomy.conv1d else weight
        columns[:, head * model.head_size : (head + 1) * model.head_size] *= alpha
    return copied


def test_heads_are_columns_of_the_output_projection_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    model = tiny_model(tiny_family)
    plain = logits(model, prompts)
    with ablate(model, "heads", HEADS):
        ablated = logits(model, prompts)
    with scale(model, HEADS, 2.5, site="heads"):
        scaled = logits(model, prompts)
    assert close(ablated, logits(with_heads_scaled(model, HEADS, 0.0), prompts))
    assert close(scaled, logits(with_heads_scaled(model, HEADS, 2.5), prompts))
    neighbours = with_heads_scaled(model, [(layer, head - 1) for layer, head in HEADS], 0.0)
    assert not close(ablated, logits(neighbours, prompts), 1e-3)
    assert not close(ablated, plain, 1e-3)
    assert all(map(torch.equal, logits(model, prompts), plain))


def test_a_neuron_without_output_is_one_at_alpha_zero_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    model = tiny_model(tiny_family)
    with ablate(model, "neurons", NEURONS):
        ablated = logits(model, prompts, "left")
    with scale(model, NEURONS, 0.0):
        assert close(logits(model, prompts, "left"), ablated, 1e-6)
    with scale(model, NEURONS[1:], 0.0):
        assert not close(logits(model, prompts, "left"), ablated, 1e-5)


@pytest.mark.parametrize("family", ["llama-bias", "gpt2", "opt", "falcon", "gemma2", "bloom"])
def test_an_ffn_without_output_is_one_without_weights(
    family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    model = tiny_model(family)
    edited = LanguageModel(copy.deepcopy(model.hf), model.tokenizer, model.anatomy, name="edited")
    for parameter in edited.down(1).parameters():
        parameter.data.zero_()
    with ablate(model, "ffn", [1]):
        ablated = logits(model, prompts)
    assert close(ablated, logits(edited, prompts))
    with ablate(model, "ffn", [0]):
        assert not close(ablated, logits(model, prompts), 1e-3)


def test_attention_without_output_is_one_without_weights_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    """And scaled is one with scaled weights: the norm that follows in some families comes after it."""
    model = tiny_model(tiny_family)
    found = []
    with ablate(model, "attention", [1]):
        found.append(logits(model, prompts, "left"))
    with scale(model, [1], 2.5, site="attention"):
        found.append(logits(model, prompts, "left"))
    for alpha, own in zip((0.0, 2.5), found, strict=True):
        edited = LanguageModel(copy.deepcopy(model.hf), model.tokenizer, model.anatomy, name="edited")
        for parameter in edited.attention_out(1).parameters():
            parameter.data.mul_(alpha)
        assert close(own, logits(edited, prompts, "left"))
    with ablate(model, "attention", [0]):
        assert not close(found[0], logits(model, prompts, "left"), 1e-3)
    with ablate(model, "ffn", [1]):
        assert not close(found[0], logits(model, prompts, "left"), 1e-3)
    assert not close(found[0], found[1], 1e-3)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "falcon", "gemma2"])
def test_the_mean_is_that_of_a_loop_over_tokens(
    family: str, site: Any, tiny_model: Callable[..., LanguageModel], prompts: Prompts
) -> None:
    model = tiny_model(family)
    seen: list[Tensor] = []
    module: Any = {
        "neurons": model.down(1),
        "ffn": model.down(1),
        "heads": model.attention_out(1),
        "attention": model.attention_out(1),
        "residual": model.block(1),
    }[site]

    def keep(_module: Any, arguments: tuple[Any, ...], output: Any) -> None:
        states = arguments[0] if site in ("neurons", "heads") else output
        states = states[0] if isinstance(states, tuple) else states
        seen.append(states.detach().clone().reshape(-1, states.shape[-1]).double())

    with module.register_forward_hook(keep):
        for prompt in prompts:
            model.hf(input_ids=torch.tensor([prompt]), use_cache=False)
    total = torch.zeros(seen[0].shape[1], dtype=torch.float64)
    count = 0
    for own in seen:
        for token in own:
            total += token
            count += 1
    means = mean_activations(model, prompts, site, [1], batch_size=2)
    assert means.n_tokens == count == sum(map(len, prompts))
    assert list(means.values) == [1]
    torch.testing.assert_close(means.values[1], total / count, rtol=1e-4, atol=1e-6)
    wrong = (total - seen[0][0]) / (count - 1)  # one token missing
    assert not torch.allclose(means.values[1], wrong, rtol=1e-4, atol=1e-6)
    third = mean_activations(model, prompts, site, [1], positions=[2]).values[1]
    torch.testing.assert_close(third, torch.stack([own[2] for own in seen]).mean(dim=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "opt", "gpt2", "falcon"])
def test_mean_ablation_puts_the_mean_in_the_place(
    family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    model = tiny_model(family)
    means = mean_activations(model, prompts, "neurons")

    def by_hand(layer: int, indices: list[int]) -> Callable[..., Any]:
        def hook(_module: Any, arguments: tuple[Any, ...]) -> Any:
            z = arguments[0].clone()
            for j in indices:
                z[..., j] = float(means.values[layer][j])
            return (z, *arguments[1:])

        return hook

    with ablate(model, "neurons", NEURONS, how="mean", reference=means):
        ablated = logits(model, prompts, "right")
    handles = [
        model.down(layer).register_forward_pre_hook(by_hand(layer, [j for at, j in NEURONS if at == layer]))
        for layer in (0, 1)
    ]
    assert close(logits(model, prompts), ablated)
    for handle in handles:
        handle.remove()
    with ablate(model, "neurons", NEURONS):
        assert not close(logits(model, prompts), ablated, 1e-4)


@pytest.mark.parametrize("site", ["neurons", "residual"])
def test_resampled_tokens_are_those_of_the_reference(site: Any, tiny_llama: LanguageModel, prompts: Prompts) -> None:
    reference = activations(tiny_llama, [[9, 8, 7], [60, 61, 62, 63]], site)
    which = [(layer, j) for layer in (0, 2) for j in range(48)] if site == "neurons" else [0, 2]
    long = [tuple(range(10, 110)), tuple(range(110, 210))]
    with ablate(tiny_llama, site, which, how="resample", reference=reference, seed=4):
        found = activations(tiny_llama, long, site)
        again = activations(tiny_llama, long, site)
    drawn = {}
    for layer in (0, 2):
        same = (found.values[layer][:, None] == reference.values[layer][None]).all(dim=-1)
        assert torch.equal(same.sum(dim=1), torch.ones(200, dtype=torch.long))
        drawn[layer] = same.long().argmax(dim=1)
        assert torch.equal(found.values[layer], again.values[layer])
    assert torch.equal(drawn[0], drawn[2])  # all parts take theirs from the same token
    assert not torch.equal(drawn[0][:100], drawn[0][100:])  # each prompt has draws of its own
    counts = Counter(drawn[0].tolist())
    assert set(counts) == set(range(7))
    assert max(counts.values()) < 2.2 * 200 / 7
    if site == "neurons":
        plain = activations(tiny_llama, long, site, [0])
        assert not torch.equal(found.values[0], plain.values[0])
    with ablate(tiny_llama, site, which, how="resample", reference=reference, seed=5):
        assert not torch.equal(activations(tiny_llama, long, site).values[0], found.values[0])


def test_only_the_named_positions_and_parts_change(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    plain = activations(tiny_llama, prompts, "neurons", [1]).values[1]
    with ablate(tiny_llama, "neurons", [(1, 5), (1, 7)], positions=[[0, 6], [], [2]]):
        found = activations(tiny_llama, prompts, "neurons", [1]).values[1]
    expected = plain.clone()
    for row in (0, 6, 7 + 3 + 2):
        expected[row, [5, 7]] = 0
    assert torch.equal(found, expected)
    assert not torch.equal(found, plain)
    with ablate(tiny_llama, "neurons", [(1, 5), (1, 7)], positions=[1]):
        found = activations(tiny_llama, prompts, "neurons", [1]).values[1]
    assert [int((row == 0).sum()) for row in found] == [0, 2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0]


def test_what_makes_no_sense_is_refused(
    tiny_llama: LanguageModel, prompts: Prompts, hooks: Callable[[LanguageModel], int], as_a_user_calls: None
) -> None:
    before = hooks(tiny_llama)
    some = activations(tiny_llama, prompts, "neurons", [0])
    means = mean_activations(tiny_llama, prompts, "neurons", [0])
    spoilt = Means("neurons", 3, {0: means.values[0] * torch.nan})
    narrow = Means("neurons", 3, {0: means.values[0][:40]})
    cases: list[tuple[tuple[Any, Any], dict[str, Any], type[Exception], str]] = [
        (("heads", [(0, 4)]), {}, ModelError, r"no head \(0, 4\): its layers are 0 to 2, with heads 0 to 3"),
        (("heads", [(3, 0)]), {}, ModelError, r"no head \(3, 0\)"),
        (("neurons", [(0, 48)]), {}, ModelError, r"no neuron \(0, 48\)"),
        (("ffn", [3]), {}, ModelError, "no layer 3: its layers are 0 to 2"),
        (("residual", [-1]), {}, ModelError, "no layer -1"),
        (("residual", [(0, 1)]), {}, InterventionError, "does not name a layer"),
        (("heads", [1]), {}, InterventionError, r"give pairs \(layer, head\)"),
        (("neurons", [(0, 1.5)]), {}, InterventionError, r"give pairs \(layer, neuron\)"),
        (("mlp", [1]), {}, InterventionError, "no site 'mlp'; choose one of neurons, ffn, heads, attention, residual"),
        (("ffn", [1]), {"how": "noise"}, InterventionError, "choose zero, mean or resample"),
        (("ffn", [1]), {"how": "mean"}, InterventionError, "mean_activations makes"),
        (("ffn", [1]), {"how": "resample", "reference": means}, InterventionError, "activations makes"),
        (("ffn", [1]), {"reference": means}, InterventionError, "takes no reference"),
        (("ffn", [0]), {"how": "mean", "reference": means}, InterventionError, "read at site 'neurons', not 'ffn'"),
        (("neurons", [(1, 0)]), {"how": "resample", "reference": some}, InterventionError, "no layer 1, only 0"),
        (("neurons", [(0, 0)]), {"how": "mean", "reference": spoilt}, InterventionError, "not finite in layer 0"),
        (("neurons", [(0, 0)]), {"how": "mean", "reference": narrow}, InterventionError, "of width 40"),
        (("ffn", [0]), {"positions": [-1]}, InterventionError, "count them from 0"),
        (("ffn", [0]), {"positions": [2, 1]}, InterventionError, "ascending"),
        (("ffn", [0]), {"positions": []}, InterventionError, "nothing would be done"),
        (("ffn", [0]), {"positions": [0.5]}, InterventionError, "give whole numbers"),
        (("ffn", [0]), {"positions": "last"}, InterventionError, "give numbers, 'all' or 'generated'"),
    ]
    for arguments, named, error, message in cases:
        with pytest.raises(error, match=message), ablate(tiny_llama, *arguments, **named):
            pass
    assert hooks(tiny_llama) == before


def test_what_cannot_be_read_is_refused(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ([], {}, "no prompt to read"),
        ([[]], {}, "prompt 0 is empty"),
        ([[5], [100_000]], {}, "prompt 1 is empty or has token ids outside"),
        ([[5] * 300], {}, "300 tokens and .* reads at most 256"),
        (prompts, {"positions": [3]}, "prompt 1 has 3 tokens and no position 3"),
        (prompts, {"positions": [[1], [1]]}, "those of 2 prompts and there are 3"),
        (prompts, {"positions": "generated"}, "nothing is generated here"),
    ]
    for asked, named, message in cases:
        with pytest.raises(InterventionError, match=message):
            activations(tiny_llama, asked, "ffn", **named)
    with pytest.raises(ModelError, match="no layer 3"):
        mean_activations(tiny_llama, prompts, "ffn", [3])
    with pytest.raises(InterventionError, match="at least one prompt, not 0"):
        mean_activations(tiny_llama, prompts, "ffn", batch_size=0)


def test_values_that_overflow_are_refused(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    broken = LanguageModel(copy.deepcopy(tiny_llama.hf), tiny_llama.tokenizer, tiny_llama.anatomy, name="broken")
    broken.down_weight(1).mul_(float("inf"))
    with pytest.raises(ModelError, match="layer 1 of broken gives values that are not finite"):
        mean_activations(broken, prompts, "ffn", [1])
