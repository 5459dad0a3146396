"""Jobs that end their worker, or fail, at a chosen point; workers import them from here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hneurons.errors import ModelError
from hneurons.study.cluster.storage import Storage
from hneurons.study.measuring import MeasureJob
from hneurons.study.work import Work


@dataclass(frozen=True)
class DiesWhileUploading(MeasureJob):
    """Ends its worker after `after` files of a batch were written to the storage; once, with `flag` as its mark."""

    flag: Path = Path()
    after: int = 1

    def start(self, work: Work, /) -> Callable[[int], None]:
        write, written = Storage._write, [0]

        def deadly(storage: Storage, system: Any, path: str, content: bytes) -> None:
            if written[0] == self.after and _first(self.flag):
                write(storage, system, path, content[: len(content) // 2])  # this one comes in half
                os.kill(os.getpid(), signal.SIGKILL)
            written[0] += 1
            write(storage, system, path, content)

        Storage._write = deadly  # type: ignore[method-assign]
        return super().start(work)


@dataclass(frozen=True)
class Refuses:
    """Raises an error of ours."""

    def start(self, work: Work, /) -> Callable[[int], None]:
        def one(number: int) -> None:
            raise ModelError(f"batch {number} does not fit; take a smaller one")

        return one


def _first(flag: Path) -> bool:
    """Whether nobody was here before; of two workers at once one is."""
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
