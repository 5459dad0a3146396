"""Where each token lies in the text that a response decodes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hneurons.responses.response import Span


def decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """The text of `token_ids`, special tokens skipped."""
    return str(tokenizer.decode(list(token_ids), skip_special_tokens=True))


def decode_with_offsets(tokenizer: Any, token_ids: Sequence[int]) -> tuple[str, tuple[Span, ...]]:
    """The text of `token_ids`, and the character range of each token in it.

    The ranges are contiguous, in order, and together the whole text. A token's range ends where the text of all
    tokens up to it stops agreeing with the whole text. So a character whose bytes are spread over several tokens
    belongs to the token that completes it; the others, like skipped special tokens, get an empty range. The work
    grows with the square of the number of tokens (a thousand tokens take some 0.1 s).
    """
    text = decode(tokenizer, token_ids)
    spans: list[Span] = []
    start = 0
    for n in range(1, len(token_ids) + 1):
        so_far = text if n == len(token_ids) else decode(tokenizer, token_ids[:n])
        spans.append((start, max(start, _agreement(text, so_far))))
        start = spans[-1][1]
    return text, tuple(spans)


def _agreement(text: str, so_far: str) -> int:
    """Number of characters at the start that the two have in common."""
    if text.startswith(so_far):
        return len(so_far)
    return next(i for i, character in enumerate(so_far) if not text.startswith(character, i))


def contains_stop(text: str, stop: Sequence[str]) -> bool:
    """Whether one of the stop strings is in `text`."""
    return any(string in text for string in stop)


def cut_at_stop(text: str, offsets: Sequence[Span], stop: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """The text before the first stop string (all of it where there is none), and the offsets of its tokens.

    Tokens that begin at or after the stop string are dropped: there are as many offsets as tokens left. A token that
    begins before the stop string and reaches into it is kept, since the model did generate it to say what stands
    before; its range is cut at the end of the text.
    """
    if not contains_stop(text, stop):
        return text, tuple(offsets)
    end = min(text.index(string) for string in stop if string in text)
    left = max((n for n, (first, _) in enumerate(offsets, 1) if first < end), default=0)
    return text[:end], tuple((first, min(last, end)) for first, last in offsets[:left])
