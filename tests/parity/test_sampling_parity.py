"""What may be sampled, and how often, against transformers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hneurons.models.language_model import LanguageModel
from hneurons.responses.kept import keep
from hneurons.responses.sampling import Prompt, Sampling, sample


def in_order(temperature: float, top_k: int, top_p: float) -> list[LogitsProcessor]:
    """What `generate` makes of these settings."""
    processors: list[LogitsProcessor] = [TemperatureLogitsWarper(temperature)]
    if top_k:
        processors.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        processors.append(TopPLogitsWarper(top_p))
    return processors


def processed_alike(logits: torch.Tensor, temperature: float, top_k: int, top_p: float, ours: bool = True) -> bool:
    """Whether `keep` and the processors (in order, or in the opposite order) leave the same logits on the same tokens.

    Where top-p cuts between equal logits, theirs drops any of them: then only the logits must be the same.
    """
    processors = in_order(temperature, top_k, top_p)
    expected = LogitsProcessorList(processors if ours else processors[::-1])(torch.zeros(len(logits), 1), logits)
    kept = keep(logits, temperature, top_k, top_p)
    got = torch.full_like(logits, -torch.inf)
    row = np.repeat(np.arange(len(logits)), kept.counts)
    got[row, kept.tokens] = torch.from_numpy(kept.logits)
    other = (got != expected).any(dim=-1)
    may_differ = torch.tensor([len(x.unique()) < len(x) for x in logits])
    return torch.equal(got.sort().values, expected.sort().values) and not bool((other & ~may_differ).any())


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 5, 50, 1000, 3000]),
    st.integers(0, 60),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 1.0]) | st.floats(0.01, 0.99),
    st.sampled_from([0.3, 0.7, 1.0, 1.5]),
    st.sampled_from([0.0, 0.25, 1.0]),
)
@settings(max_examples=200, deadline=None)
def test_the_same_tokens_are_kept_with_the_same_logits(
    seed: int, vocabulary: int, top_k: int, top_p: float, temperature: float, step: float
) -> None:
    logits = torch.randn(4, vocabulary, generator=torch.Generator().manual_seed(seed)) * 3
    if step:
        logits = (logits / step).round() * step
    assert processed_alike(logits, temperature, top_k, top_p)


def test_another_order_of_the_processors_would_be_seen() -> None:
    logits = torch.randn(50, 200, generator=torch.Generator().manual_seed(0)) * 3
    assert processed_alike(logits, 1.5, 20, 0.8)
    assert not processed_alike(logits, 1.5, 20, 0.8, ours=False)


@pytest.fixture(scope="module")
def loud(tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model("llama", layers=1)


SETTINGS = Sampling(n_samples=6000, temperature=1.6, top_k=6, top_p=0.75, max_new_tokens=2, seed=11)
PROMPT = (1, 40, 50, 60)


@pytest.fixture(scope="module")
def ours(loud: LanguageModel) -> Counter[tuple[int, ...]]:
    return Counter(response.token_ids for response in sample(loud, [Prompt("q", PROMPT)], SETTINGS)[0])


def generated(model: LanguageModel, **settings: object) -> Counter[tuple[int, ...]]:
    """As many samples by `generate`, cut at the end of the turn."""
    torch.manual_seed(5)
    ids = torch.tensor([PROMPT])
    made = model.hf.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        num_return_sequences=SETTINGS.n_samples,
        max_new_tokens=SETTINGS.max_new_tokens,
        pad_token_id=model.pad_id,
        **settings,
    )
    counts: Counter[tuple[int, ...]] = Counter()
    for row in made[:, len(PROMPT) :].tolist():
        end = next((n for n, token in enumerate(row) if token in model.eos_ids), len(row))
        counts[tuple(row[:end])] += 1
    return counts


def same_distribution(one: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> float:
    """p-value that two histograms come from one distribution; rare outcomes are pooled."""
    total = one + other
    frequent = [outcome for outcome, count in total.items() if count >= 20]
    table = [[counts[outcome] for outcome in frequent] for counts in (one, other)]
    rest = [counts.total() - sum(row) for counts, row in zip((one, other), table, strict=True)]
    if sum(rest):
        table = [[*row, r] for row, r in zip(table, rest, strict=True)]
    return float(stats.chi2_contingency(table).pvalue)


def test_samples_are_distributed_as_those_of_generate(loud: LanguageModel, ours: Counter[tuple[int, ...]]) -> None:
    theirs = generated(loud, temperature=SETTINGS.temperature, top_k=SETTINGS.top_k, top_p=SETTINGS.top_p)
    assert len(theirs) > 10
    assert same_distribution(ours, theirs) > 0.01


@pytest.mark.parametrize("order", ["top-p before top-k", "temperature last", "no top-p"])
def test_another_order_would_be_seen(loud: LanguageModel, ours: Counter[tuple[int, ...]], order: str) -> None:
    temperature, top_k, top_p = in_order(SETTINGS.temperature, SETTINGS.top_k, SETTINGS.top_p)
    processors = {
        "top-p before top-k": [temperature, top_p, top_k],
        "temperature last": [top_k, top_p, temperature],
        "no top-p": [temperature, top_k],
    }[order]
    theirs = generated(loud, top_k=0, top_p=1.0, logits_processor=LogitsProcessorList(processors))
    assert same_distribution(ours, theirs) < 1e-6


def test_greedy_is_what_generate_says_greedily(loud: LanguageModel) -> None:
    greedy = Sampling(n_samples=2, temperature=0, max_new_tokens=12)
    prompts = [Prompt("a", PROMPT), Prompt("b", (1, 90, 17))]
    for prompt, own in zip(prompts, sample(loud, prompts, greedy), strict=True):
        ids = torch.tensor([prompt.token_ids])
        made = loud.hf.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=loud.pad_id
        )
        said = made[0, ids.shape[1] :].tolist()
        end = next((n for n, token in enumerate(said) if token in loud.eos_ids), len(said))
        assert [response.token_ids for response in own] == [tuple(said[:end])] * 2
