"""One progress bar for everything that may take longer than two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

console = Console(stderr=True)


def track(items: Iterable[T], description: str, total: int | None = None, completed: int = 0) -> Iterator[T]:
    """Yield `items` under a progress bar with counts and time left; a bar only where there is a terminal.

    Args:
        items: what is worked on, one step each.
        description: a few words in the present participle, such as "sampling responses".
        total: number of steps including those done before; taken from `len(items)` where left out.
        completed: steps that an earlier, interrupted run has done.
    """
    if total is None and isinstance(items, Sized):
        total = completed + len(items)
    with _bar() as progress:
        task = progress.add_task(description, total=total, completed=completed)
        for item in items:
            yield item
            progress.advance(task)


@contextmanager
def steps(description: str, total: int, completed: int = 0) -> Iterator[Callable[[], None]]:
    """The same bar for work that ends out of order: call what is yielded once for each step that is done."""
    with _bar() as progress:
        task = progress.add_task(description, total=total, completed=completed)
        yield lambda: progress.advance(task)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)
