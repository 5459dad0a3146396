"""Recalibrated attention against weights that are multiplied and renormalised by hand, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, StaticCache

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import recalibrate
from hneurons.models.language_model import LanguageModel
from hneurons.responses.sampling import Prompt, Sampling, sample

Logits = Callable[..., list[Tensor]]
Batch = Callable[..., dict[str, Any]]
Prompts = list[tuple[int, ...]]
PLACES = [[1, 2, 5], [], [0, 3]]


def eager(model: LanguageModel) -> LanguageModel:
    """The same model, whose attention gives its weights."""
    hf = copy.deepcopy(model.hf)
    for module in hf.modules():  # one by one: Falcon has nothing that sets it
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    return LanguageModel(hf, model.tokenizer, model.anatomy, name="eager")


def weights(model: LanguageModel, arguments: dict[str, Any]) -> list[Tensor]:
    found = model.hf(**arguments, output_attentions=True, use_cache=False).attentions
    return [each.double() for each in found]


def renormalised(weights: Tensor, factors: Tensor) -> Tensor:
    raised = weights * factors
    return raised / raised.sum(dim=-1, keepdim=True)


@pytest.mark.parametrize("side", ["left", "right"])
def test_weights_are_multiplied_and_renormalised(
    tiny_family: str, side: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, batch: Batch
) -> None:
    model = eager(tiny_model(tiny_family))
    arguments = batch(model, prompts, side)
    real = arguments["attention_mask"].bool()
    plain = weights(model, arguments)
    factors = torch.ones(real.shape, dtype=torch.float64)
    for row, own in enumerate(PLACES):
        start = int(real[row].int().argmax())
        factors[row, [start + place for place in own]] = 3.0
    for layer in range(model.n_layers):
        with recalibrate(model, 3.0, PLACES, layers=[layer]):
            found = weights(model, arguments)
        expected = renormalised(plain[layer], factors[:, None, None])
        rows, columns = real.nonzero(as_tuple=True)  # of padding, attention means nothing
        got = found[layer][rows, :, columns]
        torch.testing.assert_close(got, expected[rows, :, columns], rtol=1e-5, atol=1e-6)
        wrong = renormalised(plain[layer], 1 + (factors[:, None, None] - 1) * math.log(3.0) / 2)
        assert not torch.allclose(got, wrong[rows, :, columns], atol=1e-2)  # the logarithm in the place of the factor
        if layer:
            assert all(torch.equal(found[k], plain[k]) for k in range(layer))


def by_hand(prompts: Prompts, factor: float) -> Callable[..., Tensor]:
    """Attention of a batch padded on the right, its weights multiplied and renormalised in float64."""
    factors = torch.ones(len(prompts), max(map(len, prompts)), dtype=torch.float64)
    for row, own in enumerate(PLACES):
        factors[row, own] = factor

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **_settings: Any) -> Tensor:
        scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5 + attn_mask.double()
        return (renormalised(scores.softmax(dim=-1), factors[:, None, None]) @ value.double()).to(query.dtype)

    return attention


def test_what_is_used_is_what_is_shown(
    tiny_family: str,
    tiny_model: Callable[..., LanguageModel],
    prompts: Prompts,
    logits: Logits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was loaded, whatever it runs its attention as; alone, or in a batch that is padded on either side."""
    model = tiny_model(tiny_family)
    plain = logits(model, prompts)
    shown = eager(model)
    if tiny_family == "falcon-sequential":  # in transformers its eager attention counts ALiBi twice: another model
        shown = model
        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", by_hand(prompts, 4.0))
        expected = logits(shown, prompts, "right")
        monkeypatch.undo()
    else:
        with recalibrate(shown, 4.0, PLACES):
            expected = logits(shown, prompts, "right")
    with recalibrate(model, 4.0, PLACES):
        found = {side: logits(model, prompts, side) for side in ("left", "right")}
    for row in range(3):
        for side in found:
            torch.testing.assert_close(found[side][row], expected[row], rtol=1e-3, atol=1e-4)
        changed = not torch.allclose(found["left"][row], plain[row], atol=1e-3)
        assert changed == bool(PLACES[row])
    with recalibrate(model, 1.0, [0, 2]):
        assert torch.equal(logits(model, prompts)[0], plain[0])
    assert torch.equal(logits(model, prompts)[0], plain[0])  # and it is over


@pytest.mark.parametrize(
    ("family", "config"),
    [("llama", {}), ("gpt2", {}), ("opt", {}), ("falcon", {}), ("falcon-sequential", {}), ("bloom", {}), ("gptj", {}),
     ("gemma2", {"sliding_window": 4}), ("mistral", {"sliding_window": 4})],
)  # fmt: skip
def test_a_cache_makes_no_difference(
    family: str, config: dict[str, Any], tiny_model: Callable[..., LanguageModel], prompts: Prompts, batch: Batch
) -> None:
    """Token by token from the cache as in one pass, also where a window drops the oldest ones."""
    model = tiny_model(family, **config)
    places = [[2, 4, 7], [1], [0, 6]]  # of what is cached, and of what comes
    more = [(12, 90, 33), (41, 7, 50), (60, 5, 18)]
    whole = [a + b for a, b in zip(prompts, more, strict=True)]
    with recalibrate(model, 5.0, places):
        steps, cache = batch(model, prompts, "left"), DynamicCache(config=model.hf.config)
        found = []
        model.hf(**steps, past_key_values=cache, use_cache=True)
        mask = steps["attention_mask"]
        for step in range(3):
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            given = {"input_ids": torch.tensor([[row[step]] for row in more]), "attention_mask": mask}
            if "position_ids" in steps:
                given["position_ids"] = (mask.cumsum(-1) - 1)[:, -1:]
            found.append(model.hf(**given, past_key_values=cache, use_cache=True).logits[:, -1])
    for row in range(3):
        with recalibrate(model, 5.0, places[row]):
            alone = model.hf(input_ids=torch.tensor([whole[row]]), use_cache=False).logits[0, -3:]
        plain = model.hf(input_ids=torch.tensor([whole[row]]), use_cache=False).logits[0, -3:]
        for step in range(3):
            torch.testing.assert_close(found[step][row], alone[step], rtol=1e-3, atol=1e-4)
        assert not torch.allclose(alone, plain, atol=1e-3)


def test_sampling_keeps_positions_with_their_prompt(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    """Samples of one prompt share rows and drop out; each is what it is alone."""
    how = Sampling(n_samples=3, max_new_tokens=6)
    asked = [Prompt(str(i), ids) for i, ids in enumerate(prompts)]
    with recalibrate(tiny_llama, 30.0, PLACES):
        together = sample(tiny_llama, asked, how)
    for prompt, own, found in zip(asked, PLACES, together, strict=True):
        with recalibrate(tiny_llama, 30.0, own or [200]):
            (alone,) = sample(tiny_llama, [prompt], how)
        assert [each.token_ids for each in found] == [each.token_ids for each in alone]
    assert together != sample(tiny_llama, asked, how)


def test_single_heads(tiny_llama: LanguageModel, prompts: Prompts, batch: Batch) -> None:
    model = eager(tiny_llama)
    arguments = batch(model, prompts[:1], "left")
    plain = weights(model, arguments)
    with recalibrate(model, 0.1, [0, 2], heads=[(1, 3), (1, 0)]):
        found = weights(model, arguments)
    factors = torch.ones(7, dtype=torch.float64)
    factors[[0, 2]] = 0.1
    assert torch.equal(found[0], plain[0])
    torch.testing.assert_close(found[1][:, [0, 3]], renormalised(plain[1][:, [0, 3]], factors), rtol=1e-5, atol=1e-6)
    assert torch.equal(found[1][:, [1, 2]], plain[1][:, [1, 2]])
    with recalibrate(model, 7.0, [0], heads=[(2, 1)]), recalibrate(model, 1 / 7, [0], heads=[(2, 1)]):
        torch.testing.assert_close(weights(model, arguments)[2], plain[2])


def test_it_is_over_after_an_exception(
    tiny_llama: LanguageModel, prompts: Prompts, logits: Logits, hooks: Callable[[LanguageModel], int]
) -> None:
    before, plain = hooks(tiny_llama), logits(tiny_llama, prompts)
    with recalibrate(tiny_llama, 2.0, [0]):
        assert hooks(tiny_llama) > before
    with pytest.raises(ZeroDivisionError), recalibrate(tiny_llama, 2.0, [0]):
        raise ZeroDivisionError
    assert hooks(tiny_llama) == before
    assert all(torch.equal(a, b) for a, b in zip(logits(tiny_llama, prompts), plain, strict=True))


def test_bfloat16_keeps_its_type(tiny_llama: LanguageModel) -> None:
    half = LanguageModel(copy.deepcopy(tiny_llama.hf).bfloat16(), tiny_llama.tokenizer, tiny_llama.anatomy, name="half")
    with recalibrate(half, 4.0, [0]):
        found = half.hf(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert found.dtype == torch.bfloat16
    assert bool(found.isfinite().all())


def test_what_makes_no_sense_is_refused(
    tiny_llama: LanguageModel, prompts: Prompts, batch: Batch, as_a_user_calls: None
) -> None:
    cases: Sequence[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
        ((0.0, [1]), {}, InterventionError, "above 0"),
        ((math.inf, [1]), {}, InterventionError, "finite"),
        ((2.0, "all"), {}, InterventionError, "give numbers"),
        ((2.0, []), {}, InterventionError, "no position"),
        ((2.0, [3, 1]), {}, InterventionError, "ascending"),
        ((2.0, [1]), {"layers": [3]}, ModelError, "no layer 3"),
        ((2.0, [1]), {"heads": [(0, 4)]}, ModelError, r"no head \(0, 4\)"),
        ((2.0, [1]), {"heads": [(0, 1)], "layers": [0]}, InterventionError, "not both"),
    ]
    for arguments, named, error, message in cases:
        with pytest.raises(error, match=message), recalibrate(tiny_llama, *arguments, **named):
            pass
    other = LanguageModel(copy.deepcopy(tiny_llama.hf), tiny_llama.tokenizer, tiny_llama.anatomy, name="flash")
    other.hf.config._attn_implementation = "flash_attention_2"
    with pytest.raises(InterventionError, match="'flash_attention_2'"), recalibrate(other, 2.0, [1]):
        pass
    with pytest.raises(InterventionError, match="2 rows"), recalibrate(tiny_llama, 2.0, PLACES):
        tiny_llama.hf(**batch(tiny_llama, prompts[:2], "left"))
    room = StaticCache(config=tiny_llama.hf.config, max_cache_len=20)
    with pytest.raises(InterventionError, match="has room for 20"), recalibrate(tiny_llama, 2.0, [1]):
        tiny_llama.hf(**batch(tiny_llama, prompts, "left"), past_key_values=room)
