"""Contributions in memory, for a few items: what one looks at in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hneurons.contributions.item import Item, Recording
from hneurons.contributions.recording import record
from hneurons.contributions.row import Row
from hneurons.models.language_model import LanguageModel


@dataclass(frozen=True)
class Collected:
    """One batch, all layers, on the CPU.

    `answer[i]` belongs to item i, `other[i]` to the i-th item that has other tokens; `rows` lists both, answers first.
    Hidden states are None where they were not recorded.
    """

    rows: tuple[Row, ...]
    answer: Float[Tensor, "items layers neurons"]
    other: Float[Tensor, "others layers neurons"]
    hidden_answer: Float[Tensor, "items layers hidden"] | None
    hidden_other: Float[Tensor, "others layers hidden"] | None


class _Keep:
    def __init__(self) -> None:
        self.kept: dict[str, list[tuple[Tensor, Tensor]]] = {"contributions": [], "hidden": []}

    def contributions(
        self, layer: int, answer: Float[Tensor, "items neurons"], other: Float[Tensor, "others neurons"]
    ) -> None:
        self.kept["contributions"].append((answer.cpu(), other.cpu()))

    def hidden(self, layer: int, answer: Float[Tensor, "items hidden"], other: Float[Tensor, "others hidden"]) -> None:
        self.kept["hidden"].append((answer.cpu(), other.cpu()))


def collect(model: LanguageModel, items: Sequence[Item], recording: Recording | None = None) -> Collected:
    """Record `items` as one batch and keep everything: rows * layers * neurons * 4 bytes.

    Raises:
        ResponseError, ModelError: see `record`.
    """
    settings = recording or Recording()
    sink = _Keep()
    rows = record(model, items, settings, sink)
    answer, other = zip(*sink.kept["contributions"], strict=True)
    hidden_answer, hidden_other = zip(*sink.kept["hidden"], strict=True) if settings.hidden else (None, None)
    return Collected(
        rows=rows,
        answer=torch.stack(answer, dim=1),
        other=torch.stack(other, dim=1),
        hidden_answer=torch.stack(hidden_answer, dim=1) if hidden_answer else None,
        hidden_other=torch.stack(hidden_other, dim=1) if hidden_other else None,
    )
