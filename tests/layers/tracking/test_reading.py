"""Answers read where they fork: columns, positions, and the same numbers as the lens alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.layers.tracking.made import answer

from hneurons.errors import ResponseError
from hneurons.layers.answered import Fork
from hneurons.layers.tracking.lens import logit_lens
from hneurons.layers.tracking.reading import read_answers, read_divergence
from hneurons.layers.tracking.statistics import STATISTICS, activation_statistics
from hneurons.layers.tracking.tuned_lens import train_tuned_lens
from hneurons.models.language_model import LanguageModel


def test_columns_and_positions(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("opt")
    answers = [
        answer(0, hallucinated=True, prompt=(5, 6, 7, 12), response=(8, 9, 10), fork=Fork(1, 9, 11)),
        answer(1, hallucinated=False, prompt=(20, 30), response=(40, 50, 60, 70), fork=Fork(2, 60, None)),
    ]
    rival = logit_lens(model, [answers[0].token_ids], [[4]], [[9, 11]]).tokens[0, -1]
    others = np.array([[rival, 101], [-1, -1]])  # the competitor stays what it is where a control is the same token
    tuned = train_tuned_lens(model, [each.token_ids for each in answers], steps=1)
    read = read_answers(model, answers, others, tuned)
    places = [[4], [3]]  # prompt + index - 1
    texts = [each.token_ids for each in answers]
    for name, lens in (("logit", None), ("tuned", tuned)):
        alone = logit_lens(model, texts, places, [[9, 11], [60, -1]], lens)
        np.testing.assert_allclose(read[f"{name}_log_prob"][:, :, :3], alone.log_prob, atol=1e-5)
        np.testing.assert_array_equal(read[f"{name}_rank"], alone.rank)
        np.testing.assert_allclose(read[f"{name}_entropy"], alone.entropy, atol=1e-5)
        control = logit_lens(model, texts, places, others.tolist(), lens)
        np.testing.assert_allclose(read[f"{name}_log_prob"][:, :, 3:], control.log_prob[:, :, :2], atol=1e-5)
        late = logit_lens(model, texts, [[5], [4]], [[9, 11], [60, -1]], lens)
        assert not np.allclose(read[f"{name}_entropy"], late.entropy, atol=1e-3)
    statistics = activation_statistics(model, texts, places)
    np.testing.assert_allclose(read["statistics"][:, :, 0], statistics[STATISTICS[0]].numpy())
    assert read["residual"].max() < 1e-4
    with pytest.raises(ResponseError, match="fork"):
        read_answers(model, [answer(0, hallucinated=True)], others[:1], tuned)


def test_divergence_is_summed_over_every_token(tiny_llama: LanguageModel) -> None:
    answers = [answer(0, hallucinated=True), answer(1, hallucinated=False, prompt=(9, 8, 7, 6, 5))]
    tuned = train_tuned_lens(tiny_llama, [each.token_ids for each in answers], steps=1)
    read = read_divergence(tiny_llama, answers, tuned)
    for row, each in enumerate(answers):
        text = each.token_ids
        alone = logit_lens(tiny_llama, [text], [list(range(len(text)))], lens=tuned)
        np.testing.assert_allclose(read["tuned"][row], alone.kl.sum(axis=0), atol=1e-5)
        assert read["tokens"][row] == len(text)
