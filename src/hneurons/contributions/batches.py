"""Fixed batches: the same items always fall into the same batches, so that a resumed run repeats an interrupted one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from hneurons.contributions.item import Item
from hneurons.errors import ResponseError

Batches = tuple[tuple[Item, ...], ...]


def plan_batches(items: Sequence[Item], max_tokens: int = 4096, max_items: int = 128) -> Batches:
    """Split `items` into batches of like length within a token budget.

    Sorted by length (ties: prompt length, then the order given), and cut where one more item would exceed `max_items`,
    or `max_tokens` with padding counted. An item longer than the budget is a batch of its own.

    Raises:
        ResponseError: two items share a key.
        ValueError: a budget below 1.
    """
    if max_tokens < 1 or max_items < 1:
        raise ValueError(f"max_tokens and max_items must be at least 1, not {max_tokens} and {max_items}")
    seen: set[str] = set()
    for item in items:
        if item.key in seen:
            raise ResponseError(f"two items share the key {item.key!r}; give every item a key of its own")
        seen.add(item.key)
    batches: list[tuple[Item, ...]] = []
    current: list[Item] = []
    for item in sorted(items, key=lambda item: (len(item), len(item.prompt_ids))):
        # Ascending lengths: the newest item is the longest, and sets the padded length of all.
        if current and (len(current) == max_items or (len(current) + 1) * len(item) > max_tokens):
            batches.append(tuple(current))
            current = []
        current.append(item)
    if current:
        batches.append(tuple(current))
    return tuple(batches)


def batches_digest(batches: Batches) -> str:
    """SHA-256 over all items, in order and by batch: equal digests record the same."""
    total = hashlib.sha256()
    for batch in batches:
        fields = [[item.key, item.prompt_ids, item.response_ids, item.answer] for item in batch]
        total.update(json.dumps(fields).encode())
        total.update(b"\n")
    return total.hexdigest()
