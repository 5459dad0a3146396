"""Work that is done and kept task by task: a part on disk for each, so that a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from hneurons.engine import Engine
from hneurons.errors import CorruptRunError
from hneurons.files import atomic_path

T = TypeVar("T")
Arrays = Mapping[str, np.ndarray]
"""What a task leaves: arrays by name, of plain numbers."""


def kept(
    folder: Path, tasks: Sequence[T], work: Callable[[T], Arrays], engine: Engine, description: str
) -> list[dict[str, np.ndarray]]:
    """What `work` makes of each task, in order; what an earlier run made of them is read, not made again.

    Task i is `folder/part-0000i.safetensors`, written whole or not at all. The caller answers for it that the tasks of
    a folder are always the same; a folder of other tasks is another folder.

    Args:
        folder: where the parts lie.
        tasks: what is done; a worker gets one at a time.
        work: makes the arrays of a task.
        engine: runs what is missing; one of this process, as `work` may hold what no other can be given.
        description: for the progress bar: "reading the lens".

    Raises:
        CorruptRunError: a part cannot be read.
    """
    missing = [number for number in range(len(tasks)) if not part_file(folder, number).exists()]

    def one(number: int) -> None:
        made = {name: np.ascontiguousarray(array) for name, array in work(tasks[number]).items()}
        with atomic_path(part_file(folder, number)) as temporary:
            temporary.write_bytes(save(made))

    if missing:
        engine.run(_Closure(one), None, missing, description, len(tasks) - len(missing))
    return [_read(part_file(folder, number)) for number in range(len(tasks))]


@dataclass(frozen=True)
class _Closure:
    """A job of this process alone: what it needs, it holds."""

    work: Callable[[int], None]

    def start(self, _: None, /) -> Callable[[int], None]:
        return self.work


def joined(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """The arrays of all parts, each along its first axis, in the order of the parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def part_file(folder: Path, number: int) -> Path:
    """Where the part of task `number` lies."""
    return folder / f"part-{number:05d}.safetensors"


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise CorruptRunError(f"{file} cannot be read ({error}); delete it and run again") from None
