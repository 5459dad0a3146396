"""P(True) against one prompt at a time, on every architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from hneurons.errors import ModelError
from hneurons.layers.confidence.asked_truth import TruthRows, asked_truth
from hneurons.layers.confidence.truth import TruthTokens, calibrate, p_true, swaps, truth_prompt, truth_tokens
from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat

TOKENS = TruthTokens((30, 41), (52, 63, 74))


def one_by_one(model: LanguageModel, prompt: list[int], last: int = -1) -> tuple[float, float]:
    """The probabilities of the words after one prompt, without padding."""
    with torch.no_grad():
        p = model.hf(input_ids=torch.tensor([prompt])).logits[0, last].double().softmax(-1)
    yes, no = float(p[list(TOKENS.yes)].sum()), float(p[list(TOKENS.no)].sum())
    return yes / (yes + no), yes + no


def test_a_padded_batch_gives_what_each_prompt_gives_alone(
    tiny_family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(tiny_family)
    random = np.random.default_rng(0)
    prompts = [random.integers(6, 200, n).tolist() for n in (9, 4, 12)]
    p, mass = p_true(model, prompts, TOKENS)
    alone = [one_by_one(model, prompt) for prompt in prompts]
    np.testing.assert_allclose(p, [each for each, _ in alone], rtol=2e-4)
    np.testing.assert_allclose(mass, [each for _, each in alone], rtol=2e-4)
    early = [one_by_one(model, prompt, -2)[0] for prompt in prompts]
    assert not np.allclose(p, early, rtol=2e-4)  # one position before would not pass


def test_words_are_told_apart_by_their_first_tokens(tiny_llama: LanguageModel) -> None:
    tokenizer = tiny_llama.tokenizer
    found = truth_tokens(tokenizer)
    firsts = {tokenizer.decode([token]).strip() for token in found.yes}
    assert all(word and ("True".startswith(word) or "Yes".startswith(word)) for word in firsts)
    assert not set(found.yes) & set(found.no)


def test_a_tokenizer_that_begins_both_alike_is_refused() -> None:
    class Alike:
        def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
            return {"input_ids": [5, len(text)]}

        def decode(self, ids: list[int]) -> str:
            return "x"

    with pytest.raises(ModelError, match="same token"):
        truth_tokens(Alike())


def test_the_prompt_holds_question_and_answer_and_no_suffix(tiny_llama: LanguageModel) -> None:
    tokenizer: Any = tiny_llama.tokenizer
    chat = tokenizer.decode(truth_prompt(PromptFormat(suffix="Be brief."), tokenizer, "Where?", " Here. "))
    assert "Question: Where?\nProposed answer: Here.\n" in chat
    assert "Be brief" not in chat
    assert chat.endswith("<assistant>")
    plain = tokenizer.decode(truth_prompt(PromptFormat(style="plain"), tokenizer, "Where?", "Here."))
    assert plain.endswith("True or False.\nReply:")


def test_swapped_claims_are_of_the_same_kind_and_others() -> None:
    kinds = np.array(["country", "country", "country", "zone", "zone"])
    claims = ["Peru", "Peru", "Chile", "Lima", "Lima"]
    found = swaps(kinds, claims)
    assert found.tolist() == [2, 2, found[2], -1, -1]
    assert found[2] in (0, 1)


def test_calibration_keeps_the_ranking_and_never_turns_it() -> None:
    random = np.random.default_rng(0)
    y = random.random(300) < 0.5
    p = expit(random.normal(0, 1, 300) - 1.5 * y)
    scores = calibrate(p, y).scores(p)
    assert (np.argsort(scores) == np.argsort(-logit(p))).all()
    assert scores.mean() == pytest.approx(y.mean(), abs=0.01)
    turned = calibrate(p, ~y).scores(p)
    assert (np.argsort(turned) == np.argsort(-logit(p))).all()
    assert turned.mean() == pytest.approx((~y).mean(), abs=0.01)


def test_a_model_that_reads_the_question_alone_is_found_out() -> None:
    random = np.random.default_rng(1)
    y, groups = random.random(400) < 0.5, np.arange(400) // 2
    blind = expit(random.normal(0, 1, 400) - 2 * y)
    rows = TruthRows(y, groups, blind, blind, np.full(400, 0.9))
    found = asked_truth("set", rows, resamples=100, permutations=100)
    assert found.auroc.value == found.swapped.value
    assert found.sees_answer.value == pytest.approx(0.5)
    assert found.chance is not None
    assert found.chance.p == pytest.approx(1 / 101)
    reading = TruthRows(y, groups, blind, np.where(y, blind, 1 - blind), np.full(400, 0.9))
    seen = asked_truth("set", reading, resamples=100, permutations=100).sees_answer
    assert seen.value is not None
    assert seen.low is not None
    assert abs(seen.value - 0.5) < 0.1 or seen.low > 0.5
