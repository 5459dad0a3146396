"""What a worker process does: it loads the run's model once, starts jobs with it, and does one task at a time.

Nothing here knows of Ray. Errors are returned, not raised, so that they reach the user as what they are.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from hneurons.engine import Here, Job
from hneurons.files import atomic_path, read_json
from hneurons.study.cluster.storage import Portable, Storage
from hneurons.study.run import Run
from hneurons.study.work import Work

R = TypeVar("R")


@dataclass(frozen=True)
class Place:
    """What a worker is given beside the run.

    Attributes:
        gpus: accelerators; on more than one the model is spread.
        threads: CPU threads of a forward pass; results can differ in their last bits from one number to another.
        directory: the working directory of the command, where it is there too: relative paths mean the same.
        storage: address of a storage; the run's directory is on a disk that is shared where there is none.
    """

    gpus: int
    threads: int
    directory: str
    storage: str | None


@dataclass(frozen=True)
class Started:
    """A worker that holds the model of the run, which it found to be as `record` says."""

    record: Mapping[str, Any]
    pid: int
    host: str


@dataclass(frozen=True)
class Failed:
    """An error, and where it was raised."""

    error: Exception
    trace: str


@dataclass
class Worker:
    """One replica of the model."""

    work: Work
    place: Place
    _scratch: Path | None = field(default=None, init=False)
    _job: Job[Work, Any] | None = field(default=None, init=False)
    _do: Callable[[Any], None] | None = field(default=None, init=False)
    _storage: Storage | None = field(default=None, init=False)

    def start(self) -> Started | Failed:
        """Load the model."""
        return _caught(self._start)

    def begin(self, job: Job[Work, Any], files: Mapping[str, bytes], key: str) -> Failed | None:
        """Take up a job; `files` are what it needs of the run, and `key` is where its files lie in the storage."""
        return _caught(lambda: self._begin(job, files, key))

    def do(self, task: Any) -> Failed | None:
        """Do a task of the job."""
        return _caught(lambda: self._one(task))

    def _start(self) -> Started:
        torch.set_num_threads(self.place.threads)
        if Path(self.place.directory).is_dir():
            os.chdir(self.place.directory)
        run = self.work.run
        chosen = run.config.model
        update: dict[str, Any] = {"device": None}  # where the weights go is this worker's affair
        if chosen.device_map is None:
            update |= {"device_map": "auto"} if self.place.gpus > 1 else {"device": None if self.place.gpus else "cpu"}
        model = chosen.model_copy(update=update)
        path = run.path
        if self.place.storage is not None:
            self._scratch = path = Path(tempfile.mkdtemp(prefix="hneurons-worker-"))
            self.bring({"model.json": run.model.read_bytes()} if run.model.exists() else {})
        self.work = Work(Run(path, run.config.model_copy(update={"model": model})), Here())
        _ = self.work.model
        return Started(read_json(self.work.run.model), os.getpid(), socket.gethostname())

    def _begin(self, job: Job[Work, Any], files: Mapping[str, bytes], key: str) -> None:
        if self.place.storage is not None:
            self._storage = Storage(self.place.storage, key)
            self.bring(files)
        self._job, self._do = job, job.start(self.work)

    def _one(self, task: Any) -> None:
        assert self._do is not None
        self._do(task)
        if self._storage is not None and isinstance(self._job, Portable):
            files = self._job.leaves(self.work, task)
            self._storage.put(self.work.run.path, files)
            for file in files:
                file.unlink()

    def bring(self, files: Mapping[str, bytes]) -> None:
        """Put files of the run where this worker looks for them."""
        assert self._scratch is not None
        for name, content in files.items():
            with atomic_path(self._scratch / name) as temporary:
                temporary.write_bytes(content)

    def close(self) -> None:
        """Remove what lies on this machine."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _caught(do: Callable[[], R]) -> R | Failed:
    try:
        return do()
    except Exception as error:
        return Failed(error, traceback.format_exc())
