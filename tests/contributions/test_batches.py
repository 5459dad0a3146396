"""Batches: fixed, within the budget, and nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hneurons.contributions import Item, plan_batches
from hneurons.contributions.batches import batches_digest
from hneurons.errors import ResponseError


def make(lengths: list[int]) -> list[Item]:
    return [Item(f"q{index}", (1,) * length, (2, 3), (0,)) for index, length in enumerate(lengths)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 200), st.integers(1, 9))
def test_batches_hold_every_item_once_within_the_budget(lengths: list[int], max_tokens: int, max_items: int) -> None:
    items = make(lengths)
    batches = plan_batches(items, max_tokens, max_items)
    assert sorted(item.key for batch in batches for item in batch) == sorted(item.key for item in items)
    for batch in batches:
        padded = len(batch) * max(len(item) for item in batch)
        assert 1 <= len(batch) <= max_items
        assert padded <= max_tokens or len(batch) == 1
    order = [len(item) for batch in batches for item in batch]
    assert order == sorted(order)


def test_a_batch_takes_what_fits() -> None:
    batches = plan_batches(make([3, 1, 2, 1]), max_tokens=8, max_items=8)
    assert [[item.key for item in batch] for batch in batches] == [["q1", "q3"], ["q2"], ["q0"]]


def test_digests_tell_items_and_batches_apart() -> None:
    items = make([3, 4, 5])
    digest = batches_digest(plan_batches(items))
    assert digest == batches_digest(plan_batches(items))
    assert digest == batches_digest(plan_batches(items[::-1]))  # sorted anyway
    assert digest != batches_digest(plan_batches(items, max_items=2))
    assert digest != batches_digest(plan_batches([*items[:2], Item("q2", (1,) * 5, (2, 3), (1,))]))


def test_two_items_with_one_key_are_refused() -> None:
    with pytest.raises(ResponseError, match="share the key 'q0'"):
        plan_batches(make([1]) + make([2]))
    with pytest.raises(ValueError, match="at least 1"):
        plan_batches(make([1]), max_items=0)
