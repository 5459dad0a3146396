"""Tasks handed out, workers lost, without any cluster."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hneurons.errors import RunError
from hneurons.study.cluster.schedule import MOST_TRIES, Schedule


def test_everything_is_done_once_in_order_by_one_worker() -> None:
    schedule = Schedule("abcde")
    schedule.hire(0)
    seen = []
    while not schedule.finished:
        place = schedule.next_for(0)
        if place is None:
            schedule.hand_in(0, seen[-1])
            schedule.done(seen[-1])
            continue
        if seen and seen[-1] in schedule._held[0] and len(schedule._held[0]) == 2:
            schedule.hand_in(0, seen[-1])
            schedule.done(seen[-1])
        seen.append(place)
    assert seen == [0, 1, 2, 3, 4]


def test_a_worker_holds_one_more_than_it_does_until_few_are_left() -> None:
    schedule = Schedule(range(5))
    schedule.hire(0)
    schedule.hire(1)
    assert [schedule.next_for(0), schedule.next_for(0), schedule.next_for(0)] == [0, 1, None]
    assert [schedule.next_for(1), schedule.next_for(1)] == [2, None]  # two are left for two workers: none is hoarded


def test_the_tasks_of_a_lost_worker_come_first_and_only_the_one_in_hand_is_to_blame() -> None:
    schedule = Schedule(range(9))
    schedule.hire(0)
    assert [schedule.next_for(0), schedule.next_for(0)] == [0, 1]
    schedule.lose(0, "killed")
    assert schedule.again == Counter({0: 1})
    schedule.hire(1)
    assert [schedule.next_for(1), schedule.next_for(1)] == [0, 1]


def test_a_task_that_costs_worker_after_worker_ends_the_run_and_is_named() -> None:
    schedule = Schedule(["fine", "deadly"])
    schedule.hire(0)
    schedule.next_for(0)
    schedule.hand_in(0, 0)
    schedule.done(0)
    for worker in range(MOST_TRIES - 1):
        schedule.next_for(worker)
        schedule.lose(worker, "out of memory")
        schedule.hire(worker + 1)
    schedule.next_for(MOST_TRIES - 1)
    with pytest.raises(RunError, match=r"one batch \(deadly\) came to nothing 3 times: out of memory"):
        schedule.lose(MOST_TRIES - 1, "out of memory")


def test_what_was_handed_in_survives_its_worker() -> None:
    schedule = Schedule(range(2))
    schedule.hire(0)
    assert schedule.next_for(0) == 0
    schedule.hand_in(0, 0)
    assert schedule.next_for(0) == 1
    schedule.lose(0, "killed")
    schedule.done(0)
    assert schedule.again == Counter({1: 1})
    schedule.hire(1)
    assert schedule.next_for(1) == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_every_task_is_done_and_counted_once(seed: int) -> None:
    """Workers come, finish and die at random; every task is done once, and none is held twice at a time."""
    draw = random.Random(seed)
    n = draw.randint(1, 40)
    schedule, alive, finished, hired = Schedule(range(n)), list[int](), list[int](), 0
    while not schedule.finished:
        if len(alive) < 3:
            schedule.hire(hired)
            alive.append(hired)
            hired += 1
        worker = draw.choice(alive)
        while schedule.next_for(worker) is not None:
            pass
        held = [place for queue in schedule._held.values() for place in queue]
        assert len(held) == len(set(held))
        assert not set(held) & set(finished)
        own = schedule._held[worker]
        if own and draw.random() < 0.9:
            place = own[0]
            schedule.hand_in(worker, place)
            schedule.done(place)
            finished.append(place)
        elif draw.random() < 0.3 and not any(count == MOST_TRIES - 1 for count in schedule.again.values()):
            schedule.lose(worker, "killed")
            alive.remove(worker)
    assert sorted(finished) == list(range(n))
