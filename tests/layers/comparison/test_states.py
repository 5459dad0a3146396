"""States of the layers, held against one answer at a time in float64, in every family."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.hooks import n_hooks

import hneurons
from hneurons.errors import ModelError, ResponseError
from hneurons.layers.answered import Answered
from hneurons.layers.comparison.record import READS
from hneurons.layers.comparison.states import collect_states
from hneurons.models.language_model import LanguageModel
from hneurons.questions.question import Question


def answer(key: str, prompt: Sequence[int], response: Sequence[int], marked: Sequence[int]) -> Answered:
    return Answered(
        key=key,
        eval_set="set",
        kind="kind",
        group=key,
        prompt_ids=tuple(prompt),
        response_ids=tuple(response),
        answer=tuple(marked),
        hallucinated=False,
        segments=("template",) * len(prompt),
        fork=None,
        question=Question(id=key, text="?"),
        text="",
    )


ANSWERED = [
    answer("a", (5, 17, 40, 41, 9), (30, 77, 12), (0, 1)),
    answer("b", (8, 3), (100, 55, 60, 61, 9, 12, 44), (2, 3, 6)),
    answer("c", (22,), (33, 44), (1,)),
]


@torch.no_grad()
def one_by_one(model: LanguageModel, read: Callable[[Answered], list[int]]) -> np.ndarray:
    """The same by hooks of our own on a float64 copy of the model, an answer at a time, without padding or batch."""
    hf: Any = copy.deepcopy(model.hf).double()
    blocks = hf.get_submodule(model.anatomy.layers)
    found = np.zeros((len(ANSWERED), len(blocks), 3, model.hidden_size))
    for row, each in enumerate(ANSWERED):
        positions = read(each)
        for layer, block in enumerate(blocks):
            modules = [block, block.get_submodule(model.anatomy.attention_out), block.get_submodule(model.anatomy.down)]
            for place, module in enumerate(modules):
                taken: list[torch.Tensor] = []

                def take(_module: Any, _inputs: Any, output: Any, taken: list[torch.Tensor] = taken) -> None:
                    whole = output[0] if isinstance(output, tuple) else output
                    taken.append(whole.clone().reshape(len(each.token_ids), -1))  # noqa: B023

                handle = module.register_forward_hook(take)
                hf(input_ids=torch.tensor([each.token_ids]), use_cache=False)
                handle.remove()
                found[row, layer, place] = sum(taken[0][position] for position in positions) / len(positions)
    return found


def test_states_of_every_family(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    found = collect_states(model, ANSWERED)
    assert found.shape == (3, model.n_layers, len(READS), model.hidden_size)
    assert found.dtype == np.float32
    expected = one_by_one(model, lambda each: [len(each.prompt_ids) + index - 1 for index in each.answer])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=3e-5 * scale, rtol=0)
    # one position off is seen at every read of every layer, and so is another read in its place
    at = collect_states(model, ANSWERED, positions="at")
    assert (np.abs(at - expected).max(axis=(0, 3)) > 1e-3 * np.abs(expected).max(axis=(0, 3))).all()
    assert (np.abs(np.roll(found, 1, axis=2) - expected).max(axis=(0, 3)) > 1e-3 * scale).all()


def test_positions_at_the_tokens_and_of_each_answer(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("gpt2")
    at = one_by_one(model, lambda each: [len(each.prompt_ids) + index for index in each.answer])
    np.testing.assert_allclose(collect_states(model, ANSWERED, positions="at"), at, atol=1e-4)
    last = one_by_one(model, lambda each: [len(each.token_ids) - 1])
    given = [[len(each.token_ids) - 1] for each in ANSWERED]
    np.testing.assert_allclose(collect_states(model, ANSWERED, positions=given), last, atol=1e-4)


def test_hooks_are_gone_afterwards(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("opt")
    collect_states(model, ANSWERED)
    assert n_hooks(model) == 0


def test_bfloat16_is_averaged_in_float32(tiny_directory: Callable[..., Any]) -> None:
    model = hneurons.load(str(tiny_directory("llama")), device="cpu", dtype="bfloat16")
    found = collect_states(model, ANSWERED[:1])
    reads = [collect_states(model, ANSWERED[:1], positions=[[position]]) for position in (4, 5)]
    np.testing.assert_allclose(found, (reads[0] + reads[1]) / 2, rtol=1e-6)
    assert not np.array_equal(found, torch.tensor(found).bfloat16().float().numpy())


def test_what_cannot_be_read_is_refused(tiny_model: Callable[..., LanguageModel], as_a_user_calls: None) -> None:
    model = tiny_model("llama")
    with pytest.raises(ResponseError, match="no item"):
        collect_states(model, [])
    with pytest.raises(ResponseError, match="3 answers and positions of 1"):
        collect_states(model, ANSWERED, positions=[[0]])
    with pytest.raises(ResponseError, match="answer 'c' has 3 tokens"):
        collect_states(model, ANSWERED, positions=[[0], [0], [3]])
    with pytest.raises(ResponseError, match="'before', 'at'"):
        collect_states(model, ANSWERED, positions="after")


def test_values_that_are_not_finite_are_refused(tiny_directory: Callable[..., Any]) -> None:
    model = hneurons.load(str(tiny_directory("llama")), device="cpu")
    model.attention_out(1).weight.data[0, 0] = torch.inf
    with pytest.raises(ModelError, match=r"layer 1 .* not finite"):
        collect_states(model, ANSWERED)
