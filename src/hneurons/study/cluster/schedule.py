"""Which task goes to which worker, and what becomes of the tasks of a worker that is lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from hneurons.errors import RunError

T = TypeVar("T")

MOST_TRIES = 3
"""A task that came to nothing so often, its workers lost, is not tried again; nor is loading the model."""


class Schedule(Generic[T]):
    """Tasks by their place in a list, handed out in order, each to one worker at a time.

    A worker holds the task that it does and, so that it need not wait for the next one, a second; the second only while
    enough are left for everybody, so that nothing waits behind a slow worker at the end.

    Attributes:
        again: tasks that were begun on a worker that was lost, once for each time.
    """

    def __init__(self, tasks: Sequence[T]) -> None:
        self.tasks = tasks
        self.again: Counter[int] = Counter()
        self._waiting = deque(range(len(tasks)))
        self._held: dict[int, deque[int]] = {}
        self._left = len(tasks)

    @property
    def finished(self) -> bool:
        """Whether every task is done."""
        return self._left == 0

    def hire(self, worker: int) -> None:
        """A worker has come, and can be given tasks."""
        self._held[worker] = deque()

    def next_for(self, worker: int) -> int | None:
        """The place of the next task for `worker`; None if it should get none now."""
        held = self._held[worker]
        room = 1 if len(self._waiting) <= len(self._held) else 2
        if not self._waiting or len(held) >= room:
            return None
        place = self._waiting.popleft()
        held.append(place)
        return place

    def hand_in(self, worker: int, place: int) -> None:
        """A worker has done a task; what it made of it is still to be had."""
        self._held[worker].remove(place)

    def done(self, place: int) -> None:
        """A task that was handed in is done."""
        self._left -= 1

    def put_back(self, place: int, reason: str) -> None:
        """What was handed in is no use, and the task is to be done again.

        Raises:
            RunError: it came to nothing too often.
        """
        self._blame([place], reason)
        self._waiting.appendleft(place)

    def lose(self, worker: int, reason: str) -> None:
        """A worker is lost: its tasks go to others, first of all. Only the one that it was doing may be to blame.

        Raises:
            RunError: that one has cost too many workers.
        """
        held = self._held.pop(worker, deque())
        self._blame(list(held)[:1], reason)
        self._waiting.extendleft(reversed(held))

    def _blame(self, places: Iterable[int], reason: str) -> None:
        for place in places:
            self.again[place] += 1
            if self.again[place] >= MOST_TRIES:
                raise RunError(
                    f"one batch ({self.tasks[place]}) came to nothing {MOST_TRIES} times: {reason}; what is done is "
                    "kept; give workers more memory, or the run smaller batches"
                )
