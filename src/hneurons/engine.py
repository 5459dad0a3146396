"""How a stage's work is done: a job is started where the model is, and given the tasks that are still missing.

Stages know a job and its tasks; where they run is the engine's affair. This one runs them here, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from hneurons.progress import track

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


@runtime_checkable
class Job(Protocol[W_contra, T_contra]):
    """What is done to every task of a stage: a record that another process can be given.

    It holds no model. `start` is called once in a process with what the stage works on (`work`: a run, and its model
    when it is asked for), and gives what is then called with one task at a time. A task leaves its result on disk,
    whole or not at all, and the same wherever it is done.
    """

    def start(self, work: W_contra, /) -> Callable[[T_contra], None]: ...


@runtime_checkable
class Engine(Protocol):
    """Runs a job on tasks."""

    def run(self, job: Job[W, T], work: W, tasks: Sequence[T], description: str, done: int) -> None:
        """Do the tasks, in any order, under a progress bar; `done` of them were done by an earlier run."""
        ...

    def release(self) -> None:
        """Give back what is held for the next run, such as models on accelerators: this process needs the room."""
        ...


class Here:
    """The engine of one process."""

    def run(self, job: Job[W, T], work: W, tasks: Sequence[T], description: str, done: int) -> None:
        """Run the tasks in order."""
        if not tasks:
            return
        one = job.start(work)
        for task in track(tasks, description, completed=done):
            one(task)

    def release(self) -> None:
        """Nothing is held beside the model of this process."""
