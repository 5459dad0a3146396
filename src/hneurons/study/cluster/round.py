"""One job on its tasks: what is asked of which worker, and what its answer means."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hneurons.errors import RunError
from hneurons.progress import console
from hneurons.study.cluster.schedule import MOST_TRIES, Schedule
from hneurons.study.cluster.storage import Portable, Storage, key_of
from hneurons.study.cluster.worker import Failed, Started
from hneurons.study.work import Work

if TYPE_CHECKING:
    from hneurons.study.cluster.ray_engine import RayEngine

START, BEGIN = -1, -2
"""What a worker is asked beside tasks, which are numbered by their place: to load the model, to take up the job."""

_AT_ONCE = 8  # transfers from the storage
_NO_ROOM = 60  # seconds without a worker, after which that is said


@dataclass
class Hand:
    """A worker as the engine sees it: its actor, what it was asked and has not answered, what it was found to be.

    Answers come in the order of `refs`, each a reference of Ray's with what was asked.
    """

    actor: Any
    refs: dict[Any, int] = field(default_factory=dict)
    started: Started | None = None

    @property
    def ready(self) -> bool:
        """Whether it holds the model and has taken up every job that it was given."""
        return self.started is not None and BEGIN not in self.refs.values()


class Round:
    """One job on its tasks; `step` is called for each that is done, in any order."""

    def __init__(self, engine: RayEngine, job: Any, work: Work, tasks: Sequence[Any], step: Callable[[], None]) -> None:
        self.engine, self.job, self.work, self.tasks, self.step = engine, job, work, tasks, step
        self.ray, self.hands, self.address = engine.ray, engine.hands, engine.cluster.storage
        self.schedule: Schedule[Any] = Schedule(())
        self.open = False
        self.files: dict[str, bytes] = {}
        self.storage: Storage | None = None
        self._front: dict[Any, int] = {}  # the next answer of every worker that owes one, and whose it is
        self._free: set[int] = set()  # workers that may have room for a task
        self._coming: dict[Future[bool], int] = {}  # files on their way here, and the place of their task
        self._deaths = 0  # of workers that were still loading the model, one after the other
        self._waited = 0.0

    def run(self) -> None:
        """Do all of them; raises as `RayEngine.run`."""
        lost = self.engine.lost
        with ThreadPoolExecutor(_AT_ONCE) as self._transfers:
            if self.work.run.model.exists():
                self._open()
            left = len(self.schedule.tasks) if self.open else len(self.tasks)
            if left:
                self._job = self.ray.put(self.job)
                while len(self.hands) < min(self.engine.cluster.workers, left):
                    self.engine.hire(self.work)
            for number, hand in self.hands.items():
                if left and hand.started is not None:
                    self._begin(number)
                self._look(number)
            while not (self.open and self.schedule.finished):
                self._turn()
        if self.engine.lost > lost:
            self.work.run.remove_unfinished()  # nobody writes now: what the lost were writing is nobody's

    def _open(self) -> None:
        """Lay out what is to be done, now that it is known of which model; what the storage has is only fetched."""
        tasks, self.open = list(self.tasks), True
        if self.address is not None:
            if not isinstance(self.job, Portable):
                raise RunError("this work needs the run's directory on every machine; leave --storage out")
            root = self.work.run.path
            needs = (*self.job.needs(self.work), self.work.run.model)
            self.files = {file.relative_to(root).as_posix(): file.read_bytes() for file in needs}
            self.storage = Storage(self.address, key_of(self.work, self.job))
            there = list(self._transfers.map(self._fetch, tasks))
            for _ in filter(None, there):
                self.step()
            tasks = [task for task, found in zip(tasks, there, strict=True) if not found]
        self.schedule = Schedule(tasks)

    def _fetch(self, task: Any) -> bool:
        assert self.storage is not None
        return self.storage.get(self.work.run.path, self.job.leaves(self.work, task))

    def _turn(self) -> None:
        """Hand out what can be handed out, wait for something to happen, and see what it is."""
        for number in [each for each in self._free if each in self.hands and self.hands[each].ready]:
            self._give(number)
        self._free.clear()
        self._arrived()
        if not self._front:
            time.sleep(0.02 if self._coming else 0)
            return
        before = time.monotonic()
        first = list(self._front)
        ready, _ = self.ray.wait(first, num_returns=1, timeout=0.2 if self._coming else 5.0)
        if ready and len(first) > 1:  # and whatever else is there by now
            ready, _ = self.ray.wait(first, num_returns=len(first), timeout=0)
        for ref in ready:
            self._answered(self._front.pop(ref), ref)
        self._say_if_nobody_works(time.monotonic() - before)

    def _give(self, number: int) -> None:
        hand = self.hands[number]
        while (place := self.schedule.next_for(number)) is not None:
            hand.refs[hand.actor.do.remote(self.schedule.tasks[place])] = place
        self._look(number)

    def _look(self, number: int) -> None:
        """Wait for the next answer of a worker, if it owes one."""
        if refs := self.hands[number].refs:
            self._front[next(iter(refs))] = number

    def _answered(self, number: int, ref: Any) -> None:
        hand = self.hands[number]
        try:
            found = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            self._lost(number, error)
            return
        if isinstance(found, Failed):
            found.error.add_note(f"raised on {hand.started.host if hand.started else 'a worker'}:\n{found.trace}")
            raise found.error
        asked = hand.refs.pop(ref)
        if asked == START:
            self.work.recognise(dict(found.record))
            hand.started, self._deaths = found, 0
            if not self.open:
                self._open()
            self._begin(number)
        elif asked != BEGIN:
            self.schedule.hand_in(number, asked)
            if self.storage is None:
                self._done(asked)
            else:
                self._coming[self._transfers.submit(self._fetch, self.schedule.tasks[asked])] = asked
        self._free.add(number)
        self._look(number)

    def _begin(self, number: int) -> None:
        """Give a worker the job."""
        hand, key = self.hands[number], self.storage.key if self.storage else ""
        hand.refs[hand.actor.begin.remote(self._job, self.files, key)] = BEGIN
        self.schedule.hire(number)

    def _arrived(self) -> None:
        """Count what has come from the storage."""
        for future in [each for each in self._coming if each.done()]:
            place = self._coming.pop(future)
            if future.result():
                self._done(place)
            else:
                self.schedule.put_back(place, f"what it left in {self.address} is not whole")
                self._free.update(self.hands)

    def _done(self, place: int) -> None:
        self.schedule.done(place)
        self.step()

    def _lost(self, number: int, error: Exception) -> None:
        """A worker is gone: what it held goes to others, and another is asked for."""
        hand = self.hands.pop(number)
        self.engine.lost += 1
        reason = " ".join(str(error).split())[:300]
        if hand.started is None:
            self._deaths += 1
            if self._deaths >= MOST_TRIES:
                raise RunError(f"{MOST_TRIES} workers in turn were lost while they loaded the model: {reason}")
        else:
            before = self.schedule.again.total()
            self.schedule.lose(number, reason)
            self.engine.again += self.schedule.again.total() - before
        where = f" on {hand.started.host}" if hand.started else ""
        said = f"a worker{where} was lost and is replaced; only its batch in flight is done again"
        console.print(said, markup=False, highlight=False)
        self._look(self.engine.hire(self.work))
        self._free.update(self.hands)

    def _say_if_nobody_works(self, seconds: float) -> None:
        if any(hand.started is not None for hand in self.hands.values()):
            self._waited = 0.0
            return
        if self._waited < _NO_ROOM <= self._waited + seconds:
            console.print("no worker holds the model yet: it is still being loaded, or the cluster has no room")
        self._waited += seconds
