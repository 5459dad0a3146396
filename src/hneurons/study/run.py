"""A run on disk: its configuration, its files, and which stages are done.

    config.json                     what the run is; a run is never continued with another
    model.json                      what the model was found to be
    questions/SET.jsonl             what is asked
    responses/SET/part-00000.parquet  what was said, a part per batch
    verdicts/                       what LLMs were asked about the responses, where endpoints are used
    judged.json                     verdicts, answer spans, what is fitted on and reported on, and what was left out
    contributions/SET/              what the neurons did
    columns/SET/                    the same for a fit to read, where it is too much for memory
    probe/                          the probe
    fit.json                        how it was chosen, and how stable it is
    detection.json                  how well it and its rivals detect
    sweep/                          a sweep over alpha, with settings of its own: what was said, a part per batch
    sweep.json                      what it found
    origin/config.json              how the base model of the run's model is asked
    origin/base/                    that model: a run of its own, on the same questions
    origin/checkpoints/NAME/        a model along the way there, likewise
    origin.json, growth.json        what these found
    layers/settings.json            how the run is asked layer by layer
    layers/PART/, layers/PART.json  the work on each part of that, and what it found
    layers.json                     all of it
    results.json, report.html       what to read

A stage is done when what it writes is there; nothing else is remembered, so a run can be killed at any moment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from hneurons.errors import ConfigChangedError, CorruptRunError, RunError
from hneurons.files import is_temporary, read_json, write_json
from hneurons.study.config import StudyConfig

M = TypeVar("M", bound=BaseModel)


class Run:
    """A run directory."""

    def __init__(self, path: Path, config: StudyConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def start(cls, path: Path, config: StudyConfig) -> Run:
        """Make a run directory, or go on with the one that is there.

        Raises:
            ConfigChangedError: the run there has another configuration; nothing of it is touched.
            RunError: there is something else at `path`.
        """
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; give another directory with --out")
        if (path / "config.json").exists():
            run = cls.open(path)
            if not (path / "responses").exists():  # a slip in its settings: it never got as far as an answer
                shutil.rmtree(path / "questions", ignore_errors=True)
                run.model.unlink(missing_ok=True)
                write_json(path / "config.json", config.model_dump(mode="json"))
                return cls(path, config)
            if changes := list(differences(run.config.deciding, config.deciding)):
                more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
                raise ConfigChangedError(
                    f"{path} holds a run with another configuration ({'; '.join(changes[:3])}{more}); "
                    "give another directory with --out, or repeat the run with its own settings"
                )
            if config != run.config:  # an endpoint is elsewhere, or less is held in memory
                write_json(path / "config.json", config.model_dump(mode="json"))
            return cls(path, config)
        if path.exists() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and holds no run; give another directory with --out")
        write_json(path / "config.json", config.model_dump(mode="json"))
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open the run at `path`.

        Raises:
            RunError: there is none.
            CorruptRunError: its configuration cannot be read.
        """
        file = path / "config.json"
        if not file.exists():
            raise RunError(f"there is no run in {path}; start one with: hneurons study --out {path}")
        try:
            config = StudyConfig.model_validate(read_json(file))
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptRunError(
                f"{file} is not a configuration of this version ({reason}); use another directory"
            ) from None
        return cls(path, config)

    def questions(self, name: str) -> Path:
        return self.path / "questions" / f"{name}.jsonl"

    def responses(self, name: str) -> Path:
        return self.path / "responses" / name

    def contributions(self, name: str) -> Path:
        return self.path / "contributions" / name

    @property
    def columns(self) -> Path:
        """Contributions as a fit reads them; may be deleted, and is made again where it is needed."""
        return self.path / "columns"

    @property
    def verdicts(self) -> Path:
        """The cache of endpoints' answers."""
        return self.path / "verdicts"

    @property
    def judged(self) -> Path:
        return self.path / "judged.json"

    @property
    def model(self) -> Path:
        return self.path / "model.json"

    @property
    def probe(self) -> Path:
        return self.path / "probe"

    @property
    def fit(self) -> Path:
        return self.path / "fit.json"

    @property
    def detection(self) -> Path:
        return self.path / "detection.json"

    @property
    def sweep(self) -> Path:
        return self.path / "sweep"

    @property
    def sweep_found(self) -> Path:
        return self.path / "sweep.json"

    @property
    def origin(self) -> Path:
        return self.path / "origin"

    @property
    def origin_found(self) -> Path:
        return self.path / "origin.json"

    @property
    def growth_found(self) -> Path:
        return self.path / "growth.json"

    @property
    def layers(self) -> Path:
        return self.path / "layers"

    @property
    def layers_found(self) -> Path:
        return self.path / "layers.json"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for one process; the lock goes with the process, also when it is killed.

        Raises:
            RunError: another process works on this run.
        """
        import fcntl

        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"another process works on {self.path}; wait for it, or give another --out") from None
            self.remove_unfinished()
            yield

    def remove_unfinished(self) -> None:
        """Remove what killed processes were writing, when none is writing; a nested run does so for itself."""
        for directory, inner, files in os.walk(self.path):
            if Path(directory) == self.path:
                inner[:] = [name for name in inner if name != self.origin.name]
            for name in [each for each in inner if is_temporary(each)]:
                inner.remove(name)
                shutil.rmtree(Path(directory) / name, ignore_errors=True)
            for name in filter(is_temporary, files):
                (Path(directory) / name).unlink(missing_ok=True)


def read_record(file: Path, kind: type[M]) -> M:
    """A file that a stage wrote, as the record that it is.

    Raises:
        CorruptRunError: it is missing, damaged, or of another version.
    """
    try:
        return kind.model_validate(read_json(file))
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CorruptRunError(f"{file} cannot be read ({reason}); delete it and run again") from None


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Fields in which two configurations differ, as "field: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where}: {old} there, {new} now".replace("\n", "\\n")
