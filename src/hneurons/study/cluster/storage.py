"""Files of a run in a storage that all machines reach, where they share no disk: any address that fsspec knows.

    ADDRESS/KEY/responses/train/part-00003.parquet        the files of a batch, named as in the run
    ADDRESS/KEY/responses/train/part-00003.parquet.json   the list of them, with sizes and digests; written last

KEY stands for all that decides what is in them, so that one address serves many runs, and none takes another's files.
A batch is there when its list is whole and every file is as the list says: a transfer that broke off leaves nothing
that counts. Who may read and write is between the storage and its library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from hneurons.errors import RunError
from hneurons.files import atomic_path
from hneurons.study.work import Work

T_contra = TypeVar("T_contra", contravariant=True)


@runtime_checkable
class Portable(Protocol[T_contra]):
    """A job that can be done where the run's directory is not.

    `needs` are the files of the run that must be there to begin, `leaves` those that a task leaves, in the order in
    which they count (the last one makes the task done), and `content` is all that decides what is in them, beside the
    configuration and the model.
    """

    def start(self, work: Work, /) -> Callable[[T_contra], None]: ...

    def needs(self, work: Work) -> Sequence[Path]: ...

    def leaves(self, work: Work, task: T_contra, /) -> Sequence[Path]: ...

    @property
    def content(self) -> str: ...


def key_of(work: Work, job: Portable[Any]) -> str:
    """Where the files of a job lie: a digest of the configuration, the model as it was found, and the job's content."""
    model = json.loads(work.run.model.read_text(encoding="utf-8"))["fingerprint"]
    told = json.dumps([work.run.config.deciding, model, job.content], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:24]


class _Listed(BaseModel):
    """One file of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size: int
    sha256: str


class _List(BaseModel):
    """The files of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[_Listed, ...]


class Storage:
    """The files of one job in the storage at `url`."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path there.

        Raises:
            RunError: there is no such storage, or its library is not installed.
        """
        from fsspec.core import url_to_fs

        try:
            files, path = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise RunError(
                f"--storage {self.url} cannot be used ({error}); install the library of that storage, "
                "or give a path of a disk that all machines share"
            ) from None
        if "memory" in files.protocol:
            raise RunError(f"--storage {self.url} is the memory of one process; give one that all machines reach")
        return files, f"{path.rstrip('/')}/{self.key}"

    def put(self, root: Path, files: Sequence[Path]) -> None:
        """Bring the files of a batch, which lie below `root`, into the storage: in their order, and their list last."""
        system, base = self._opened
        listed = []
        for file in files:
            name, content = file.relative_to(root).as_posix(), file.read_bytes()
            self._write(system, f"{base}/{name}", content)
            listed.append(_Listed(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()))
        whole = _List(files=tuple(listed))
        self._write(system, f"{base}/{listed[-1].name}.json", whole.model_dump_json().encode())

    def get(self, root: Path, files: Sequence[Path]) -> bool:
        """Bring the files of a batch to where they belong below `root`; False if they are not whole in the storage.

        Each file comes whole or not at all, and the last one, which makes the batch count, comes last.
        """
        system, base = self._opened
        names = [file.relative_to(root).as_posix() for file in files]
        try:
            whole = _List.model_validate_json(system.cat_file(f"{base}/{names[-1]}.json"))
        except (FileNotFoundError, ValidationError):
            return False
        if [each.name for each in whole.files] != names:
            return False
        for each, file in zip(whole.files, files, strict=True):
            try:
                content = system.cat_file(f"{base}/{each.name}")
            except FileNotFoundError:
                return False
            if len(content) != each.size or hashlib.sha256(content).hexdigest() != each.sha256:
                return False
            with atomic_path(file) as temporary:
                temporary.write_bytes(content)
        return True

    def _write(self, system: Any, path: str, content: bytes) -> None:
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, content)
