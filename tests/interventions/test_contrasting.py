"""Contrastive decoding against the formula, position by position and token by token."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import activations, contrast, scale
from hneurons.interventions.contrasting import jensen_shannon
from hneurons.models.language_model import LanguageModel
from hneurons.models.tail import Tail
from hneurons.responses.sampling import Prompt, Sampling, sample

Logits = Callable[..., list[Tensor]]
Batch = Callable[..., dict[str, Any]]
Prompts = list[tuple[int, ...]]


def probabilities(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits.astype(np.float64) - logits.max())
    return raised / raised.sum()


def naive(final: Tensor, early: Sequence[Tensor], plausible: float) -> tuple[np.ndarray, int]:
    """One position: F of every token, and the number of the early layer that was taken."""
    p = probabilities(final.numpy())
    candidates = [probabilities(each.numpy()) for each in early]
    distances = [jensenshannon(p, q) ** 2 for q in candidates]
    taken = int(np.argmax(distances))
    found = np.full(len(p), -np.inf)
    for x in range(len(p)):
        if p[x] >= plausible * p.max():
            found[x] = math.log(p[x]) - math.log(candidates[taken][x])
    return found, taken


@pytest.mark.parametrize("early", [0, (0, 1, 2)])
def test_formula(
    tiny_family: str, early: Any, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    model = tiny_model(tiny_family, layers=4)
    plain = logits(model, prompts)
    with contrast(model, early, plausible=0.3):
        found = logits(model, prompts, "left")
    tail, chosen = Tail(model), [early] if isinstance(early, int) else list(early)
    taken = set()
    for row, prompt in enumerate(prompts):
        streams = activations(model, [prompt], "residual", chosen).values
        lenses = [tail(streams[layer]) for layer in chosen]
        for position in range(len(prompt)):
            expected, layer = naive(plain[row][position], [lens[position] for lens in lenses], 0.3)
            taken.add(layer)
            held = found[row][position].double().numpy()
            assert ((held > -np.inf) == (expected > -np.inf)).mean() > 0.99  # one may lie on the edge
            both = (held > -np.inf) & (expected > -np.inf)
            np.testing.assert_allclose(held[both], expected[both], rtol=2e-3, atol=2e-3)
    if len(chosen) > 1 and tiny_family in ("opt", "bloom", "falcon"):
        assert len(taken) > 1  # so that one layer for all positions would show


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_unembedding_by_hand(
    family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    """Without the tail that the code uses: norm, unembedding and cap as the architecture has them."""
    model = tiny_model(family, layers=3)
    stream = activations(model, prompts[:1], "residual", [1]).values[1]
    norm = model.hf.transformer.ln_f if family == "gpt2" else model.hf.model.norm
    early = model.hf.lm_head(norm(stream))
    if family == "gemma2":
        early = 30.0 * torch.tanh(early / 30.0)
    (plain,) = logits(model, prompts[:1])
    with contrast(model, 1, plausible=0.0):
        (found,) = logits(model, prompts[:1])
    torch.testing.assert_close(found, plain.log_softmax(-1) - early.log_softmax(-1), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, plain - model.hf.lm_head(stream), atol=1e-2)  # the norm left out


def test_divergence_against_scipy() -> None:
    random = np.random.default_rng(0)
    p, q = random.dirichlet(np.ones(20), size=5), random.dirichlet(np.ones(20), size=5)
    q[0] = p[0]
    found = jensen_shannon(torch.from_numpy(np.log(p)), torch.from_numpy(np.log(q)))
    np.testing.assert_allclose(found, jensenshannon(p, q, axis=1) ** 2, atol=1e-12)
    apart = torch.tensor([[0.0, -torch.inf]]), torch.tensor([[-torch.inf, 0.0]])
    assert float(jensen_shannon(*apart)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "falcon", "gemma2"])
def test_sampling_decodes_what_the_whole_text_says(
    family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    """Greedy, with a cache and the last logits alone, against one pass over prompt and response."""
    model = tiny_model(family, layers=3)
    how = Sampling(n_samples=1, temperature=0, max_new_tokens=6)
    asked = [Prompt(str(i), ids) for i, ids in enumerate(prompts)]
    with contrast(model, (0, 1)):
        said = [response.token_ids for (response,) in sample(model, asked, how)]
        again = logits(model, [(*ids, *own) for ids, own in zip(prompts, said, strict=True)])
    for ids, own, found in zip(prompts, said, again, strict=True):
        assert own == tuple(found[len(ids) - 1 : -1].argmax(-1).tolist())
    assert said != [response.token_ids for (response,) in sample(model, asked, how)]


def test_logits_that_are_named(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    ids = torch.tensor(prompts[:1])
    with contrast(tiny_llama, 0):
        whole = tiny_llama.hf(input_ids=ids).logits
        last = tiny_llama.hf(input_ids=ids, logits_to_keep=2).logits
        named = tiny_llama.hf(input_ids=ids, logits_to_keep=torch.tensor([1, 4])).logits
    torch.testing.assert_close(last, whole[:, -2:])
    torch.testing.assert_close(named, whole[:, [1, 4]])


def test_within_another_block_and_around_one(tiny_llama: LanguageModel, prompts: Prompts, logits: Logits) -> None:
    neurons = [(2, index) for index in range(48)]
    with contrast(tiny_llama, 1), scale(tiny_llama, neurons, 0.0):
        around = logits(tiny_llama, prompts)
    with scale(tiny_llama, neurons, 0.0), contrast(tiny_llama, 1):
        within = logits(tiny_llama, prompts)
    with contrast(tiny_llama, 1):
        alone = logits(tiny_llama, prompts)
    assert torch.equal(around[0], within[0])
    assert not torch.equal(around[0], alone[0])


def test_it_is_over_after_an_exception(
    tiny_llama: LanguageModel, prompts: Prompts, logits: Logits, hooks: Callable[[LanguageModel], int]
) -> None:
    before, plain = hooks(tiny_llama), logits(tiny_llama, prompts)
    with contrast(tiny_llama, 1):
        assert hooks(tiny_llama) > before
    with pytest.raises(ZeroDivisionError), contrast(tiny_llama, 1):
        raise ZeroDivisionError
    assert hooks(tiny_llama) == before
    assert all(torch.equal(a, b) for a, b in zip(logits(tiny_llama, prompts), plain, strict=True))


def test_a_model_whose_tail_is_another_is_refused(tiny_llama: LanguageModel, prompts: Prompts, batch: Batch) -> None:
    other = LanguageModel(copy.deepcopy(tiny_llama.hf), tiny_llama.tokenizer, tiny_llama.anatomy, name="other")
    other.hf.lm_head.register_forward_hook(lambda module, args, output: output * 2)
    tail = Tail(other)
    assert tail.modules  # both go through the doubled head, so that the two still agree
    with contrast(other, 1):
        other.hf(**batch(other, prompts, "left"))
    other.hf.register_forward_hook(lambda module, args, output: setattr(output, "logits", output.logits + 1 / 7))
    with pytest.raises(ModelError, match="does not lead"), contrast(other, 1):
        other.hf(**batch(other, prompts, "left"))


def test_what_makes_no_sense_is_refused(tiny_llama: LanguageModel, as_a_user_calls: None) -> None:
    cases: Sequence[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (2, {}, InterventionError, "not the last"),
        ((), {}, InterventionError, "at least one"),
        (5, {}, ModelError, "no layer 5"),
        (0, {"plausible": 1.5}, InterventionError, "between 0 and 1"),
    ]
    for early, named, error, message in cases:
        with pytest.raises(error, match=message), contrast(tiny_llama, early, **named):
            pass
    with pytest.raises(InterventionError, match="no logits"), contrast(tiny_llama, 0):
        tiny_llama.hf(input_ids=torch.tensor([[5, 6]]), return_dict=False)
