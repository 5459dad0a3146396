"""How a stage's work is done: a worker is mapped over the batches that are still missing.

Stages know a worker and its batches; where they run is the engine's affair. This one runs them here, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from hneurons.progress import track

T = TypeVar("T")


@runtime_checkable
class Engine(Protocol):
    """Runs `worker` on each of `tasks`. A task leaves its result on disk, whole or not at all."""

    def run(self, worker: Callable[[T], None], tasks: Sequence[T], description: str, done: int) -> None: ...


class Here:
    """The engine of one process."""

    def run(self, worker: Callable[[T], None], tasks: Sequence[T], description: str, done: int) -> None:
        """Run the tasks in order under a progress bar; `done` of them were done by an earlier run."""
        for task in track(tasks, description, completed=done):
            worker(task)
