"""What the layers hold at an answer: three reads of each, one forward pass a batch, averaged inside the hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hneurons.contributions.item import Item, Recording
from hneurons.contributions.padding import PaddedBatch, pad
from hneurons.contributions.recording import check_items, forward
from hneurons.errors import ModelError, ResponseError
from hneurons.interventions.sites import attach
from hneurons.layers.answered import Answered
from hneurons.layers.comparison.record import READS, Read
from hneurons.models.language_model import LanguageModel

Where = Literal["before", "at"] | Sequence[Sequence[int]]
"""At the positions that predict the answer's tokens, at these tokens themselves, or at positions of each answer.

Positions count from the first token of the prompt and go on through the response.
"""


@torch.no_grad()
def collect_states(
    model: LanguageModel, answered: Sequence[Answered], *, positions: Where = "before"
) -> Float[np.ndarray, "answers layers reads hidden"]:
    """Every read of every layer, averaged over positions of each answer, in float32; the reads stand as in `READS`.

    One forward pass over one batch, padded on the right. Sums run in float32 whatever the dtype of the model (float64
    where the model is), and nothing but the means is kept.

    Args:
        model: any loaded model.
        answered: one batch; a few answers of like length.
        positions: over which positions the mean is taken.

    Raises:
        ResponseError: no answer, one that the model cannot read, or positions that it does not have.
        ModelError: values that are not finite, or layers that do not each run once.
    """
    items = [Item(each.key, each.prompt_ids, each.response_ids, each.answer) for each in answered]
    check_items(model, items)
    batch = pad(items, Recording(hidden=False), model.pad_id)
    reader = _Reader(model, _where(batch, _positions(answered, positions)))
    with ExitStack() as hooks:
        for layer in range(model.n_layers):
            for read in READS:
                hooks.callback(attach(model, read, layer, reader.reading(read, layer)).remove)
        forward(model, batch)
    return reader.states()


@dataclass(frozen=True)
class _Reads:
    """Flat positions (into batch x seq) of each answer, and what each weighs in its mean; spare ones weigh nothing."""

    reads: Int[Tensor, "batch reads"]
    weights: Float[Tensor, "batch reads"]
    n_positions: int


class _Reader:
    """The hooks of one batch."""

    def __init__(self, model: LanguageModel, where: _Reads) -> None:
        self.model = model
        self.where = where
        self.found: dict[tuple[int, Read], np.ndarray] = {}

    def reading(self, read: Read, layer: int) -> Callable[[Tensor], None]:
        def take(states: Tensor) -> None:
            flat = states.detach().reshape(-1, states.shape[-1])
            if flat.shape[0] != self.where.n_positions or (layer, read) in self.found:
                raise ModelError(
                    f"layer {layer} of {self.model.name} runs twice, or gives {flat.shape[0]} positions for a batch of "
                    f"{self.where.n_positions}; its states cannot be matched to tokens"
                )
            reads = self.where.reads.to(flat.device)
            wide = torch.promote_types(flat.dtype, torch.float32)
            # a copy, and at once: a model may go on to write into this tensor
            chosen = flat.index_select(0, reads.flatten()).to(wide).reshape(*reads.shape, flat.shape[-1])
            weights = self.where.weights.to(wide).to(flat.device)  # converted first: not every device has float64
            means = torch.einsum("br,brh->bh", weights, chosen)
            if not bool(means.isfinite().all()):
                raise ModelError(
                    f"layer {layer} of {self.model.name} gives values that are not finite in {self.model.dtype}; "
                    "load the model with dtype='float32', or check its weights"
                )
            self.found[layer, read] = means.float().cpu().numpy()

        return take

    def states(self) -> Float[np.ndarray, "answers layers reads hidden"]:
        every = [[self.found.get((layer, read)) for read in READS] for layer in range(self.model.n_layers)]
        if any(each is None for layer in every for each in layer):
            raise ModelError(
                f"a forward pass of {self.model.name} does not run each of its {self.model.n_layers} layers; its "
                "states cannot be read"
            )
        return np.ascontiguousarray(np.array(every, dtype=np.float32).transpose(2, 0, 1, 3))


def _positions(answered: Sequence[Answered], positions: Where) -> list[list[int]]:
    """Which positions are read of each answer, checked."""
    if isinstance(positions, str):
        if positions not in ("before", "at"):
            raise ResponseError(f"positions are {positions!r}; give 'before', 'at' or those of each answer")
        shift = 1 if positions == "at" else 0
        return [[each.predicts(index) + shift for index in each.answer] for each in answered]
    if len(positions) != len(answered):
        raise ResponseError(f"there are {len(answered)} answers and positions of {len(positions)}; give some of each")
    for each, own in zip(answered, positions, strict=True):
        if not own or min(own) < 0 or max(own) >= len(each.token_ids):
            raise ResponseError(
                f"answer {each.key!r} has {len(each.token_ids)} tokens with its prompt, and is to be read at "
                f"{list(own)}; give at least one position, counted from 0"
            )
    return [list(own) for own in positions]


def _where(batch: PaddedBatch, positions: Sequence[Sequence[int]]) -> _Reads:
    n_reads, length = max(map(len, positions)), batch.input_ids.shape[1]
    reads, weights = [], []
    for row, own in enumerate(positions):
        spare = n_reads - len(own)  # repeats a real position: nothing that belongs to padding is ever touched
        reads.append([row * length + position for position in [*own, *[own[0]] * spare]])
        weights.append([1 / len(own)] * len(own) + [0.0] * spare)
    return _Reads(torch.tensor(reads), torch.tensor(weights, dtype=torch.float64), batch.input_ids.numel())
