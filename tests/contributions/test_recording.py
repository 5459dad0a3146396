"""Recorded contributions against a naive float64 loop, and what must not change them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.hooks import n_hooks

from hneurons.contributions import Collected, Item, Recording, collect, record
from hneurons.contributions import recording as recording_module
from hneurons.errors import ModelError, ResponseError
from hneurons.models import texts
from hneurons.models.language_model import LanguageModel

RECORDINGS = [
    Recording(other=other, positions=positions) for other in ("response", "sequence") for positions in ("at", "before")
]


def worst(found: Any, expected: Any) -> float:
    """Largest difference, relative to the largest expected value."""
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def worst_of(model: LanguageModel, runs: list[Any], recording: Recording, found: Collected) -> float:
    """Largest relative difference of a batch from its naive runs, over both rows of every item."""
    others = iter(found.other)
    errors = []
    for index, run in enumerate(runs):
        errors.append(worst(found.answer[index], run.answer(recording)))
        if run.other(recording) is not None:
            errors.append(worst(next(others), run.other(recording)))
    assert next(others, None) is None
    return max(errors)


def test_every_family_matches_the_naive_loop(
    tiny_family: str, double_model: Callable[[str], LanguageModel], naive: Callable[..., Any], items: tuple[Item, ...]
) -> None:
    model = double_model(tiny_family)
    runs = [naive(model, item) for item in items]
    for recording in RECORDINGS:
        found = collect(model, items, recording)
        assert worst_of(model, runs, recording, found) < 2e-7  # the column norms are float32
        assert found.hidden_answer is not None
        for index, run in enumerate(runs):
            assert worst(found.hidden_answer[index], run.answer_stream(recording)) < 2e-7
            answer = [len(run.item.prompt_ids) + place for place in run.item.answer]
            row = found.rows[index]
            assert row.logprob == pytest.approx(run.logprob[answer].mean(), rel=1e-7)
            assert row.entropy == pytest.approx(run.entropy[answer].mean(), rel=1e-7)


@pytest.mark.parametrize("family", ["gpt2", "llama-bias", "gpt_neox"])
def test_the_comparison_notices_a_bias_left_in(
    family: str, double_model: Callable[[str], LanguageModel], naive: Callable[..., Any], items: tuple[Item, ...]
) -> None:
    model = double_model(family)
    wrong = [naive(model, item, keep_bias=True) for item in items]
    assert worst_of(model, wrong, RECORDINGS[0], collect(model, items, RECORDINGS[0])) > 1e-3


@pytest.mark.parametrize("family", ["gemma2", "olmo2"])
def test_the_comparison_notices_a_denominator_after_the_norm(
    family: str, double_model: Callable[[str], LanguageModel], naive: Callable[..., Any], items: tuple[Item, ...]
) -> None:
    model = double_model(family)
    wrong = [naive(model, item, after_norm=True) for item in items]
    assert worst_of(model, wrong, RECORDINGS[0], collect(model, items, RECORDINGS[0])) > 1e-2


def test_the_comparison_notices_shifted_positions_and_counted_padding(
    double_model: Callable[[str], LanguageModel], naive: Callable[..., Any], items: tuple[Item, ...]
) -> None:
    model = double_model("llama")
    runs = [naive(model, item) for item in items]
    at, before = RECORDINGS[0], RECORDINGS[1]
    assert worst_of(model, runs, at, collect(model, items, before)) > 1e-2
    item = items[3]
    padded = naive(model, item, pad_to=12)
    counted = padded.cett[:, len(item.prompt_ids) :].mean(axis=1)  # as if the answer reached into the padding
    assert worst(collect(model, [item], at).answer[0], counted) > 1e-2
    assert worst(collect(model, [item], at).answer[0], padded.answer(at)) < 2e-7  # padding itself does no harm


@pytest.mark.parametrize("recording", RECORDINGS[1:3])
def test_neither_padding_side_nor_batch_changes_the_numbers(
    tiny_family: str, recording: Recording, tiny_model: Callable[..., LanguageModel], items: tuple[Item, ...]
) -> None:
    model = tiny_model(tiny_family)  # in float64 some of transformers' masks overflow with left padding
    together = collect(model, items, recording)
    backwards = collect(model, items[::-1], recording)
    left = _Keep()
    left_rows = record(model, items, recording, left, padding="left")
    alone = [collect(model, [item], recording) for item in items]
    for answer, other in [
        (torch.stack(left.answer, dim=1), torch.stack(left.other, dim=1)),
        (backwards.answer.flip(0), backwards.other.flip(0)),
        (torch.cat([one.answer for one in alone]), torch.cat([one.other for one in alone])),
    ]:
        assert worst(answer, together.answer.numpy()) < 1e-5
        assert worst(other, together.other.numpy()) < 1e-5
    by_row = {(row.key, row.role): row for row in together.rows}
    for row in (*left_rows, *backwards.rows, *(row for one in alone for row in one.rows)):
        theirs = by_row[row.key, row.role]
        assert (row.n_tokens, row.has_other) == (theirs.n_tokens, theirs.has_other)
        if row.role == "answer":
            assert row.logprob == pytest.approx(theirs.logprob, rel=1e-5)
            assert row.entropy == pytest.approx(theirs.entropy, rel=1e-5)


def test_float32_stays_close_and_bfloat16_is_reduced_in_float32(
    tiny_llama: LanguageModel,
    cast_model: Callable[..., LanguageModel],
    naive: Callable[..., Any],
    items: tuple[Item, ...],
) -> None:
    recording = Recording(other="sequence")
    runs = [naive(tiny_llama, item) for item in items]
    found = collect(tiny_llama, items, recording)
    assert found.answer.dtype == torch.float32
    assert worst_of(tiny_llama, runs, recording, found) < 1e-5
    half = cast_model(tiny_llama, torch.bfloat16)
    # One item, so that both see the very same bfloat16 states; h itself is rounded once, by the model.
    for item in items:
        run = naive(half, item)
        mine = collect(half, [item], recording)
        assert mine.answer.dtype == torch.float32
        assert worst(mine.answer[0], run.answer(recording)) < 1e-5
        rounded = torch.tensor(run.cett).bfloat16()[:, run.tokens(recording)[1]].mean(dim=1)
        assert worst(rounded.float(), run.other(recording)) > 1e-4  # a reduction in bfloat16 would show


def test_logits_are_computed_for_the_answer_only(tiny_llama: LanguageModel, items: tuple[Item, ...]) -> None:
    shapes = []
    head = tiny_llama.hf.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[:2])))
    collect(tiny_llama, items[3:4])
    handle.remove()
    assert shapes == [(1, 2)]


def test_a_model_without_logits_to_keep_gives_the_same(
    tiny_llama: LanguageModel, items: tuple[Item, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = collect(tiny_llama, items)
    monkeypatch.setattr(texts, "_parameters", lambda model: {"input_ids", "position_ids"})
    found = collect(tiny_llama, items)
    assert [row.key for row in found.rows] == [row.key for row in expected.rows]
    for mine, theirs in zip(found.rows[:6], expected.rows[:6], strict=True):
        assert mine.logprob == pytest.approx(theirs.logprob, rel=1e-5)
        assert mine.entropy == pytest.approx(theirs.entropy, rel=1e-5)


def test_slabs_of_the_vocabulary_change_nothing(
    tiny_llama: LanguageModel, items: tuple[Item, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = collect(tiny_llama, items).rows
    monkeypatch.setattr(recording_module, "LOGIT_SLAB", 1)
    assert collect(tiny_llama, items).rows == expected


def test_items_without_other_tokens_are_flagged_and_have_no_row(
    tiny_llama: LanguageModel, items: tuple[Item, ...]
) -> None:
    found = collect(tiny_llama, items, Recording(other="response"))
    assert [row.key for row in found.rows if row.role == "answer" and not row.has_other] == ["q1", "q3"]
    assert [row.key for row in found.rows if row.role == "other"] == ["q0", "q2", "q4", "q5"]
    assert len(found.other) == 4
    assert all(row.logprob is None for row in found.rows if row.role == "other")
    alone = collect(tiny_llama, items[1:2])
    assert alone.other.shape == (0, 3, 48)
    assert len(collect(tiny_llama, items, Recording(other="sequence")).other) == 6
    # the first token is predicted by nothing: a prompt of one token leaves no other token before an all-answer response
    lonely = Item(key="lonely", prompt_ids=(10,), response_ids=(11,), answer=(0,))
    assert not collect(tiny_llama, [lonely], Recording(other="sequence", positions="before")).rows[0].has_other


def test_a_position_without_output_contributes_nothing_and_counts(
    tiny_llama: LanguageModel, naive: Callable[..., Any], items: tuple[Item, ...]
) -> None:
    item = items[0]
    position = len(item.prompt_ids) + item.answer[0]

    def silence(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        z = args[0].clone()
        z[:, position] = 0
        return (z,)

    handle = tiny_llama.down(2).register_forward_pre_hook(silence)
    found = collect(tiny_llama, [item])
    handle.remove()
    run = naive(tiny_llama, item)
    kept = run.cett[2, [len(item.prompt_ids) + place for place in item.answer[1:]]].sum(axis=0) / len(item.answer)
    assert worst(found.answer[0, 2], kept) < 1e-5
    assert worst(found.answer[0, 1], run.answer(Recording())[1]) < 1e-5


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("where", ["z", "h", "stream"])
def test_values_that_are_not_finite_are_refused(
    value: float, where: str, tiny_llama: LanguageModel, items: tuple[Item, ...]
) -> None:
    def spoil(states: torch.Tensor) -> torch.Tensor:
        states = states.clone()
        states[:, -1, 0] = value
        return states

    if where == "z":
        handle = tiny_llama.down(1).register_forward_pre_hook(lambda module, args: (spoil(args[0]),))
    elif where == "h":
        handle = tiny_llama.down(1).register_forward_hook(lambda module, args, out: spoil(out))
    else:
        handle = tiny_llama.block(1).register_forward_hook(lambda module, args, out: spoil(out))
    with handle, pytest.raises(ModelError, match=r"layer 1 .* not finite"):
        collect(tiny_llama, items[5:])  # its last token is an answer token


def test_layers_are_handed_on_at_once_and_not_kept(tiny_llama: LanguageModel, items: tuple[Item, ...]) -> None:
    order: list[tuple[str, int]] = []
    alive: list[weakref.ref[torch.Tensor]] = []

    class Watch:
        def contributions(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
            self.take("contributions", layer, answer)

        def hidden(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
            self.take("hidden", layer, answer)

        def take(self, kind: str, layer: int, rows: torch.Tensor) -> None:
            assert all(reference() is None for reference in alive)  # what came before is gone
            order.append((kind, layer))
            alive.append(weakref.ref(rows))

    record(tiny_llama, items, Recording(), Watch())
    assert order == [(kind, layer) for layer in range(3) for kind in ("contributions", "hidden")]
    order.clear()
    record(tiny_llama, items, Recording(hidden=False), Watch())
    assert order == [("contributions", layer) for layer in range(3)]


def test_no_hook_is_left_after_an_error(tiny_llama: LanguageModel, items: tuple[Item, ...]) -> None:
    class Full(_Keep):
        def contributions(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        record(tiny_llama, items, Recording(), Full())
    assert n_hooks(tiny_llama) == 0


def test_a_layer_that_runs_twice_is_refused(tiny_llama: LanguageModel, items: tuple[Item, ...]) -> None:
    states: list[torch.Tensor] = []

    def again(module: torch.nn.Module, args: tuple[Any, ...], out: Any) -> None:
        tiny_llama.down(1)(states[0])

    keep = tiny_llama.down(1).register_forward_pre_hook(lambda module, args: states.append(args[0]))
    with keep, tiny_llama.block(1).register_forward_hook(again), pytest.raises(ModelError, match=r"\[0, 1, 1, 2\]"):
        collect(tiny_llama, items)


def test_items_that_the_model_cannot_read_are_refused(tiny_llama: LanguageModel) -> None:
    with pytest.raises(ResponseError, match="at most 256"):
        collect(tiny_llama, [Item("long", (10,) * 250, (11,) * 7, (0,))])
    with pytest.raises(ResponseError, match="token ids outside"):
        collect(tiny_llama, [Item("alien", (10,), (100_000,), (0,))])
    with pytest.raises(ResponseError, match="no item"):
        collect(tiny_llama, [])


class _Keep:
    def __init__(self) -> None:
        self.answer: list[torch.Tensor] = []
        self.other: list[torch.Tensor] = []

    def contributions(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
        self.answer.append(answer)
        self.other.append(other)

    def hidden(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
        pass
