"""The rule that settings are chosen by, thresholds of silence, and what is counted of costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hneurons.contributions.collecting import collect
from hneurons.contributions.item import Item, Recording
from hneurons.errors import NotEnoughDataError
from hneurons.layers.mitigation.abstaining import lowest_threshold, scores
from hneurons.layers.mitigation.methods import Shown, unchanged
from hneurons.layers.mitigation.pricing import Spent, prices, spend
from hneurons.layers.mitigation.tuning import KEPT, Outcome, choose, listed
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.responses.response import Response
from hneurons.responses.sampling import Prompt, Sampling
from hneurons.responses.spans import answer_spans, span_tokens


def tried(*shares: tuple[float, float]) -> list[Outcome]:
    return [Outcome(unchanged(), correct, hallucinated) for correct, hallucinated in shares]


def test_fewest_hallucinations_among_those_that_keep_enough() -> None:
    assert choose(tried((0.6, 0.3), (0.58, 0.2), (0.5, 0.0)), 0.6) == 1
    assert choose(tried((0.6, 0.3), (0.6, 0.3)), 0.6) == 0  # the mildest of equals
    assert choose(tried((0.57, 0.1), (0.569, 0.0)), 0.6) == 0  # 95% of 0.6 is 0.57
    assert choose(tried((0.3, 0.1), (0.4, 0.2), (0.4, 0.1)), 0.6) == 1  # none keeps enough: the one that keeps most
    assert [each.chosen for each in listed(tried((0.6, 0.3), (0.58, 0.2)), 1)] == [False, True]
    with pytest.raises(NotEnoughDataError, match="no setting"):
        choose([], 0.5)


@pytest.mark.parametrize("seed", range(8))
def test_threshold_is_the_lowest_that_the_rule_allows(seed: int) -> None:
    random = np.random.default_rng(seed)
    found = random.uniform(size=40).round(2)
    found[random.random(40) < 0.2] = np.nan
    correct = random.random(40) < 0.5
    threshold = lowest_threshold(found, correct, KEPT)

    def keeps(at: float) -> bool:
        stands = sum(1 for score, right in zip(found, correct, strict=True) if right and not score > at)
        return stands >= KEPT * correct.sum() - 1e-9

    assert keeps(threshold)
    lower = [each for each in found[~np.isnan(found)] if each < threshold]
    assert not any(keeps(each) for each in lower if each < min(found[correct & ~np.isnan(found)].max(), threshold))
    with pytest.raises(NotEnoughDataError, match="no right answer"):
        lowest_threshold(found, np.zeros(40, dtype=np.bool_), KEPT)


def test_scores_are_those_of_recorded_answers(tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]) -> None:
    probe = hand_probe(tiny_llama, {(0, 3): 2.0, (2, 7): -1.0}, 0.1, positions="before")
    tokenizer = tiny_llama.tokenizer
    said = ("Paris is the capital of France.", "I don't know.", "Oslo is in Norway.")
    asked = ("What is the capital of France?", "Where is Rome?", "Where is Oslo?")
    shown, responses = [], []
    for number, (text, question) in enumerate(zip(said, asked, strict=True)):
        made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = tuple(made["input_ids"]), tuple(map(tuple, made["offset_mapping"]))
        responses.append(
            Response(question_id=str(number), sample=0, token_ids=ids, text=text, offsets=offsets, finish="stop")
        )
        shown.append(Shown(tuple(tokenizer(question)["input_ids"]), question))
    by_probe, by_surprise = scores(tiny_llama, probe, shown, responses)
    assert np.isnan(by_probe).tolist() == np.isnan(by_surprise).tolist() == [False, True, False]
    for number in (0, 2):
        tokens = span_tokens(answer_spans(said[number], asked[number]), responses[number].offsets)
        item = Item("alone", shown[number].token_ids, responses[number].token_ids, tokens)
        alone = collect(tiny_llama, [item], Recording(positions="before", hidden=False))
        logit = 2.0 * float(alone.answer[0, 0, 3]) - float(alone.answer[0, 2, 7]) + 0.1
        assert by_probe[number] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
        assert by_surprise[number] == pytest.approx(-float(alone.rows[0].logprob or 0), abs=1e-4)
    assert by_probe[0] != pytest.approx(by_probe[2])


def test_prices_are_multiples_per_generated_token(tiny_llama: LanguageModel) -> None:
    spent = Spent(
        layers=np.array([100, 240]),
        unembedding=np.array([20, 40]),
        generated=np.array([20, 24]),
        seconds=np.array([[1.0, 2.0, 4.0], [2.4, 4.8, 1.2]]),
    )
    intact, other = prices(spent)
    assert (intact.tokens, intact.seconds, intact.seconds_low, intact.seconds_high) == (1, 1, 1, 1)
    assert other.tokens == pytest.approx((240 / 24) / (100 / 20))
    assert other.unembeddings == pytest.approx((40 / 24) / (20 / 20))
    assert (other.seconds, other.seconds_low, other.seconds_high) == pytest.approx((2.0, 0.25, 2.0))
    prompts = [Prompt("a", (5, 17, 40))]
    how = Sampling(n_samples=1, temperature=0, max_new_tokens=3)
    found = spend(tiny_llama, [unchanged()], prompts, [Shown((5, 17, 40))], how, rounds=2)
    assert found.layers[0] == 3 + found.generated[0] - 1
    assert found.seconds.shape == (1, 2)
