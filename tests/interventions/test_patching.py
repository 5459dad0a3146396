"""Patching: what is put in takes over from there on, and nothing else moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import Activations, activations, patch
from hneurons.interventions.sites import SITES
from hneurons.models.language_model import LanguageModel

OTHER = [(90, 91, 12, 40, 8, 200, 31), (61, 62, 63), (9, 9, 10, 44, 45)]
Logits = Callable[..., list[Tensor]]
Prompts = list[tuple[int, ...]]


def gap(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def test_a_whole_residual_stream_takes_over_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts, logits: Logits
) -> None:
    model = tiny_model(tiny_family)
    plain, others = logits(model, prompts), logits(model, OTHER)
    with patch(model, activations(model, OTHER, "residual", [0])):
        assert gap(logits(model, prompts, "left"), others) < 1e-4  # the prompts' own tokens are gone
    with patch(model, activations(model, OTHER, "residual", [0], positions=[0, 1])):
        assert gap(logits(model, prompts, "left"), others) > 1e-2  # a token or more is still their own
    assert gap(logits(model, prompts), plain) == 0


@pytest.mark.parametrize("site", SITES)
def test_own_activations_change_no_bit_in_every_family(
    site: Any, tiny_family: str, tiny_model: Callable[..., LanguageModel], prompts: Prompts
) -> None:
    model = tiny_model(tiny_family)
    ids = torch.tensor(prompts[:1])
    arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    plain = model.hf(**arguments).logits
    with patch(model, activations(model, prompts[:1], site)):
        assert torch.equal(model.hf(**arguments).logits, plain)
    with patch(model, activations(model, OTHER[:1], site)):
        assert not torch.allclose(model.hf(**arguments).logits, plain, atol=1e-3)


@pytest.mark.parametrize("site", SITES)
def test_only_the_named_positions_and_parts_are_replaced(
    site: Any, tiny_llama: LanguageModel, prompts: Prompts
) -> None:
    plain = activations(tiny_llama, prompts, site, [1]).values[1]
    source = activations(tiny_llama, OTHER, site, [1], positions=[[2, 5], [0], [4]])
    which = [(1, 3)] if site in ("neurons", "heads") else [1]
    columns = {"neurons": slice(3, 4), "heads": slice(24, 32)}.get(site, slice(None))
    with patch(tiny_llama, source, which):
        found = activations(tiny_llama, prompts, site, [1]).values[1]
    expected = plain.clone()
    for token, row in ((2, 0), (5, 1), (7, 2), (10 + 4, 3)):
        expected[token, columns] = source.values[1][row, columns]
    assert torch.equal(found, expected)
    assert not torch.equal(found, plain)
    elsewhere = [[1, 6], [2], [0]]
    with patch(tiny_llama, source, which, positions=elsewhere):
        found = activations(tiny_llama, prompts, site, [1]).values[1]
    expected = plain.clone()
    for token, row in ((1, 0), (6, 1), (7 + 2, 2), (10, 3)):
        expected[token, columns] = source.values[1][row, columns]
    assert torch.equal(found, expected)


def test_one_prompt_goes_into_every_row_and_one_token_to_all(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    source = activations(tiny_llama, OTHER[:1], "residual", [1], positions=[2])
    with patch(tiny_llama, source):
        found = activations(tiny_llama, prompts, "residual", [1]).values[1]
    for token in range(15):
        assert torch.equal(found[token], source.values[1][0]) == (token in (2, 7 + 2, 10 + 2))
    with patch(tiny_llama, source, positions="all"):
        found = activations(tiny_llama, prompts, "residual", [1]).values[1]
    assert torch.equal(found, source.values[1].expand(15, -1))
    each = activations(tiny_llama, OTHER, "residual", [1], positions=[[6], [0], [3]])
    with patch(tiny_llama, each, positions="all"):
        found = activations(tiny_llama, prompts, "residual", [1]).values[1]
    assert torch.equal(found, each.values[1].repeat_interleave(torch.tensor([7, 3, 5]), dim=0))


def test_rows_that_split_keep_the_patch_of_their_prompt(tiny_llama: LanguageModel) -> None:
    source = activations(tiny_llama, [OTHER[1], OTHER[2][:3]], "residual", [2], positions=[2])
    ids = torch.tensor([OTHER[1]] * 3)
    with patch(tiny_llama, source):
        with tiny_llama.rows_are(np.array([1, 0, 1]), 2):
            rows = tiny_llama.hf(input_ids=ids).logits[:, -1]
        with pytest.raises(InterventionError, match="a batch of 3 rows runs in a block that was set up for 2"):
            tiny_llama.hf(input_ids=ids)
    assert torch.allclose(rows[0], rows[2], atol=1e-5)  # equal rows of one batch may round differently
    assert not torch.allclose(rows[0], rows[1], atol=1e-3)


def test_activations_say_where_they_come_from(tiny_llama: LanguageModel, prompts: Prompts) -> None:
    found = activations(tiny_llama, prompts, "heads", [2, 0], positions=[[0, 6], [], [3]])
    assert found.prompts.tolist() == [0, 0, 2]
    assert found.positions.tolist() == [0, 6, 3]
    assert (found.n_prompts, list(found.values), found.values[2].shape) == (3, [0, 2], (3, 32))


def test_what_does_not_fit_is_refused(
    tiny_llama: LanguageModel, prompts: Prompts, hooks: Callable[[LanguageModel], int], as_a_user_calls: None
) -> None:
    before = hooks(tiny_llama)
    source = activations(tiny_llama, prompts, "residual", [1], positions=[0, 2])
    narrow = Activations("residual", source.prompts, source.positions, 3, {1: source.values[1][:, :20]})
    deep = Activations("residual", source.prompts, source.positions, 3, {7: source.values[1]})
    spoilt = Activations("residual", source.prompts, source.positions, 3, {1: source.values[1] / 0})
    cases: list[tuple[Activations, Any, Any, type[Exception], str]] = [
        (source, [0], None, InterventionError, "no layer 0, only 1"),
        (source, [3], None, ModelError, "no layer 3"),
        (source, None, [1], InterventionError, r"\[2, 2, 2\] tokens were read .* \[1, 1, 1\] positions are given"),
        (source, None, [[0, 1], [0, 1]], InterventionError, "give as many"),
        (source, None, "all", InterventionError, "one token read from each prompt"),
        (source, None, "generated", InterventionError, "only 'all' has a name here"),
        (source, None, [2, 0], InterventionError, "ascending"),
        (narrow, None, None, InterventionError, "of width 20, and the model has 32"),
        (deep, None, None, ModelError, "no layer 7"),
        (spoilt, None, None, InterventionError, "not finite"),
    ]
    for given, which, positions, error, message in cases:
        with pytest.raises(error, match=message), patch(tiny_llama, given, which, positions=positions):
            pass
    assert hooks(tiny_llama) == before
