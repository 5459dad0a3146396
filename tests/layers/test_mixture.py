"""Layer by layer on mixtures of experts: what reads streams and attention works, what reads single neurons refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.layers.attention.test_weights import TEXTS, test_shares_are_those_of_transformers_own_weights
from tests.layers.tracking.test_lens import test_every_family_against_its_own_hidden_states

from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.layers.attention.weights import attention_shares
from hneurons.layers.tracking.statistics import activation_statistics
from hneurons.models.language_model import LanguageModel

Make = Callable[..., LanguageModel]
FAMILIES = ("qwen2_moe", "gpt_oss", "deepseek_v3")
shares_are_their_own = test_shares_are_those_of_transformers_own_weights
lens_is_their_own = test_every_family_against_its_own_hidden_states
del test_shares_are_those_of_transformers_own_weights, test_every_family_against_its_own_hidden_states


@pytest.mark.parametrize("family", FAMILIES)
def test_the_logit_lens(family: str, tiny_model: Make) -> None:
    lens_is_their_own(family, tiny_model)


@pytest.mark.parametrize("family", ["qwen2_moe", "deepseek_v3"])
def test_attention(family: str, tiny_model: Make) -> None:
    shares_are_their_own(family, tiny_model)


def test_attention_that_goes_to_no_token_is_refused(tiny_model: Make) -> None:
    with pytest.raises(ModelError, match=r"part of its attention goes to no token .a learned sink."):
        attention_shares(tiny_model("gpt_oss"), TEXTS)


def test_statistics_of_single_neurons_are_refused(tiny_model: Make) -> None:
    with pytest.raises(UnsupportedModelError, match=r"layer 1 of .* is a mixture of experts"):
        activation_statistics(tiny_model("deepseek_v3"), [[5, 17, 40]], [[2]])
