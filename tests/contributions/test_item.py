"""Items that make sense, and the positions that a recording reads of them."""

from __future__ import annotations

import pytest

from hneurons.contributions import Item, Recording, has_other
from hneurons.contributions.item import read_positions
from hneurons.errors import ResponseError

ITEM = Item("k", prompt_ids=(5, 6, 7), response_ids=(8, 9, 10, 11), answer=(0, 2))


@pytest.mark.parametrize(
    ("other", "positions", "answer", "others"),
    [
        ("response", "at", (3, 5), (4, 6)),
        ("response", "before", (2, 4), (3, 5)),
        ("sequence", "at", (3, 5), (0, 1, 2, 4, 6)),
        ("sequence", "before", (2, 4), (0, 1, 3, 5)),
    ],
)
def test_positions(other: str, positions: str, answer: tuple[int, ...], others: tuple[int, ...]) -> None:
    read = read_positions(ITEM, Recording.model_validate({"other": other, "positions": positions}))
    assert (read.answer, read.other) == (answer, others)


def test_an_all_answer_response_has_other_tokens_in_the_prompt_only() -> None:
    item = Item("k", prompt_ids=(5, 6), response_ids=(8,), answer=(0,))
    assert not has_other(item, Recording(other="response"))
    assert has_other(item, Recording(other="sequence"))


@pytest.mark.parametrize(
    ("prompt", "response", "answer"),
    [
        ((), (1,), (0,)),
        ((1,), (1,), ()),
        ((1,), (1,), (1,)),
        ((1,), (1, 2), (1, 0)),
        ((1,), (1, 2), (0, 0)),
        ((1,), (1,), (-1,)),
    ],
)
def test_items_that_make_no_sense_are_refused(
    prompt: tuple[int, ...], response: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    with pytest.raises(ResponseError, match="item 'k'"):
        Item("k", prompt, response, answer)
