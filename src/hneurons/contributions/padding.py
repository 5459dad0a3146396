"""One padded batch as tensors: what enters the model, which of its positions are read, and with which weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hneurons.contributions.item import Item, Recording, read_positions

Side = Literal["left", "right"]


@dataclass(frozen=True)
class PaddedBatch:
    """Teacher-forced input of a batch, and where it is read.

    `reads` are flat positions (into batch x seq), padded to the longest list of the batch with the item's own first
    position and weight zero. `weights[b, 0]` averages the answer positions of item b and `weights[b, 1]` its other
    positions (all zero where it has none; `with_other` lists those that have some).

    `columns` are the columns whose logits predict an answer token of some item; `predictions` are the flat positions of
    those predictions (into batch x columns), `targets` the answer tokens, `n_answer` how many each item has.
    """

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]
    position_ids: Int[Tensor, "batch seq"]
    reads: Int[Tensor, "batch reads"]
    weights: Float[Tensor, "batch 2 reads"]
    with_other: Int[Tensor, " others"]
    columns: Int[Tensor, " columns"]
    predictions: Int[Tensor, " answers"]
    targets: Int[Tensor, " answers"]
    n_answer: tuple[int, ...]
    n_other: tuple[int, ...]


def pad(items: Sequence[Item], recording: Recording, pad_id: int, side: Side = "right") -> PaddedBatch:
    """Lay out `items` as one batch, padded with `pad_id` on `side`; all tensors on the CPU.

    In a causal model padding on the right is invisible to every real token, so it is what we use; left padding gives
    the same numbers in models that take their positions from `position_ids` or the attention mask.
    """
    length = max(len(item) for item in items)
    input_ids = torch.full((len(items), length), pad_id, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    position_ids = torch.zeros_like(input_ids)
    offsets = [length - len(item) if side == "left" else 0 for item in items]
    positions = [read_positions(item, recording) for item in items]
    n_reads = max(len(read.answer) + len(read.other) for read in positions)
    reads = torch.zeros((len(items), n_reads), dtype=torch.long)
    weights = torch.zeros((len(items), 2, n_reads), dtype=torch.float32)
    predicting: list[tuple[int, int]] = []
    targets: list[int] = []
    for b, (item, offset, read) in enumerate(zip(items, offsets, positions, strict=True)):
        span = slice(offset, offset + len(item))
        input_ids[b, span] = torch.tensor(item.prompt_ids + item.response_ids)
        attention_mask[b, span] = 1
        position_ids[b, span] = torch.arange(len(item))
        start = b * length + offset
        n_answer, n_other = len(read.answer), len(read.other)
        reads[b] = start + read.answer[0]  # padding repeats a real position: nothing unwritten is ever touched
        reads[b, :n_answer] = start + torch.tensor(read.answer)
        weights[b, 0, :n_answer] = 1 / n_answer
        if n_other:
            reads[b, n_answer : n_answer + n_other] = start + torch.tensor(read.other)
            weights[b, 1, n_answer : n_answer + n_other] = 1 / n_other
        predicting += [(b, offset + len(item.prompt_ids) + index - 1) for index in item.answer]
        targets += [item.response_ids[index] for index in item.answer]
    columns = sorted({column for _, column in predicting})
    place = {column: index for index, column in enumerate(columns)}
    return PaddedBatch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=position_ids,
        reads=reads,
        weights=weights,
        with_other=torch.tensor([b for b, read in enumerate(positions) if read.other], dtype=torch.long),
        columns=torch.tensor(columns),
        predictions=torch.tensor([b * len(columns) + place[column] for b, column in predicting]),
        targets=torch.tensor(targets),
        n_answer=tuple(len(read.answer) for read in positions),
        n_other=tuple(len(read.other) for read in positions),
    )
