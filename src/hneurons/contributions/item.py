"""What is recorded: one response with its answer tokens marked, and which positions of it are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.errors import ResponseError

Role = Literal["answer", "other"]


@dataclass(frozen=True)
class Item:
    """One prompt and the response to it, as the very token ids that were read and generated.

    `answer` holds the indices into `response_ids` of the tokens that carry the claim, in ascending order. `key` names
    the item's rows in a store.

    Raises:
        ResponseError: an empty prompt, no answer token, or indices that are out of range or out of order.
    """

    key: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    answer: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise ResponseError(
                f"item {self.key!r} has an empty prompt; the first token of a response needs one before it"
            )
        if not self.answer:
            raise ResponseError(f"item {self.key!r} has no answer token; leave it out and count it")
        ascending = all(first < second for first, second in zip(self.answer, self.answer[1:], strict=False))
        if not ascending or self.answer[0] < 0 or self.answer[-1] >= len(self.response_ids):
            raise ResponseError(
                f"item {self.key!r} marks answer tokens {self.answer} in {len(self.response_ids)} response tokens; "
                "give ascending indices into the response"
            )

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


class Recording(BaseModel):
    """Which positions are read, and what is kept of them.

    Attributes:
        other: "response" takes the response's non-answer tokens as the other tokens (the paper's text); "sequence"
            takes every non-answer token, the whole prompt with its template and special tokens included (the public
            code).
        positions: "at" reads a token where it is the input; "before" reads the position that predicts it (t - 1). The
            first token of a sequence is predicted by none, and is then left out.
        hidden: also keep the mean residual stream over the same positions, after each block.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    other: Literal["response", "sequence"] = "response"
    positions: Literal["at", "before"] = "at"
    hidden: bool = True


@dataclass(frozen=True)
class Positions:
    """Positions in prompt + response whose states are averaged, for either row of one item; `other` may be empty."""

    answer: tuple[int, ...]
    other: tuple[int, ...]


def read_positions(item: Item, recording: Recording) -> Positions:
    """Positions of `item` that `recording` reads, counted from the first token of the prompt."""
    start = len(item.prompt_ids)
    answer = [start + index for index in item.answer]
    marked = set(answer)
    first = 0 if recording.other == "sequence" else start
    other = [position for position in range(first, len(item)) if position not in marked]
    if recording.positions == "before":
        answer = [position - 1 for position in answer]
        other = [position - 1 for position in other if position > 0]
    return Positions(answer=tuple(answer), other=tuple(other))


def has_other(item: Item, recording: Recording) -> bool:
    """Whether `item` has other tokens under `recording`; most short answers have none within the response."""
    return bool(read_positions(item, recording).other)
