"""How sure the model is of answers that no stage of a study has measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from hneurons.contributions.item import Item, Recording
from hneurons.contributions.recording import record
from hneurons.models.language_model import LanguageModel


class _Nowhere:
    """Keeps nothing of what is recorded."""

    def contributions(
        self, layer: int, answer: Float[Tensor, "items neurons"], other: Float[Tensor, "others neurons"]
    ) -> None:
        """Not kept."""

    def hidden(self, layer: int, answer: Float[Tensor, "items hidden"], other: Float[Tensor, "others hidden"]) -> None:
        """Not kept."""


def surprise(model: LanguageModel, items: Sequence[Item]) -> dict[str, Float64[np.ndarray, " items"]]:
    """`log_prob` and `entropy`, means over the answer tokens in nats, as they are recorded with contributions.

    Raises:
        ResponseError, ModelError: as `hneurons.contributions.recording.record`.
    """
    rows = [row for row in record(model, items, Recording(hidden=False), _Nowhere()) if row.role == "answer"]
    return {
        "log_prob": np.array([row.logprob for row in rows], dtype=np.float64),
        "entropy": np.array([row.entropy for row in rows], dtype=np.float64),
    }
