"""What is known of every answer besides its states: verdict, question, and what could stand in for the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from hneurons.layers.answered import Answered


@dataclass(frozen=True, eq=False)
class Rows:
    """One row an answer.

    Attributes:
        hallucinated: the verdict.
        groups: what splits and resamples keep together.
        kinds: kinds of question.
        n_answer: tokens that carry the claim.
        n_response: tokens of the response.
        said: the first token of the claim.
    """

    hallucinated: Bool[np.ndarray, " rows"]
    groups: Shaped[np.ndarray, " rows"]
    kinds: Shaped[np.ndarray, " rows"]
    n_answer: Int[np.ndarray, " rows"]
    n_response: Int[np.ndarray, " rows"]
    said: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, answered: Sequence[Answered]) -> Rows:
        """Those of judged answers, in their order."""
        return cls(
            hallucinated=np.array([each.hallucinated for each in answered], dtype=bool),
            groups=np.array([each.group for each in answered]),
            kinds=np.array([each.kind for each in answered]),
            n_answer=np.array([len(each.answer) for each in answered], dtype=np.int64),
            n_response=np.array([len(each.response_ids) for each in answered], dtype=np.int64),
            said=np.array([each.response_ids[each.answer[0]] for each in answered], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.hallucinated)

    def take(self, chosen: Int[np.ndarray, " taken"]) -> Rows:
        """These rows (numbers, in this order)."""
        return Rows(
            self.hallucinated[chosen],
            self.groups[chosen],
            self.kinds[chosen],
            self.n_answer[chosen],
            self.n_response[chosen],
            self.said[chosen],
        )

    def surface(self) -> Float64[np.ndarray, "rows columns"]:
        """Length and kind as columns: logarithms of both numbers of tokens, and a column for each kind."""
        kinds = np.unique(self.kinds)
        lengths = np.log1p(np.stack([self.n_answer, self.n_response], axis=1).astype(np.float64))
        return np.concatenate([lengths, self.kinds[:, None] == kinds[None]], axis=1)

    def spoken(self) -> Float64[np.ndarray, "rows columns"]:
        """The columns of `surface`, and one for each first token of a claim that at least two answers have."""
        tokens, counts = np.unique(self.said, return_counts=True)
        return np.concatenate([self.surface(), self.said[:, None] == tokens[None, counts > 1]], axis=1)
