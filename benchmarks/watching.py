"""A process that is watched to its end: its output in a log, how long it took, and what else the machine did."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """What a process took: seconds, the share of the cores that other work had, and what went wrong, if anything."""

    seconds: float
    others: float | None
    problem: str


def watched(command: Sequence[str], log: Path, limit: float) -> Taken:
    """Run a script to its end, its output in `log`; after `limit` seconds it is ended with all that it started."""
    began, busy, own = time.monotonic(), busy_seconds(), child_seconds()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
        )
        problem = ""
        try:
            if process.wait(timeout=limit):
                problem = last_line(log) or f"it ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            problem = f"it took longer than {limit / 60:.0f} minutes"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds = time.monotonic() - began
    now = busy_seconds()
    if busy is None or now is None:
        return Taken(seconds, None, problem)
    others = (now - busy - (child_seconds() - own)) / (seconds * (os.cpu_count() or 1))
    return Taken(seconds, min(1.0, max(0.0, others)), problem)


def environment() -> dict[str, str]:
    """Of the scripts: nothing is looked for on a network, and what they print is in the log at once."""
    return os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


def busy_seconds() -> float | None:
    """Seconds that all cores together have worked since this machine was started, waiting aside (Linux)."""
    try:
        user, nice, system, _idle, _wait, *other = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + sum(other)) / os.sysconf("SC_CLK_TCK")


def child_seconds() -> float:
    """CPU seconds of the processes that this one started and has seen the end of."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
