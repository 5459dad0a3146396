"""A padded pass gives the logits that each text has alone, and texts that a model cannot read are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from hneurons.errors import HNeuronsError, InterventionError, ResponseError
from hneurons.models import texts
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import Side, check_texts, logits_at, logits_of, longest_text, pad_texts

TEXTS: Sequence[tuple[int, ...]] = ((40, 9, 77, 130, 52), (12,), (61, 8, 200))


def alone(model: LanguageModel, ids: Sequence[int]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.hf(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return logits


@pytest.mark.parametrize("side", ["right", "left"])
def test_texts_are_laid_out_as_they_are(side: Side) -> None:
    padded = pad_texts(TEXTS, 3, side)
    for row, ids in enumerate(TEXTS):
        real = padded.attention_mask[row].bool()
        assert padded.input_ids[row, real].tolist() == list(ids)
        assert set(padded.input_ids[row, ~real].tolist()) <= {3}
        assert padded.position_ids[row, real].tolist() == list(range(len(ids)))
        assert bool(real[-1 if side == "left" else 0])
        assert int(real.sum()) == len(ids)
    assert padded.position_ids.min() == 0  # also at padding: an index into a table of positions


def test_logits_are_those_of_each_text_alone_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(tiny_family)
    places = [(row, column) for row, ids in enumerate(TEXTS) for column in range(len(ids))]
    with torch.no_grad():
        found = logits_at(model, pad_texts(TEXTS, model.pad_id), places)
    expected = torch.cat([alone(model, ids) for ids in TEXTS])
    size = float(expected.abs().max())
    assert float((found - expected).abs().max()) < 1e-5 * size
    assert float((found.roll(1, dims=0) - expected).abs().max()) > 1e-2 * size  # each at its own place


@pytest.mark.parametrize("keeps", [True, False])
def test_only_the_columns_that_are_asked_for(
    keeps: bool, tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model can do so, no others are computed."""
    if not keeps:
        monkeypatch.setattr(texts, "_parameters", lambda model: {"position_ids"})
    computed: list[int] = []
    head = tiny_llama.hf.get_output_embeddings()
    with (
        torch.no_grad(),
        head.register_forward_hook(lambda _module, _args, out: computed.append(out.shape[1])),
    ):
        padded = pad_texts(TEXTS, tiny_llama.pad_id)
        every = logits_of(tiny_llama, padded)
        some = logits_of(tiny_llama, padded, [1, 4])
    assert computed == [5, 2 if keeps else 5]
    np.testing.assert_allclose(some, every[:, [1, 4]], rtol=1e-5, atol=1e-6)
    assert not np.allclose(some, every[:, [0, 3]], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([], ResponseError, "there is no answer to read; give at least one"),
        ([(5,), ()], InterventionError, "answer 1 is empty or has token ids outside 0 to "),
        ([(5, -1)], ResponseError, "answer 0 is empty or has token ids outside 0 to "),
        ([(5,), (5,), (100_000,)], ResponseError, "answer 2 is empty or has token ids outside 0 to "),
        ([(5,) * 257], ResponseError, "answer 0 has 257 tokens and .* reads at most 256; shorten it"),
    ],
)
def test_what_the_model_cannot_read_is_refused(
    given: list[tuple[int, ...]], error: type[HNeuronsError], said: str, tiny_llama: LanguageModel
) -> None:
    with pytest.raises(error, match=said) as caught:
        check_texts(tiny_llama, given, error, "answer")
    assert type(caught.value) is error
    if given:
        keys = [f"key {number}" for number in range(len(given))]
        named = re.sub(r"answer (\d)", r"item 'key \1'", said)
        with pytest.raises(error, match=named):
            check_texts(tiny_llama, given, error, "item", keys)


def test_what_it_can_read_is_not(tiny_llama: LanguageModel) -> None:
    last = tiny_llama.hf.get_input_embeddings().num_embeddings - 1
    check_texts(tiny_llama, [(0,), (last,) * 256], ResponseError)
    assert longest_text(tiny_llama) == 256
