"""What is known of a row besides its contributions, and the table of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hneurons.contributions.item import Role


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    `n_tokens` positions were averaged. `logprob` is the mean log-probability (nats) of the answer's tokens, `entropy`
    the mean entropy (nats) of the distributions that they were drawn from, at temperature 1; both belong to answer rows
    only. `has_other` tells of an item, on either of its rows, whether it has an other row. What is not known (imported
    rows) is None.
    """

    key: str
    role: Role
    n_tokens: int | None
    n_prompt: int | None
    n_response: int | None
    has_other: bool
    logprob: float | None
    entropy: float | None


@dataclass(frozen=True)
class Table:
    """All rows of a store by column, in ascending order of `row`, the position that `ContributionStore.layer` reads.

    Counts that are not known are -1; `logprob` and `entropy` are NaN on other rows, and where they are not known.
    """

    row: Int[np.ndarray, " rows"]
    key: tuple[str, ...]
    role: tuple[Role, ...]
    n_tokens: Int[np.ndarray, " rows"]
    n_prompt: Int[np.ndarray, " rows"]
    n_response: Int[np.ndarray, " rows"]
    has_other: Bool[np.ndarray, " rows"]
    logprob: Float[np.ndarray, " rows"]
    entropy: Float[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.key)

    def where(self, role: Role) -> Table:
        """The rows of one role."""
        kept = np.array([mine == role for mine in self.role], dtype=bool)
        return self.take(np.flatnonzero(kept))

    def take(self, indices: Int[np.ndarray, " taken"]) -> Table:
        """The rows at `indices` of this table (not positions in the store)."""
        return Table(
            row=self.row[indices],
            key=tuple(self.key[index] for index in indices),
            role=tuple(self.role[index] for index in indices),
            n_tokens=self.n_tokens[indices],
            n_prompt=self.n_prompt[indices],
            n_response=self.n_response[indices],
            has_other=self.has_other[indices],
            logprob=self.logprob[indices],
            entropy=self.entropy[indices],
        )

    @property
    def without_other(self) -> tuple[str, ...]:
        """Keys of the items that have no other row."""
        answers = zip(self.key, self.role, self.has_other, strict=True)
        return tuple(key for key, role, has_other in answers if role == "answer" and not has_other)

    @classmethod
    def from_columns(cls, columns: dict[str, list[Any]]) -> Table:
        """Build a table from one list a column, with None for what is not known."""

        def counts(name: str) -> Int[np.ndarray, " rows"]:
            return np.array([-1 if value is None else value for value in columns[name]], dtype=np.int64)

        def reals(name: str) -> Float[np.ndarray, " rows"]:
            return np.array([np.nan if value is None else value for value in columns[name]], dtype=np.float64)

        return cls(
            row=np.array(columns["row"], dtype=np.int64),
            key=tuple(columns["key"]),
            role=tuple(columns["role"]),
            n_tokens=counts("n_tokens"),
            n_prompt=counts("n_prompt"),
            n_response=counts("n_response"),
            has_other=np.array(columns["has_other"], dtype=bool),
            logprob=reals("logprob"),
            entropy=reals("entropy"),
        )


def expected_roles(has_other: Sequence[bool]) -> list[Role]:
    """Roles of a batch's rows in their fixed order: every item's answer row, then the other rows that exist."""
    answers: list[Role] = ["answer" for _ in has_other]
    others: list[Role] = ["other" for other in has_other if other]
    return answers + others
