"""What many workers would make of a stage: a simulation in which every second of every worker is accounted for.

Three things are shared, and each serves one after the other: the driver, which hands out tasks; the storage that the
model is read from; the storage that results are written to. A transfer goes at the storage's rate if nobody else is
before it, and never faster than the worker's own. A worker has its next task in hand while it does one, as the
scheduler here gives it. Task times are log-normal around their mean; workers are lost at random, and with each the task
in its hands and the time to start another.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Cause = Literal["driver", "loading", "writing", "lost workers", "the end", "starting"]
"""What a worker waits for, or works for in vain: the driver's next task; the model; its result to be written; what a
lost worker had done, and its replacement; the last tasks of others, or any task at all; its own start."""


class Conditions(BaseModel):
    """What a stage runs under; bytes and seconds.

    Attributes:
        tasks: batches.
        task_seconds: of one batch on one worker, its result not yet written.
        spread: standard deviation of the logarithm of a task's time; 0 where all take the same.
        dispatch_seconds: of the driver, for each task.
        model_bytes: what a worker reads to load the model.
        start_seconds: of a worker, beside reading the model.
        result_bytes: of one task.
        read_rate, write_rate: of the shared storage, for all workers together; None where it is no limit.
        worker_read_rate, worker_write_rate: of one worker; None where it is no limit.
        hours_between_losses: of one worker, on average; None where none is lost.
        seed: of task times and losses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int = Field(ge=1)
    task_seconds: float = Field(gt=0)
    spread: float = Field(default=0.0, ge=0)
    dispatch_seconds: float = Field(default=0.0, ge=0)
    model_bytes: float = Field(default=0.0, ge=0)
    start_seconds: float = Field(default=0.0, ge=0)
    result_bytes: float = Field(default=0.0, ge=0)
    read_rate: float | None = Field(default=None, gt=0)
    write_rate: float | None = Field(default=None, gt=0)
    worker_read_rate: float | None = Field(default=None, gt=0)
    worker_write_rate: float | None = Field(default=None, gt=0)
    hours_between_losses: float | None = Field(default=None, gt=0)
    seed: int = 0


class Scaled(BaseModel):
    """A stage on so many workers.

    `seconds` is from the first worker's start to the last task's end; `share` says what part of all workers' time went
    where, useful work under "work". They sum to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int
    seconds: float
    lost: int
    share: dict[str, float]

    @property
    def efficiency(self) -> float:
        """The part of all workers' time that is useful work."""
        return self.share["work"]

    @property
    def bottleneck(self) -> str:
        """Where most of the rest goes."""
        rest = {name: value for name, value in self.share.items() if name != "work"}
        return max(rest, key=lambda name: rest[name])


def simulate(conditions: Conditions, workers: int) -> Scaled:
    """A stage on `workers` workers."""
    return _Simulation(conditions, workers).run()


def first_bottleneck(
    conditions: Conditions, counts: Sequence[int], least: float = 0.8
) -> tuple[list[Scaled], Scaled | None]:
    """The stage on each number of workers, and the first whose efficiency is below `least`; None where none is."""
    found = [simulate(conditions, count) for count in counts]
    return found, next((each for each in found if each.efficiency < least), None)


class _Shared:
    """Something that serves one after the other."""

    def __init__(self) -> None:
        self.free_at = 0.0

    def serve(self, now: float, seconds: float, least: float = 0.0) -> float:
        """When a request of `seconds` that comes now is done, if it takes the one who asks at least `least`."""
        self.free_at = max(now, self.free_at) + seconds
        return max(self.free_at, now + least)


@dataclass
class _Worker:
    """One worker: what it does since when, the task in its hands, and the one that comes next with when it is there."""

    state: str = "starting"
    since: float = 0.0
    task: int | None = None
    coming: tuple[int, float] | None = None
    dies: float = math.inf


class _Simulation:
    """Events in the order of time: a worker wants to read the model, asks, begins, wants to write, ends, dies."""

    def __init__(self, given: Conditions, workers: int) -> None:
        self.given = given
        self.draw = np.random.default_rng(given.seed)
        noise = self.draw.normal(-0.5 * given.spread**2, given.spread, given.tasks) if given.spread else 0.0
        self.times = np.full(given.tasks, given.task_seconds) * np.exp(noise)  # their mean is the one asked for
        self.waiting = deque(range(given.tasks))
        self.driver, self.reading, self.writing = _Shared(), _Shared(), _Shared()
        self.workers = [_Worker() for _ in range(workers)]
        self.spent = dict.fromkeys((*get_args(Cause), "work"), 0.0)
        self.left, self.lost, self.now = given.tasks, 0, 0.0
        self._events: list[tuple[float, int, Callable[[int], None], int]] = []
        self._numbers = count()

    def run(self) -> Scaled:
        for number in range(len(self.workers)):
            self._at(self.given.start_seconds, self._read, number)
        while self.left:
            self.now, _, event, number = heapq.heappop(self._events)
            event(number)
        for worker in self.workers:
            self._turn(worker, worker.state)
        total = len(self.workers) * self.now
        share = {name: seconds / total for name, seconds in self.spent.items()}
        return Scaled(workers=len(self.workers), seconds=self.now, lost=self.lost, share=share)

    def _at(self, when: float, event: Callable[[int], None], number: int) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event, number))

    def _turn(self, worker: _Worker, state: str, spent_on: str | None = None) -> None:
        """A worker does something else from now on; what it did so far counts as what it did, or as `spent_on`."""
        self.spent[spent_on or worker.state] += self.now - worker.since
        worker.state, worker.since = state, self.now

    def _read(self, number: int) -> None:
        worker, given = self.workers[number], self.given
        if worker.state == "starting":
            self._turn(worker, "loading")
        done = self.reading.serve(self.now, *_seconds(given.model_bytes, given.read_rate, given.worker_read_rate))
        self._at(done, self._ready, number)

    def _ready(self, number: int) -> None:
        self._turn(self.workers[number], "driver")
        self._ask(number)

    def _ask(self, number: int) -> None:
        """Ask for a task: the first, or while one is done the next, as long as enough are left for everybody."""
        worker = self.workers[number]
        if not self.waiting or (worker.task is not None and len(self.waiting) <= len(self.workers)):
            if worker.task is None:
                self._turn(worker, "the end")
            return
        task = self.waiting.popleft()
        there = self.driver.serve(self.now, self.given.dispatch_seconds)
        if worker.task is None:
            worker.task = task
            self._turn(worker, "driver")
            self._at(there, self._begin, number)
        else:
            worker.coming = (task, there)

    def _begin(self, number: int) -> None:
        worker = self.workers[number]
        assert worker.task is not None
        self._turn(worker, "work")
        end = self.now + float(self.times[worker.task])
        if worker.dies <= self.now or worker.dies == math.inf:  # whom nothing hit while nothing was at stake
            worker.dies = self._life()
        self._at(*((worker.dies, self._die) if worker.dies < end else (end, self._write)), number)
        self._ask(number)

    def _life(self) -> float:
        """When a worker that is there now is lost: it does not matter for how long it has been there."""
        hours = self.given.hours_between_losses
        return math.inf if hours is None else self.now + float(self.draw.exponential(3600 * hours))

    def _write(self, number: int) -> None:
        given = self.given
        self._turn(self.workers[number], "writing")
        done = self.writing.serve(self.now, *_seconds(given.result_bytes, given.write_rate, given.worker_write_rate))
        self._at(done, self._end, number)

    def _end(self, number: int) -> None:
        worker = self.workers[number]
        self.left -= 1
        worker.task = None
        if worker.coming is None:
            self._turn(worker, "driver")
            self._ask(number)
        else:
            worker.task, there = worker.coming
            worker.coming = None
            self._turn(worker, "driver")
            self._at(max(self.now, there), self._begin, number)

    def _die(self, number: int) -> None:
        worker = self.workers[number]
        self._turn(worker, "lost workers", spent_on="lost workers")
        assert worker.task is not None
        self.lost += 1
        self.waiting.extendleft(task for task in (worker.coming and worker.coming[0], worker.task) if task is not None)
        worker.task, worker.coming, worker.dies = None, None, math.inf
        self._at(self.now + self.given.start_seconds, self._read, number)
        for other, each in enumerate(self.workers):
            if each.state == "the end":
                self._turn(each, "driver")
                self._ask(other)


def _seconds(size: float, rate: float | None, worker_rate: float | None) -> tuple[float, float]:
    """What a transfer takes of the shared storage, and what it takes the worker at least."""
    return (size / rate if rate else 0.0), (size / worker_rate if worker_rate else 0.0)
