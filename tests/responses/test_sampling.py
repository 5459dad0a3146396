from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList, StaticCache, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from hneurons.errors import ModelError, ResponseError, UnsupportedModelError
from hneurons.models.language_model import LanguageModel
from hneurons.responses import sampling as sampling_module
from hneurons.responses import tree as tree_module
from hneurons.responses.kept import Kept
from hneurons.responses.noise import gumbel, question_keys
from hneurons.responses.response import Response
from hneurons.responses.sampling import Prompt, Sampling, batches, choose, sample, sample_batch
from hneurons.responses.tree import Tree

# Random weights make flat logits: a low temperature leaves samples that share a start and then part.
SHORT = Sampling(n_samples=4, temperature=0.4, top_k=20, top_p=0.8, max_new_tokens=6, seed=3)


def ask(model: LanguageModel, *texts: str) -> list[Prompt]:
    return [Prompt(f"q{n}", tuple(model.tokenizer(text)["input_ids"])) for n, text in enumerate(texts)]


QUESTIONS = ("What is the capital of France?", "Oslo", "Who?", "The city of Oslo is in", "krone krone krone")


def naive(model: LanguageModel, prompt: Prompt, sampling: Sampling, index: int) -> tuple[int, ...]:
    """One sample alone: no batch, no cache, no mask; the whole vocabulary through the processors of transformers."""
    processors = LogitsProcessorList(
        [
            TemperatureLogitsWarper(sampling.temperature),
            TopKLogitsWarper(sampling.top_k),
            TopPLogitsWarper(sampling.top_p),
        ]
    )
    key = question_keys(sampling.seed, [prompt.question_id])
    said: list[int] = []
    while len(said) < sampling.max_new_tokens:
        ids = torch.tensor([[*prompt.token_ids, *said]])
        logits = model.hf(input_ids=ids, use_cache=False).logits[:, -1].float()
        scores = processors(ids, logits)[0].numpy().astype(np.float64)
        tokens = np.arange(len(scores))
        same = np.ones_like(tokens)
        token = int((scores + gumbel(np.repeat(key, len(tokens)), index * same, len(said) * same, tokens)).argmax())
        if token in model.eos_ids:
            break
        said.append(token)
    return tuple(said)


def token_ids(responses: Sequence[Sequence[Response]]) -> list[list[tuple[int, ...]]]:
    return [[response.token_ids for response in own] for own in responses]


def all_naive(model: LanguageModel, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[tuple[int, ...]]]:
    return [[naive(model, prompt, sampling, index) for index in range(sampling.n_samples)] for prompt in prompts]


def test_the_tree_samples_what_each_sample_alone_samples(
    tiny_family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(tiny_family)
    prompts = ask(model, *QUESTIONS[:3])
    expected = all_naive(model, prompts, SHORT)
    assert token_ids(sample(model, prompts, SHORT)) == expected
    assert any(len(set(own)) > 1 for own in expected), "nothing ever splits: the test shows little"


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("mistral", {"sliding_window": 5}),
        ("gemma2", {"sliding_window": 5}),
        ("gemma3_text", {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}),
    ],
)
def test_the_tree_is_exact_with_sliding_windows(
    tiny_model: Callable[..., LanguageModel], family: str, settings: dict[str, object]
) -> None:
    """Prompts shorter and longer than the window, which a response grows out of."""
    model = tiny_model(family, **settings)
    prompts = ask(model, "Oslo", QUESTIONS[0])
    assert len(prompts[0].token_ids) < 5 < len(prompts[1].token_ids)
    assert token_ids(sample(model, prompts, SHORT)) == all_naive(model, prompts, SHORT)


def test_attended_padding_would_be_seen(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Tree._forward

    def without_mask(self: Tree, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        self._mask = torch.ones_like(self._mask)
        return forward(self, tokens, positions)

    prompts = ask(tiny_llama, *QUESTIONS)
    expected = all_naive(tiny_llama, prompts, SHORT)
    assert token_ids(sample(tiny_llama, prompts, SHORT)) == expected
    monkeypatch.setattr(Tree, "_forward", without_mask)
    assert token_ids(sample(tiny_llama, prompts, SHORT)) != expected


def test_another_branch_s_cache_would_be_seen(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    grow = Tree.grow
    prompts = ask(tiny_llama, *QUESTIONS)
    expected = token_ids(sample(tiny_llama, prompts, SHORT))
    monkeypatch.setattr(Tree, "grow", lambda self, parents, tokens: grow(self, parents[::-1].copy(), tokens))
    assert token_ids(sample(tiny_llama, prompts, SHORT)) != expected


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_batch_size_and_order_change_nothing(tiny_model: Callable[..., LanguageModel], family: str) -> None:
    model = tiny_model(family)
    prompts = ask(model, *QUESTIONS)
    expected = sample(model, prompts, SHORT)
    assert sample(model, prompts[::-1], SHORT) == expected[::-1]
    for size in (1, 2, 3):
        parts = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        assert [own for part in parts for own in sample(model, part, SHORT)] == expected


def test_more_samples_leave_the_first_ones_as_they_are(tiny_llama: LanguageModel) -> None:
    prompts = ask(tiny_llama, *QUESTIONS)
    more = sample(tiny_llama, prompts, SHORT.model_copy(update={"n_samples": 9}))
    assert [own[:4] for own in more] == sample(tiny_llama, prompts, SHORT)


def test_seed_and_question_id_change_the_samples(tiny_llama: LanguageModel) -> None:
    prompts = ask(tiny_llama, *QUESTIONS)
    said = token_ids(sample(tiny_llama, prompts, SHORT))
    assert said == token_ids(sample(tiny_llama, prompts, SHORT))
    assert said != token_ids(sample(tiny_llama, prompts, SHORT.model_copy(update={"seed": 4})))
    renamed = [Prompt(prompt.question_id + "x", prompt.token_ids) for prompt in prompts]
    assert said != token_ids(sample(tiny_llama, renamed, SHORT))


def test_every_distinct_prefix_is_forwarded_once(tiny_llama: LanguageModel) -> None:
    prompts = ask(tiny_llama, *QUESTIONS)
    forwarded = []
    hook = tiny_llama.hf.register_forward_pre_hook(
        lambda module, args, kwargs: forwarded.append(int(kwargs["input_ids"].numel())), with_kwargs=True
    )
    batch = sample_batch(tiny_llama, prompts, SHORT)
    hook.remove()
    prefixes = {
        (response.question_id, response.token_ids[:n])
        for own in batch.responses
        for response in own
        for n in range(1, len(response.token_ids) + (response.finish == "stop"))
    }
    assert batch.tokens_forwarded_prompt == sum(len(prompt.token_ids) for prompt in prompts)
    assert batch.tokens_forwarded_decode == len(prefixes) == sum(forwarded[1:])
    said = sum(len(response.token_ids) for own in batch.responses for response in own)
    assert batch.tokens_forwarded_decode < said, "something is shared"


def test_greedy_samples_are_one_branch(tiny_llama: LanguageModel) -> None:
    prompts = ask(tiny_llama, "Oslo")
    batch = sample_batch(tiny_llama, prompts, SHORT.model_copy(update={"temperature": 0.0}))
    assert len(set(token_ids(batch.responses)[0])) == 1
    assert batch.tokens_forwarded_decode <= SHORT.max_new_tokens - 1


LONG = Sampling(n_samples=30, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=40, seed=0)


def test_responses_end_with_the_turn_or_at_the_cap(tiny_llama: LanguageModel) -> None:
    """Nothing limits the tokens here: among 300 the end of the turn is not rare."""
    responses = sample(tiny_llama, ask(tiny_llama, "Oslo"), LONG)[0]
    assert {response.finish for response in responses} == {"stop", "length"}
    assert [response.sample for response in responses] == list(range(30))
    for response in responses:
        assert not set(response.token_ids) & tiny_llama.eos_ids
        assert (len(response.token_ids) == 40) == (response.finish == "length")


def test_text_and_offsets_are_those_of_the_tokens(tiny_llama: LanguageModel) -> None:
    for response in sample(tiny_llama, ask(tiny_llama, "Oslo"), LONG)[0]:
        assert response.text == tiny_llama.tokenizer.decode(response.token_ids, skip_special_tokens=True)
        assert len(response.offsets) == len(response.token_ids)
        assert "".join(response.text[first:last] for first, last in response.offsets) == response.text


def test_a_stop_string_ends_a_response(tiny_llama: LanguageModel) -> None:
    prompts = ask(tiny_llama, "Oslo", "Who?")
    free = sample(tiny_llama, prompts, LONG)
    sampling = LONG.model_copy(update={"stop": ("e", "is")})
    stopped = sample_batch(tiny_llama, prompts, sampling)
    met = 0
    for before, after in zip(chain(*free), chain(*stopped.responses), strict=True):
        end = min((before.text.find(string) for string in sampling.stop if string in before.text), default=None)
        if end is None:
            assert after == before
            continue
        met += 1
        assert (after.text, after.finish) == (before.text[:end], "stop")
        assert after.token_ids == before.token_ids[: len(after.token_ids)]
        assert all(first < end for first, last in after.offsets if first < last)
        assert max((last for _, last in after.offsets), default=0) == end
    assert 10 < met < 60
    assert stopped.tokens_forwarded_decode < 0.8 * sample_batch(tiny_llama, prompts, LONG).tokens_forwarded_decode


def test_chosen_tokens_are_the_largest_of_logit_plus_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    counts = np.array([3, 1, 50, 2])
    kept = Kept(rng.normal(size=56).astype(np.float32), rng.permutation(56), counts)
    rows, samples = rng.integers(0, 4, 40), np.arange(40)
    keys = question_keys(0, ["a", "b"]).repeat(20)
    expected = []
    for row, key, number in zip(rows, keys, samples, strict=True):
        start = counts[:row].sum()
        tokens, logits = (a[start : start + counts[row]] for a in (kept.tokens, kept.logits))
        scores = [
            float(logit) + gumbel(*(np.array([x]) for x in (key, number, 7, token)))[0]
            for token, logit in zip(tokens, logits, strict=True)
        ]
        expected.append(tokens[int(np.argmax(scores))])
    assert choose(kept, rows, keys, samples, 7).tolist() == expected
    assert choose(kept, rows, keys, samples, 8).tolist() != expected
    monkeypatch.setattr(sampling_module, "_AT_ONCE", 60)
    assert choose(kept, rows, keys, samples, 7).tolist() == expected


def test_batches_are_by_length_whatever_the_order() -> None:
    prompts = [Prompt(f"q{n}", (1,) * (1 + n % 3)) for n in range(10)]
    made = batches(prompts, 4)
    assert made == batches(prompts[::-1], 4)
    assert [len(batch) for batch in made] == [4, 4, 2]
    assert sorted(chain(*made), key=prompts.index) == prompts
    lengths = [len(prompt.token_ids) for batch in made for prompt in batch]
    assert lengths == sorted(lengths)


def test_nothing_asked_nothing_said(tiny_llama: LanguageModel) -> None:
    assert sample(tiny_llama, [], SHORT) == []
    assert batches([], 3) == []


def test_unusable_prompts_are_refused(tiny_llama: LanguageModel) -> None:
    with pytest.raises(ResponseError, match="two prompts have the question id 'q'"):
        sample(tiny_llama, [Prompt("q", (1,)), Prompt("q", (2,))], SHORT)
    with pytest.raises(ResponseError, match="two prompts"):
        batches([Prompt("q", (1,)), Prompt("q", (2,))], 1)
    with pytest.raises(ResponseError, match="at least one"):
        batches([Prompt("q", (1,))], 0)
    with pytest.raises(ResponseError, match="no tokens"):
        sample(tiny_llama, [Prompt("q", ())], SHORT)
    with pytest.raises(ResponseError, match="outside 0 to"):
        sample(tiny_llama, [Prompt("q", (1, 100_000))], SHORT)
    longest = tiny_llama.hf.config.max_position_embeddings
    fits = (1,) * (longest - SHORT.max_new_tokens + 1)
    with pytest.raises(ResponseError, match="do not fit"):
        sample(tiny_llama, [Prompt("q", (*fits, 1))], SHORT)


def test_a_prompt_may_fill_a_model_with_learned_positions(tiny_model: Callable[..., LanguageModel]) -> None:
    for family in ("gpt2", "opt"):
        model = tiny_model(family)
        fits = (5,) * (model.hf.config.max_position_embeddings - SHORT.max_new_tokens + 1)
        assert len(sample(model, [Prompt("q", fits)], SHORT)[0]) == SHORT.n_samples


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_samples": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 1.1},
        {"top_k": -1},
        {"stop": ("",)},
    ],
)
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_logits_that_are_no_numbers_are_refused(tiny_llama: LanguageModel) -> None:
    hook = tiny_llama.hf.lm_head.register_forward_hook(lambda module, args, output: output * torch.nan)
    try:
        with pytest.raises(ModelError, match="not finite"):
            sample(tiny_llama, ask(tiny_llama, "Oslo"), SHORT)
    finally:
        hook.remove()


def test_a_cache_that_cannot_be_selected_is_refused(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "DynamicCache", lambda config: StaticCache(config, max_cache_len=64))
    with pytest.raises(UnsupportedModelError, match="StaticLayer"):
        sample(tiny_llama, ask(tiny_llama, "Oslo"), SHORT)


def test_a_model_that_ignores_the_cache_is_refused(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = tiny_llama.hf.forward
    monkeypatch.setattr(
        tiny_llama.hf, "forward", functools.wraps(forward)(lambda past_key_values, **given: forward(**given))
    )
    with pytest.raises(UnsupportedModelError, match="did not fill"):
        sample(tiny_llama, ask(tiny_llama, "Oslo"), SHORT)
