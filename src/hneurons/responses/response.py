"""What a model said: token ids, text, where each token lies in the text, and the verdict on it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["correct", "incorrect", "refusal"]
Span = tuple[int, int]
"""Half-open range of character positions in a response's text."""


class Response(BaseModel):
    """One sampled response.

    `token_ids` are the very tokens that were generated, without the end-of-turn token; `offsets[i]` is the character
    range of token i in `text` (empty where a token adds no character of its own, as the first bytes of a character that
    spans several tokens). `finish` is "stop" when the model ended its turn or met a stop string, and "length" when it
    hit the cap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: str
    sample: int
    token_ids: tuple[int, ...]
    text: str
    offsets: tuple[Span, ...]
    finish: Literal["stop", "length"]
