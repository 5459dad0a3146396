"""The engine over a Ray cluster: a replica of the model per worker process, on this machine or on many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hneurons.engine import Job
from hneurons.errors import RunError
from hneurons.progress import steps
from hneurons.study.cluster.connecting import Cluster, connected, ray_of
from hneurons.study.cluster.round import START, Hand, Round
from hneurons.study.cluster.worker import Place, Worker
from hneurons.study.work import Work

W = TypeVar("W")
T = TypeVar("T")

_PATIENCE = 10  # seconds for workers to clear their tables


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
        self.hands: dict[int, Hand] = {}
        self._hired = 0
        self._of: Path | None = None
        self.ray: Any = None
        self._close: Callable[[], None] | None = None
        self._gpus = 0

    def __enter__(self) -> RayEngine:
        ray_of()  # at once: not after an hour of something else
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that hold their model, each on its machine."""
        return [hand.started.pid for hand in self.hands.values() if hand.started is not None]

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
        self.connect()
        if self._of != work.run.path:
            self.release()
            self._of = work.run.path
        with steps(description, done + len(tasks), done) as step, self._interruptible():
            Round(self, job, work, tasks, step).run()

    def release(self) -> None:
        """Let the workers go, and their models."""
        idle = [hand for hand in self.hands.values() if hand.started is not None and not hand.refs]
        if idle:
            self.ray.wait([hand.actor.close.remote() for hand in idle], num_returns=len(idle), timeout=_PATIENCE)
        for hand in self.hands.values():
            self.ray.kill(hand.actor, no_restart=True)
        self.hands.clear()
        self._of = None

    def close(self) -> None:
        """Let the workers go, and the cluster if it was started here."""
        try:
            self.release()
        finally:
            if self._close is not None:
                self._close()
                self._close = None

    def connect(self) -> None:
        """Find the cluster, or start it; `run` does so when it is first needed."""
        if self._close is None:
            self.ray, self._gpus, self._close = connected(self.cluster)

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
        remote = self.ray.remote(Worker).options(
            num_cpus=self.cluster.cpus_per_worker, num_gpus=self._gpus, max_restarts=0, max_task_retries=0
        )
        number = self._hired = self._hired + 1
        hand = Hand(remote.remote(work, place))
        hand.refs[hand.actor.start.remote()] = START
        self.hands[number] = hand
        return number
