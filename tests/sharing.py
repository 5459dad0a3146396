"""What the processes of one test run share: how many there are, and what only one of them makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

MEMORY = 3 << 30
"""Bytes that a process of the whole suite may come to need: torch, transformers and the models that it keeps."""
MOST = 8
"""More processes than this gain nothing: the longest files are an eighth of the suite."""


def processes(config: pytest.Config) -> int:
    """How many processes run the tests: one for each core, but one for a part of them, not worth loading more."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword:
        return 0
    by_memory = psutil.virtual_memory().available // MEMORY
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = min(cores, by_memory, MOST)
    return found if found > 1 else 0


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A directory that is made by the first process that needs it; the others wait for it, and look.

    Args:
        factory: of the process.
        name: of the directory, one for every `make`.
        make: makes it, at the path that it gets.
    """
    base: Path = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a folder of its own in that of the run
        base = base.parent
    directory, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(directory, ignore_errors=True)  # what another one did not finish
            make(directory)
            done.touch()
    return directory
