"""What tuning learns from, step by step: chats, and between them windows of what the base model read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hneurons.atlas.training import IGNORED, Batch
from hneurons.atlas.tuning import with_replay

SIZE, LENGTH = 4, 6


def chats(n: int) -> list[Batch]:
    """Steps that tell themselves apart by their first token."""
    return [Batch(torch.full((2, 5), 10_000 + i), torch.full((2, 5), IGNORED)) for i in range(n)]


def windows(n: int) -> np.ndarray:
    """Windows of which each token says which window it is of."""
    return np.repeat(np.arange(n, dtype=np.uint16)[:, None], LENGTH, axis=1)


def split(steps: list[Batch]) -> tuple[list[int], list[Batch]]:
    """Numbers of the chat steps, in order, and the replayed batches."""
    told = [int(step.ids[0, 0]) - 10_000 for step in steps if step.ids[0, 0] >= 10_000]
    return told, [step for step in steps if step.ids[0, 0] < 10_000]


def test_every_fourth_step_replays_and_no_chat_is_lost() -> None:
    steps = with_replay(chats(90), windows(500), SIZE, 1)
    told, replayed = split(steps)
    assert sorted(told) == list(range(90))
    assert len(replayed) == 30  # 30 of 120
    for step in replayed:
        assert step.ids.shape == (SIZE, LENGTH)
        assert step.ids.dtype == torch.int64
        assert torch.equal(step.ids, step.labels)  # all of it is learned
        assert (step.ids == step.ids[:, :1]).all()  # whole windows
    read = torch.cat([step.ids[:, 0] for step in replayed]).tolist()
    assert len(set(read)) == len(read) == 120  # none twice


def test_replays_are_strewn_in_and_the_same_for_one_seed() -> None:
    steps, again, other = (with_replay(chats(90), windows(500), SIZE, seed) for seed in (1, 1, 2))
    where = [place for place, step in enumerate(steps) if step.ids[0, 0] < 10_000]
    thirds = [sum(low <= place < low + 40 for place in where) for low in (0, 40, 80)]
    assert min(thirds) >= 4
    assert max(np.diff(where)) < 30
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(steps, again, strict=True))
    assert split(steps)[0] != split(other)[0] != list(range(90))


@pytest.mark.parametrize(("there", "expected"), [(0, 0), (3, 0), (4, 1), (11, 2), (40, 10), (41, 10)])
def test_only_whole_batches_of_what_there_is_are_replayed(there: int, expected: int) -> None:
    told, replayed = split(with_replay(chats(30), windows(there), SIZE, 1))
    assert sorted(told) == list(range(30))
    assert len(replayed) == expected
