"""Attention weights and shares against transformers' own weights in a naive loop, on every family."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hneurons
from hneurons.errors import ModelError, ResponseError
from hneurons.layers.answered import Answered
from hneurons.layers.attention import handing, weights
from hneurons.layers.attention.weights import ATTENDED, Reading, Shares, attention_pattern, attention_shares, reading
from hneurons.models.language_model import LanguageModel
from hneurons.questions.question import Question

random = np.random.default_rng(3)


def text(length: int, positions: tuple[int, ...], seed: int) -> Reading:
    """A text of random tokens with random segments."""
    own = np.random.default_rng(seed)
    names = [ATTENDED[i] for i in own.integers(1, len(ATTENDED), length)]
    return Reading(tuple(own.integers(6, 300, length).tolist()), ("first", *names[1:]), positions)


TEXTS = [text(13, (12,), 0), text(7, (3, 5, 6), 1), text(21, (8, 20), 2)]


def naive_weights(model: LanguageModel, ids: tuple[int, ...]) -> np.ndarray:
    """Transformers' own weights (layers, heads, queries, keys) of one text by itself.

    Falcon's eager attention adds ALiBi twice, so there the weights are those that its sdpa call must be using.
    """
    if getattr(model.config, "alibi", False):
        return weights_of_sdpa(model, ids)
    with every_config(model, "eager"), torch.no_grad():
        found = model.hf(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    return np.stack([each[0].double().numpy() for each in found])


def weights_of_sdpa(model: LanguageModel, ids: tuple[int, ...]) -> np.ndarray:
    """softmax(q k / sqrt(d) + mask), from what the model hands to `scaled_dot_product_attention`."""
    found = []

    def attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **_: object) -> Tensor:
        scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5 + attn_mask.double()
        found.append(scores.softmax(dim=-1)[0].numpy())
        return own(query, key, value, attn_mask=attn_mask)

    own = torch.nn.functional.scaled_dot_product_attention
    with pytest.MonkeyPatch.context() as patched, torch.no_grad():
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
        model.hf(input_ids=torch.tensor([ids]), use_cache=False)
    return np.stack(found)


@contextmanager
def every_config(model: LanguageModel, name: str) -> Iterator[None]:
    """The implementation of text and whole, set by hand."""
    configs = [model.hf.config, model.config]
    before = [each._attn_implementation for each in configs]
    for each in configs:
        each._attn_implementation = name
    yield
    for each, own in zip(configs, before, strict=True):
        each._attn_implementation = own


def naive_shares(model: LanguageModel, each: Reading, shift: int = 0) -> dict[str, np.ndarray]:
    """Shares and entropies of one text, number by number; `shift` reads at other positions."""
    found = naive_weights(model, each.token_ids)
    n_layers, heads = found.shape[:2]
    share, entropy = np.zeros((n_layers, heads, len(ATTENDED))), np.zeros((n_layers, heads))
    uniform, most = np.zeros((n_layers, len(ATTENDED))), np.zeros(n_layers)
    for layer in range(n_layers):
        for position in each.positions:
            visible = [key for key in range(position + shift + 1) if found[layer, 0, position + shift, key] > 0]
            most[layer] += np.log(len(visible)) / len(each.positions)
            for key in visible:
                segment = ATTENDED.index(each.segments[key])
                uniform[layer, segment] += 1 / len(visible) / len(each.positions)
                for head in range(heads):
                    a = found[layer, head, position + shift, key]
                    share[layer, head, segment] += a / len(each.positions)
                    entropy[layer, head] -= a * np.log(a) / len(each.positions)
    return {"share": share, "uniform": uniform, "entropy": entropy, "uniform_entropy": most}


def test_shares_are_those_of_transformers_own_weights(
    tiny_family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(tiny_family)
    before = model.hf.config._attn_implementation, model.config._attn_implementation
    found = attention_shares(model, TEXTS, batch_rows=2)
    assert (model.hf.config._attn_implementation, model.config._attn_implementation) == before
    assert found.implementation == handing.Implementation(before[1], "eager")
    assert found.layers == (0, 1)
    np.testing.assert_allclose(found.share.sum(axis=-1), 1, atol=1e-6)
    for row, each in enumerate(TEXTS):
        expected = naive_shares(model, each)
        for name, values in expected.items():
            np.testing.assert_allclose(getattr(found, name)[row], values, atol=3e-6, err_msg=name)
    wrong = naive_shares(model, TEXTS[1], shift=-1)  # one position off: another number
    assert np.abs(found.share[1] - wrong["share"]).max() > 0.01
    pattern = attention_pattern(model, TEXTS[0].token_ids, 1)
    np.testing.assert_allclose(pattern, naive_weights(model, TEXTS[0].token_ids)[1], atol=3e-6)
    assert (np.triu(pattern, 1) == 0).all()


@pytest.mark.parametrize("family", ["gemma2", "mistral"])
def test_what_a_window_hides_is_not_visible(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family, sliding_window=4)
    each = replace(TEXTS[2], positions=(20,))
    found = attention_shares(model, [each])
    windowed = found.uniform_entropy[0]
    np.testing.assert_allclose(np.exp(windowed[0]), 4)
    if family == "gemma2":  # every second layer sees all
        np.testing.assert_allclose(np.exp(windowed[1]), 21)
    for name, values in naive_shares(model, each).items():
        np.testing.assert_allclose(getattr(found, name)[0], values, atol=3e-6, err_msg=name)


def test_padding_and_layers_in_hand_change_nothing(tiny_llama: LanguageModel) -> None:
    together = attention_shares(tiny_llama, TEXTS)
    for row, each in enumerate(TEXTS):
        alone = attention_shares(tiny_llama, [each], layers=[2, 1])
        assert alone.layers == (1, 2)
        np.testing.assert_allclose(alone.share[0], together.share[row, 1:], atol=1e-6)
        np.testing.assert_allclose(alone.entropy[0], together.entropy[row, 1:], atol=1e-5)
        np.testing.assert_array_equal(alone.uniform[0], together.uniform[row, 1:])


def test_sixteen_bits_are_summed_in_thirty_two(tiny_directory: Callable[..., Any], tiny_llama: LanguageModel) -> None:
    model = hneurons.load(str(tiny_directory("llama", layers=3)), device="cpu", dtype="bfloat16")
    found, exact = attention_shares(model, TEXTS), attention_shares(tiny_llama, TEXTS)
    np.testing.assert_allclose(found.share.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(found.share, exact.share, atol=0.03)
    np.testing.assert_array_equal(found.uniform, exact.uniform)


def test_an_answer_is_read_where_its_tokens_are_predicted(tiny_llama: LanguageModel) -> None:
    answered = Answered(
        key="q#0",
        eval_set="x",
        kind="",
        group="q",
        prompt_ids=(1, 7, 8),
        response_ids=(9, 10, 11),
        answer=(0, 2),
        hallucinated=True,
        segments=("first", "subject", "template"),
        fork=None,
        question=Question(id="q", text="?"),
        text="",
    )
    expected = Reading(
        (1, 7, 8, 9, 10, 11), ("first", "subject", "template", "response", "response", "response"), (2, 4)
    )
    assert reading(answered) == expected
    np.testing.assert_array_equal(
        attention_shares(tiny_llama, [answered]).share, attention_shares(tiny_llama, [expected]).share
    )


def test_lift_and_spread_know_the_length() -> None:
    share = np.array([[[[0.5, 0.5]]]])
    uniform = np.array([[[0.75, 0.25]]])
    entropy, most = np.array([[[np.log(2)]]]), np.array([[np.log(4)]])
    made = Shares((0,), handing.Implementation("sdpa", "eager"), share, uniform, entropy, most)
    np.testing.assert_allclose(made.lift, [[[[-0.25, 0.25]]]])
    np.testing.assert_allclose(made.spread, 0.5)
    alone = replace(made, entropy=np.zeros((1, 1, 1)), uniform_entropy=np.zeros((1, 1)))
    assert alone.spread.item() == 0


@pytest.mark.parametrize("family", ["llama", "gptj"])
def test_never_are_the_weights_of_two_layers_in_memory(
    family: str, tiny_model: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(family, layers=4)
    each = text(61, (60,), 5)  # a length that no other tensor has
    seen: list[weakref.ref[Tensor]] = []
    held: list[int] = []
    own = weights._Reduced.of

    def big() -> set[int]:
        """Memory of tensors at least as large as one layer's weights."""
        tensors = [each for each in gc.get_objects() if type(each) is Tensor]
        return {t.untyped_storage().data_ptr() for t in tensors if t.untyped_storage().nbytes() >= 4 * 4 * 61 * 61}

    def of(self: Any, layer: int, given: Tensor) -> Any:
        assert all(before() is None for before in seen)
        if layer == 3:
            held.append(len(big() - static))
        seen.append(weakref.ref(given))
        return own(self, layer, given)

    static = big() if family == "gptj" else set()  # a walk through all objects: once is enough
    monkeypatch.setattr(weights._Reduced, "of", of)
    attention_shares(model, [each], layers=[0, 1, 3] if family == "gptj" else [0, 1, 2])
    assert held == [1] * (family == "gptj")
    assert len(seen) == 3
    monkeypatch.setattr(handing, "_hook", keeping)
    held.clear()
    with pytest.raises(AssertionError):
        attention_shares(model, [each])


KEPT: list[Tensor] = []


def keeping(_model: Any, layer: int, reader: Any, _shape: Any) -> Callable[..., Any]:
    """A wrong hook, which keeps what it has read."""

    def hook(_module: Any, _arguments: Any, output: Any) -> None:
        KEPT.append(output[1])
        reader(output[1])

    return hook


def test_the_implementation_is_restored_after_an_error(
    tiny_model: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    for family in ("llama", "gemma3", "falcon"):
        model = tiny_model(family)
        configs = [model.hf.config, model.config]
        if model.anatomy.wrapper:
            configs.append(model.hf.config.vision_config)
            configs[-1]._attn_implementation = "eager"  # a part of its own
        before = [each._attn_implementation for each in configs]
        hooks = list(model.parts(0).attention._forward_hooks)

        def broken(*_: object) -> None:
            raise RuntimeError("in the pass")

        with monkeypatch.context() as patched:
            patched.setattr(weights._Reduced, "of", broken)
            with pytest.raises(RuntimeError, match="in the pass"):
                attention_shares(model, TEXTS)
        assert [each._attn_implementation for each in configs] == before
        assert before[0] == "sdpa"
        assert list(model.parts(0).attention._forward_hooks) == hooks
        assert not model.parts(0).attention._forward_pre_hooks
        if model.anatomy.wrapper:
            configs[-1]._attn_implementation = "sdpa"


def test_what_are_no_weights_of_its_own_is_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("llama")

    def refused(change: Callable[[Tensor], Any]) -> str:
        def hook(_module: Any, _arguments: Any, output: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Any]:
            return output[0], None if output[1] is None else change(output[1])

        handle = model.parts(1).attention.register_forward_hook(hook)
        try:
            with pytest.raises(ModelError) as raised:
                attention_shares(model, TEXTS)
        finally:
            handle.remove()
        return str(raised.value)

    assert "sum to 0.9, not to 1" in refused(lambda given: given * 0.9)
    assert "come later" in refused(lambda given: given.flip(-1))
    assert "hands out no weights" in refused(lambda given: None)
    assert "hands out (3, 21, 4, 21), where weights are (3, 4, 21, 21)" in refused(lambda given: given.transpose(1, 2))
    assert "not finite" in refused(lambda given: given * torch.nan)


def test_weights_that_the_model_does_not_use_are_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("gpt2", seed=4)

    def other(_module: Any, _arguments: Any, output: tuple[Tensor, Tensor | None]) -> Any:
        return None if output[1] is None else (output[0] * 2, output[1])  # with eager attention alone

    handle = model.parts(0).attention.register_forward_hook(other)
    with pytest.raises(ModelError, match="computes something else with eager attention than with its own, sdpa"):
        attention_shares(model, TEXTS)
    with pytest.raises(ModelError, match="computes something else"):
        attention_pattern(model, TEXTS[0].token_ids, 0)
    handle.remove()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token_ids": ()}, "empty"),
        ({"token_ids": (999,) * 13}, "outside 0 to"),
        ({"segments": ("first",)}, "13 tokens and 1 segments"),
        ({"positions": ()}, "ascending positions from 0 to 12"),
        ({"positions": (3, 3)}, "ascending positions"),
        ({"positions": (13,)}, "ascending positions"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(tiny_llama: LanguageModel, change: Any, reason: str) -> None:
    with pytest.raises(ResponseError, match=reason):
        attention_shares(tiny_llama, [replace(TEXTS[0], **change)])


def test_the_rest_that_is_refused(tiny_llama: LanguageModel) -> None:
    with pytest.raises(ResponseError, match="give at least one"):
        attention_shares(tiny_llama, [])
    with pytest.raises(ModelError, match="no layer 3"):
        attention_shares(tiny_llama, TEXTS, layers=[3])
    with pytest.raises(ResponseError, match="at most 256"):
        attention_pattern(tiny_llama, (7,) * 257, 0)
