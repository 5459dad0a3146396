"""The engine over a Ray cluster: a replica of the model per worker process, on this machine or on many."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hneurons.engine import Job
from hneurons.errors import RunError
from hneurons.progress import console, steps
from hneurons.study.cluster.connecting import Cluster, connected, ray_of
from hneurons.study.cluster.schedule import MOST_DEATHS, Schedule
from hneurons.study.cluster.storage import Portable, Storage, key_of
from hneurons.study.cluster.worker import Failed, Place, Started, Worker
from hneurons.study.work import Work

W = TypeVar("W")
T = TypeVar("T")

_AT_ONCE = 8  # transfers from the storage
_PATIENCE = 10  # seconds for workers to clear their tables
_NO_ROOM = 60  # seconds without a worker, after which that is said


@dataclass
class _Hand:
    """A worker as the engine sees it: its actor, what it is asked now, and what it was found to be."""

    actor: Any
    refs: dict[Any, int] = field(default_factory=dict)  # what it was asked: the place of a task, or one of those below
    started: Started | None = None


_START, _BEGIN = -1, -2


class RayEngine:
    """Runs jobs on workers that hold a model each; use it in a `with` block.

    Workers are started when a run first needs them, stay for its later jobs, and are let go for another run's, or when
    this process needs the model itself. A worker that is lost, alone or with its machine, is replaced, and the task
    that it was doing is done again by another.

    Attributes:
        cluster: what was asked for.
        lost: workers that were lost so far.
        again: tasks that were begun again because of that.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lost = 0
        self.again = 0
        self._hands: dict[int, _Hand] = {}
        self._hired = 0
        self._of: Path | None = None
        self._ray: Any = None
        self._close: Any = None
        self._gpus = 0

    def __enter__(self) -> RayEngine:
        ray_of()  # at once: not after an hour of something else
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that hold their model, each on its machine."""
        return [hand.started.pid for hand in self._hands.values() if hand.started is not None]

    def run(self, job: Job[W, T], work: W, tasks: Sequence[T], description: str, done: int) -> None:
        """Do the tasks, in any order.

        Raises:
            RunError: Ray, the cluster or the storage cannot be used, or one batch has cost three workers.
            HNeuronsError: what a worker raised: a task is not tried again for it.
        """
        if not tasks:
            return
        if not isinstance(work, Work):
            raise RunError("this work holds what no other process can be given; leave --engine out")
        work.unload()
        self._connect()
        if self._of != work.run.path:
            self.release()
            self._of = work.run.path
        with steps(description, done + len(tasks), done) as step, self._interruptible():
            _Round(self, job, work, tasks, step).run()

    def release(self) -> None:
        """Let the workers go, and their models."""
        idle = [hand for hand in self._hands.values() if hand.started is not None and not hand.refs]
        if idle:
            self._ray.wait([hand.actor.close.remote() for hand in idle], num_returns=len(idle), timeout=_PATIENCE)
        for hand in self._hands.values():
            self._ray.kill(hand.actor, no_restart=True)
        self._hands.clear()
        self._of = None

    def close(self) -> None:
        """Let the workers go, and the cluster if it was started here."""
        try:
            self.release()
        finally:
            if self._close is not None:
                self._close()
                self._close = None

    def _connect(self) -> None:
        if self._close is None:
            self._ray, self._gpus, self._close = connected(self.cluster)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """What ends a round early ends the workers: none goes on with a task that nobody waits for."""
        try:
            yield
        except BaseException:
            self.release()
            raise

    def hire(self, work: Work) -> int:
        """Ask the cluster for a worker; it comes when there is room."""
        place = Place(self._gpus, self.cluster.cpus_per_worker, str(Path.cwd()), self.cluster.storage)
        remote = self._ray.remote(Worker).options(
            num_cpus=self.cluster.cpus_per_worker, num_gpus=self._gpus, max_restarts=0, max_task_retries=0
        )
        number = self._hired = self._hired + 1
        hand = _Hand(remote.remote(work, place))
        hand.refs[hand.actor.start.remote()] = _START
        self._hands[number] = hand
        return number


class _Round:
    """One job on its tasks."""

    def __init__(self, engine: RayEngine, job: Any, work: Work, tasks: Sequence[Any], step: Any) -> None:
        self.engine, self.job, self.work, self.tasks, self.step = engine, job, work, tasks, step
        self.ray, self.hands = engine._ray, engine._hands
        self.schedule: Schedule[Any] | None = None
        self.deaths = 0  # of workers that had not started, one after the other
        self.shared: Any = None
        self.files: dict[str, bytes] = {}
        self.key = ""
        self.storage: Storage | None = None
        self.waited = 0.0
        self.coming: dict[Future[bool], int] = {}

    def run(self) -> None:
        lost = self.engine.lost
        self.shared = self.ray.put(self.job)
        with ThreadPoolExecutor(_AT_ONCE) as self.transfers:
            left = len(self.tasks)
            if self.work.run.model.exists():
                left = self._open()
            while left and len(self.hands) < min(self.engine.cluster.workers, left):
                self.engine.hire(self.work)
            for number, hand in list(self.hands.items()):
                if hand.started is not None:
                    self._begin(number)
            while self.schedule is None or not self.schedule.finished:
                self._turn()
        if self.engine.lost > lost:
            self.work.run.remove_unfinished()  # nobody writes now: what the lost were writing is nobody's

    def _open(self) -> int:
        """Lay out what is to be done, now that it is known of which model: what the storage has is only fetched.

        Returns how much is left.
        """
        tasks = list(self.tasks)
        if self.engine.cluster.storage is not None:
            if not isinstance(self.job, Portable):
                raise RunError("this work needs the run's directory on every machine; leave --storage out")
            root = self.work.run.path
            self.key = key_of(self.work, self.job)
            self.files = {
                file.relative_to(root).as_posix(): file.read_bytes()
                for file in (*self.job.needs(self.work), self.work.run.model)
            }
            self.storage = Storage(self.engine.cluster.storage, self.key)
            there = list(self.transfers.map(self._fetch, tasks))
            for _ in filter(None, there):
                self.step()
            tasks = [task for task, found in zip(tasks, there, strict=True) if not found]
        self.schedule = Schedule(tasks)
        return len(tasks)

    def _fetch(self, task: Any) -> bool:
        assert self.storage is not None
        return self.storage.get(self.work.run.path, self.job.leaves(self.work, task))

    def _turn(self) -> None:
        """Hand out what can be handed out, and wait for something to happen."""
        assert self.schedule is not None or any(hand.refs for hand in self.hands.values())
        for number, hand in self.hands.items():
            if self.schedule is not None and hand.started is not None and _BEGIN not in hand.refs.values():
                while (place := self.schedule.next_for(number)) is not None:
                    hand.refs[hand.actor.do.remote(self.schedule.tasks[place])] = place
        self._arrived()
        waiting = {ref: number for number, hand in self.hands.items() for ref in hand.refs}
        if not waiting and not self.coming:
            return
        # A worker's answers come in the order of what it was asked, so the first of each is enough to wait for.
        before = time.monotonic()
        first = [next(iter(hand.refs)) for hand in self.hands.values() if hand.refs]
        ready, _ = self.ray.wait(first, num_returns=1, timeout=0.2 if self.coming else 5.0) if first else ([], [])
        for ref in ready:
            self._answered(waiting[ref], ref)
        self._say_if_there_is_no_room(time.monotonic() - before)

    def _say_if_there_is_no_room(self, seconds: float) -> None:
        if any(hand.started is not None for hand in self.hands.values()):
            self.waited = 0.0
        elif self.waited < _NO_ROOM <= self.waited + seconds:
            console.print("no worker holds the model yet: it is still being loaded, or the cluster has no room")
            self.waited += seconds
        else:
            self.waited += seconds

    def _arrived(self) -> None:
        """Count what has come from the storage."""
        for future in [each for each in self.coming if each.done()]:
            place = self.coming.pop(future)
            assert self.schedule is not None
            if future.result():
                self.schedule.done(place)
                self.step()
            else:
                self.schedule.put_back(place, f"what it leaves in {self.engine.cluster.storage} is not whole")

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
        place = hand.refs.pop(ref)
        if place == _START:
            self.work.recognise(dict(found.record))
            hand.started, self.deaths = found, 0
            if self.schedule is None:
                self._open()
            self._begin(number)
        elif place != _BEGIN:
            assert self.schedule is not None
            self.schedule.hand_in(number, place)
            if self.storage is not None:
                self.coming[self.transfers.submit(self._fetch, self.schedule.tasks[place])] = place
            else:
                self.schedule.done(place)
                self.step()

    def _begin(self, number: int) -> None:
        hand = self.hands[number]
        hand.refs[hand.actor.begin.remote(self.shared, self.files, self.key)] = _BEGIN
        assert self.schedule is not None
        self.schedule.hire(number)

    def _lost(self, number: int, error: Exception) -> None:
        """A worker is gone: what it held goes to others, and another is asked for."""
        hand = self.hands.pop(number)
        self.engine.lost += 1
        reason = " ".join(str(error).split())[:300]
        if hand.started is None:
            self.deaths += 1
            if self.deaths >= MOST_DEATHS:
                raise RunError(f"{MOST_DEATHS} workers in turn were lost while they loaded the model: {reason}")
        elif self.schedule is not None:
            before = self.schedule.again.total()
            self.schedule.lose(number, reason)
            self.engine.again += self.schedule.again.total() - before
        where = f" on {hand.started.host}" if hand.started else ""
        said = f"a worker{where} was lost and is replaced; nothing but its batch in flight is done again"
        console.print(said, markup=False, highlight=False)
        self.engine.hire(self.work)
