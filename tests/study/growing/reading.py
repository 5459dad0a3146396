"""How checkpoints are looked at in these tests, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from hneurons.engine import Job
from hneurons.origins.record import Checkpoint, Growth
from hneurons.questions.prompts import PromptFormat
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run

T, W = TypeVar("T"), TypeVar("W")

ASKED = {"in-domain": 80, "invented": 20}
BY = "statements read"
SETTINGS = OriginSettings(prompt=PromptFormat(style="plain"), by=BY)


class Watched:
    """The engine of one process; remembers what it was given to do, and gives up after `lives` batches."""

    def __init__(self, lives: float = float("inf")) -> None:
        self.lives = lives
        self.done: list[str] = []

    def run(self, job: Job[W, T], work: W, tasks: Sequence[T], description: str, done: int) -> None:
        one = job.start(work)
        for task in tasks:
            if self.lives <= 0:
                raise KeyboardInterrupt
            self.lives -= 1
            self.done.append(description)
            one(task)

    def release(self) -> None:
        """The model is in this process."""


def nested(run: Run, name: str) -> Run:
    return Run.open(run.origin / "checkpoints" / name)


def artifacts(run: Run) -> dict[str, bytes]:
    files = [*run.origin.rglob("*"), run.growth_found]
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files if file.is_file()}


def each(grown: tuple[Run, Growth]) -> Iterator[tuple[Run, Checkpoint]]:
    for found in grown[1].checkpoints:
        yield nested(grown[0], found.name), found
