"""The gate against a model that is run anew for every token: no cache, no batch, neurons turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

import numpy as np
import pytest
import torch
from tests.interventions.naive_gate import (
    ALPHA,
    PROMPTS,
    TURNED,
    Naive,
    batch,
    between,
    generated,
    logits,
    said,
    untouched,
    worst,
)
from transformers import DynamicCache

from hneurons.interventions import gate
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe


def test_a_batch_of_prompts_matches_the_naive_gate_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel], probe_of: Callable[[LanguageModel], Probe]
) -> None:
    model = tiny_model(tiny_family)
    probe = probe_of(model)
    threshold = between(model, probe)
    plain = logits(model)
    with gate(model, probe, threshold=threshold, alpha=ALPHA, neurons=TURNED) as count:
        found = logits(model)
    naives = [Naive(model, probe, threshold) for _ in PROMPTS]
    assert worst(found, naives) < 2e-5
    assert worst(plain, naives) > 1e-4  # the gate does something
    assert torch.equal(logits(model), plain)
    assert untouched(model)
    turned = sum(len(naive.turned) for naive in naives)
    assert 0 < turned < sum(map(len, PROMPTS))
    assert (count.tokens.sum(), count.turned.sum(), count.passes, count.repeated) == (15, turned, 1, 1)
    assert count.share == turned / 15


@pytest.mark.parametrize("family", ["llama", "llama-bias", "gpt2", "opt", "falcon", "bloom", "gemma2", "gemma3"])
def test_generation_matches_the_naive_gate(
    family: str, tiny_model: Callable[..., LanguageModel], probe_of: Callable[[LanguageModel], Probe]
) -> None:
    model = tiny_model(family)
    probe = probe_of(model)
    threshold = between(model, probe)
    naives = [Naive(model, probe, threshold) for _ in PROMPTS]
    expected = [naive.say(ids, 6) for naive, ids in zip(naives, PROMPTS, strict=True)]
    with gate(model, probe, threshold=threshold, alpha=ALPHA, neurons=TURNED) as count:
        assert said(model) == expected
        sampled = np.concatenate([count.tokens, count.turned, [count.passes]])
        assert generated(model) == expected
    doubled = np.concatenate([count.tokens, count.turned, [count.passes]])
    assert untouched(model)
    assert count.turned[0] == 2 * sum(len(naive.turned) for naive in naives)
    assert count.tokens[0] == 2 * sum(len(naive.scores) for naive in naives)
    assert (doubled == 2 * sampled).all()
    assert 0 < count.repeated <= count.passes == 12
    assert said(model) != expected  # and without the gate it says something else


@pytest.mark.parametrize("family", ["mistral", "gemma3_text"])
def test_a_sliding_window_is_taken_back_exactly(
    family: str, tiny_model: Callable[..., LanguageModel], probe_of: Callable[[LanguageModel], Probe]
) -> None:
    model = tiny_model(family, sliding_window=5)  # shorter than the prompts and what follows them
    probe = probe_of(model)
    threshold = between(model, probe, 0.2)
    naives = [Naive(model, probe, threshold) for _ in PROMPTS]
    expected = [naive.say(ids, 6) for naive, ids in zip(naives, PROMPTS, strict=True)]
    with gate(model, probe, threshold=threshold, alpha=ALPHA, neurons=TURNED) as count:
        assert said(model) == expected
        assert generated(model) == expected
    assert count.repeated > 2
    assert expected != said(model)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_neither_scored_nor_turned(
    side: str, tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    probe = probe_of(tiny_llama)
    threshold = between(tiny_llama, probe)
    inside: list[torch.Tensor] = []
    with (
        gate(tiny_llama, probe, threshold=threshold, alpha=ALPHA, neurons=TURNED) as count,
        tiny_llama.down(0).register_forward_hook(lambda module, args, out: inside.append(args[0].clone())),
    ):
        found = logits(tiny_llama, **batch(side))
    naives = [Naive(tiny_llama, probe, threshold) for _ in PROMPTS]
    assert worst(found, naives, side) < 2e-5
    assert count.tokens[0] == batch()["attention_mask"].sum() == 15
    changed = (inside[0] != inside[1]).any(dim=-1)
    expected = torch.zeros_like(changed)
    for row, (naive, ids) in enumerate(zip(naives, PROMPTS, strict=True)):
        for t in naive.turned:
            expected[row, t + (0 if side == "right" else changed.shape[1] - len(ids))] = True
    assert torch.equal(changed, expected)


def test_the_comparison_notices_a_bias_left_in_and_a_turned_neighbour(
    tiny_model: Callable[..., LanguageModel], probe_of: Callable[[LanguageModel], Probe]
) -> None:
    model = tiny_model("llama-bias")
    probe = probe_of(model)
    right, biased = Naive(model, probe, 2.0), Naive(model, probe, 2.0, keep_bias=True)
    for naive in (right, biased):
        naive.read(PROMPTS[0])
    token = int(np.argmax(np.abs(np.array(right.scores) - biased.scores)))
    threshold = (right.scores[token] + biased.scores[token]) / 2
    with gate(model, probe, threshold=threshold, alpha=ALPHA, neurons=TURNED):
        found = logits(model)
    assert worst(found, [Naive(model, probe, threshold) for _ in PROMPTS]) < 2e-5
    for mistake in ({"keep_bias": True}, {"shift": 1}, {"shift": -1}, {"alpha": 2.4}):
        assert worst(found, [Naive(model, probe, threshold, **mistake) for _ in PROMPTS]) > 1e-4


def test_without_announcement_row_i_is_prompt_i(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    probe = probe_of(tiny_llama)
    threshold, alphas = between(tiny_llama, probe), [0.0, 1.0, 3.0]
    with gate(tiny_llama, probe, threshold=threshold, alpha=alphas, neurons=TURNED):
        found = logits(tiny_llama)
    naives = [Naive(tiny_llama, probe, threshold, alpha=alpha) for alpha in alphas]
    assert worst(found, naives) < 2e-5
    assert worst(found, [Naive(tiny_llama, probe, threshold, alpha=alpha) for alpha in alphas[::-1]]) > 1e-4


def test_caches_that_the_pass_fills_makes_or_lacks(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    probe = probe_of(tiny_llama)
    threshold = between(tiny_llama, probe)
    anew = [[*ids] for ids in PROMPTS]
    for _ in range(6):  # without a cache a pass holds the whole sequence, and all of it is scored before it is turned
        for ids in anew:
            ids.append(int(Naive(tiny_llama, probe, threshold, alpha=8.0).read(ids)[-1].argmax()))
    with gate(tiny_llama, probe, threshold=threshold, alpha=8.0, neurons=TURNED) as count:
        expected = generated(tiny_llama)
        assert generated(tiny_llama, past_key_values=DynamicCache()) == expected  # its layers come with the first pass
        found = generated(tiny_llama, use_cache=False)
        with torch.no_grad():
            made = tiny_llama.hf(**batch(), use_cache=True).past_key_values
    assert made.get_seq_length() == 7  # not twice that
    assert count.repeated > 6
    for own, ids, prompt in zip(found, anew, PROMPTS, strict=True):
        assert own == list(takewhile(lambda token: token not in tiny_llama.eos_ids, ids[len(prompt) :]))
    assert found != expected
