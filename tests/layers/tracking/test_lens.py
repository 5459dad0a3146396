"""The logit lens against transformers' own hidden states, norm and head, token by token in numpy's float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hneurons.errors import AnatomyMismatchError, ModelError, ResponseError
from hneurons.layers.tracking.lens import LensReading, logit_lens
from hneurons.models.language_model import LanguageModel
from hneurons.models.tail import Tail

TEXTS = [[5, 9, 17, 40, 33, 21, 8], [11, 60, 71], [90, 14, 3, 77, 28]]
POSITIONS = [[1, 4, 6], [2], [0, 3]]
TOKENS = [[33, 8], [12, 0], [0, 55], [40, -1], [7, 9], [100, 101]]

CAP = "final_logit_softcapping"
Norm = Callable[[torch.Tensor], torch.Tensor]


def _norm_and_projection(model: LanguageModel, normed: bool) -> Norm:
    """The final norm as each architecture calls it, found by hand and not by the model's row."""
    hf: Any = model.hf
    match type(hf).__name__:
        case "OPTForCausalLM":
            decoder = hf.model.decoder
            steps = [decoder.final_layer_norm if normed else None, decoder.project_out]
        case "GPT2LMHeadModel" | "GPTJForCausalLM" | "BloomForCausalLM" | "FalconForCausalLM":
            steps = [hf.transformer.ln_f]
        case "GPTNeoXForCausalLM":
            steps = [hf.gpt_neox.final_layer_norm]
        case "PhiForCausalLM":
            steps = [hf.model.final_layernorm]
        case "Mistral3ForConditionalGeneration" | "Gemma3ForConditionalGeneration":
            steps = [hf.model.language_model.norm]
        case _:
            steps = [hf.model.norm]

    steps = steps if normed or len(steps) > 1 else []

    def apply(states: torch.Tensor) -> torch.Tensor:
        for step in steps:
            states = states if step is None else step(states)
        return states

    return apply


def _processed(model: LanguageModel, logits: np.ndarray) -> np.ndarray:
    match model.anatomy.model_type:
        case "gemma2":
            return np.asarray(30.0 * np.tanh(logits / 30.0))
        case "granite":
            return np.asarray(logits / 3.0)
        case "cohere" | "cohere2":
            return np.asarray(logits * 0.0625)
    return logits


def naive(model: LanguageModel, text: list[int], position: int, *, normed: bool = True, shift: int = 0) -> np.ndarray:
    """Logits (depths, vocab) at one position, text by text without padding; the last depth is the model's own."""
    norm = _norm_and_projection(model, normed)
    with torch.no_grad():
        out = model.hf(input_ids=torch.tensor([text]), output_hidden_states=True, use_cache=False)
    head: Any = model.hf.get_output_embeddings()
    weight = head.weight.detach().double().numpy()
    bias = 0.0 if head.bias is None else head.bias.detach().double().numpy()
    found = []
    for depth in range(model.n_layers):
        state = out.hidden_states[min(depth + shift, model.n_layers - 1)][:, position]
        with torch.no_grad():
            state = norm(state)
        found.append(_processed(model, weight @ state[0].double().numpy() + bias))
    found.append(out.logits[0, position].double().numpy())
    return np.array(found)


def expected(model: LanguageModel, **variant: Any) -> Iterator[SimpleNamespace]:
    places = [(text, at) for text, own in zip(TEXTS, POSITIONS, strict=True) for at in own]
    for (text, at), asked in zip(places, TOKENS, strict=True):
        logits = naive(model, text, at, **variant)
        logp = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        logp -= logits.max(-1, keepdims=True)
        p = np.exp(logp)
        rival = next(i for i in np.argsort(-logp[-1]) if i not in asked)
        followed = [*asked, int(rival)]
        yield SimpleNamespace(
            followed=followed,
            log_prob=np.array([[row[i] if i >= 0 else np.nan for i in followed] for row in logp]),
            rank=np.array([[1 + (row > row[i] + 1e-6).sum() if i >= 0 else 0 for i in followed] for row in logp]),
            entropy=-(p * logp).sum(-1),
            kl=(p[-1] * (logp[-1] - logp)).sum(-1),
            top=logp.argmax(-1),
        )


def agrees(model: LanguageModel, read: LensReading, **variant: Any) -> bool:
    return all(
        np.array_equal(read.tokens[i], each.followed)
        and np.allclose(read.log_prob[i], each.log_prob, atol=2e-4, equal_nan=True)
        and np.array_equal(read.rank[i], each.rank)
        and np.array_equal(read.top[i], each.top)
        and np.allclose(read.entropy[i], each.entropy, atol=2e-4)
        and np.allclose(read.kl[i], each.kl, atol=2e-4)
        for i, each in enumerate(expected(model, **variant))
    )


def test_every_family_against_its_own_hidden_states(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    read = logit_lens(model, TEXTS, POSITIONS, TOKENS, batch_rows=2)
    assert agrees(model, read)
    if tiny_family != "opt-norm-last":  # which has no final norm to leave out
        assert not agrees(model, read, normed=False)
    assert not agrees(model, read, shift=1)
    assert np.abs(read.kl[:, -1]).max() < 1e-6


def test_the_last_layer_is_held_against_the_models_own_logits(tiny_model: Callable[..., LanguageModel]) -> None:
    for family, tail in (("llama", ()), ("gpt2", ()), ("llama", ("model.layers.1.input_layernorm",))):
        model = tiny_model(family, seed=3)
        row = model.anatomy
        model.anatomy = replace(row, tail=tail)
        try:
            with pytest.raises(ModelError, match="no lens can look"):
                logit_lens(model, TEXTS, POSITIONS)
        finally:
            model.anatomy = row
    logits = {"granite": ("logits_scaling", 1.0), "cohere": ("logit_scale", 1.0), "gemma2": (CAP, None)}
    for family, (name, wrong) in logits.items():
        model = tiny_model(family, seed=3)
        tail_ = Tail(model)
        before = getattr(model.config, name)
        setattr(model.config, name, wrong)
        changed = Tail(model)
        setattr(model.config, name, before)
        states = 20 * torch.randn(3, model.hidden_size)
        assert tail_.check(states, tail_(states)) == 0
        with pytest.raises(ModelError, match="relative difference"):
            changed.check(states, tail_(states))


def test_a_missing_module_is_named(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("llama", seed=3)
    row = model.anatomy
    model.anatomy = replace(row, tail=("model.final",))
    try:
        with pytest.raises(AnatomyMismatchError, match=r"no module model\.final"):
            Tail(model)
    finally:
        model.anatomy = row


def test_rows_do_not_depend_on_batches_and_no_tokens_are_needed(tiny_llama: LanguageModel) -> None:
    alone = logit_lens(tiny_llama, TEXTS, POSITIONS, TOKENS, batch_rows=1)
    together = logit_lens(tiny_llama, TEXTS, POSITIONS, TOKENS, batch_rows=8)
    np.testing.assert_allclose(alone.log_prob, together.log_prob, atol=1e-5)
    assert np.array_equal(alone.rank, together.rank)
    plain = logit_lens(tiny_llama, TEXTS, POSITIONS)
    assert plain.tokens.shape == (6, 1)
    assert np.array_equal(plain.tokens[:, 0], plain.top[:, -1])
    apart = logit_lens(tiny_llama, TEXTS, POSITIONS, [[int(top), int(top)] for top in plain.top[:, -1]], apart=0)
    assert np.array_equal(apart.tokens[:, -1], plain.top[:, -1])


@pytest.mark.parametrize(
    ("texts", "positions", "tokens"),
    [
        ([], [], None),
        ([[1, 2]], [[2]], None),
        ([[1, 2]], [[1, 0]], None),
        ([[1, 2]], [[-1]], None),
        ([[1, 2]], [[]], None),
        ([[1, 99999]], [[0]], None),
        ([[]], [[0]], None),
        ([[1, 2]], [[0], [1]], None),
        ([[1, 2]], [[0, 1]], [[1]]),
        ([[1, 2]], [[0, 1]], [[1], [1, 2]]),
        ([[1, 2]], [[0]], [[99999]]),
        ([[1] * 300], [[0]], None),
    ],
)
def test_what_cannot_be_read_is_refused(tiny_llama: LanguageModel, texts: Any, positions: Any, tokens: Any) -> None:
    with pytest.raises(ResponseError):
        logit_lens(tiny_llama, texts, positions, tokens)
