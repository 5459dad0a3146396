"""One padded batch as tensors: what enters the model, which of its positions are read, and with which weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hneurons.contributions.item import Item, Recording, read_positions
from hneurons.models.texts import PaddedTexts, Side, pad_texts


@dataclass(frozen=True, eq=False)
class PaddedBatch(PaddedTexts):
    """Items as a batch, and where it is read.

    `reads` are flat positions (into batch x seq), padded to the longest list of the batch with the item's own first
    position and weight zero. `weights[b, 0]` averages the answer positions of item b and `weights[b, 1]` its other
    positions (all zero where it has none; `with_other` lists those that have some).

    `columns` are the columns whose logits predict an answer token of some item; `predictions` are the flat positions of
    those predictions (into batch x columns), `targets` the answer tokens, `n_answer` how many each item has.
    """

    reads: Int[Tensor, "batch reads"]
    weights: Float[Tensor, "batch 2 reads"]
    with_other: Int[Tensor, " others"]
    columns: Int[Tensor, " columns"]
    predictions: Int[Tensor, " answers"]
    targets: Int[Tensor, " answers"]
    n_answer: tuple[int, ...]
    n_other: tuple[int, ...]


def pad(items: Sequence[Item], recording: Recording, pad_id: int, side: Side = "right") -> PaddedBatch:
    """Lay out `items` as one batch, as `pad_texts` does; all tensors on the CPU."""
    texts = pad_texts([item.prompt_ids + item.response_ids for item in items], pad_id, side)
    length = max(len(item) for item in items)
    offsets = [length - len(item) if side == "left" else 0 for item in items]
    positions = [read_positions(item, recording) for item in items]
    n_reads = max(len(read.answer) + len(read.other) for read in positions)
    reads: list[list[int]] = []
    weights: list[list[list[float]]] = []
    predicting: list[tuple[int, int]] = []
    targets: list[int] = []
    for b, (item, before, read) in enumerate(zip(items, offsets, positions, strict=True)):
        n_answer, n_other = len(read.answer), len(read.other)
        spare = n_reads - n_answer - n_other
        # spare reads repeat a real position: nothing that belongs to padding is ever touched
        mine = [*read.answer, *read.other] + [read.answer[0]] * spare
        reads.append([b * length + before + position for position in mine])
        answer_weights = [1 / n_answer] * n_answer + [0.0] * (n_other + spare)
        other_weights = [0.0] * n_answer + [1 / n_other] * n_other + [0.0] * spare if n_other else [0.0] * n_reads
        weights.append([answer_weights, other_weights])
        predicting += [(b, before + len(item.prompt_ids) + index - 1) for index in item.answer]
        targets += [item.response_ids[index] for index in item.answer]
    columns = sorted({column for _, column in predicting})
    place = {column: index for index, column in enumerate(columns)}
    return PaddedBatch(
        input_ids=texts.input_ids,
        attention_mask=texts.attention_mask,
        position_ids=texts.position_ids,
        reads=torch.tensor(reads),
        weights=torch.tensor(weights, dtype=torch.float32),
        with_other=torch.tensor([b for b, read in enumerate(positions) if read.other], dtype=torch.long),
        columns=torch.tensor(columns),
        predictions=torch.tensor([b * len(columns) + place[column] for b, column in predicting]),
        targets=torch.tensor(targets),
        n_answer=tuple(len(read.answer) for read in positions),
        n_other=tuple(len(read.other) for read in positions),
    )
