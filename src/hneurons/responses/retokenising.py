"""A text as tokens again, where nobody says which tokens it was."""

from __future__ import annotations

from typing import Any

from hneurons.responses.offsets import decode


def retokenise(text: str, prompt: str, tokenizer: Any) -> tuple[int, ...] | None:
    """The tokens of a text that follows a prompt, as the tokenizer cuts the two together if it can, or the text alone.

    They decode to the text, but perhaps for white space at its start, which some tokenizers drop there; None if they
    do not.
    """
    before, both = _ids(prompt, tokenizer), _ids(prompt + text, tokenizer)
    ways = [both[len(before) :]] if both[: len(before)] == before else []
    ways.append(_ids(text, tokenizer))
    decoded = [decode(tokenizer, ids) for ids in ways]
    exact = [ids for ids, other in zip(ways, decoded, strict=True) if other == text]
    close = [ids for ids, other in zip(ways, decoded, strict=True) if other.lstrip() == text.lstrip()]
    return next((tuple(ids) for ids in [*exact, *close]), None)


def _ids(text: str, tokenizer: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
