"""What a figure was taken on: processor, memory, GPU, versions, date and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict

PACKAGES = (
    "hneurons", "torch", "transformers", "numpy", "scipy", "scikit-learn", "skglm", "numba", "zarr", "safetensors",
    "ray", "bitsandbytes", "torchao",
)  # fmt: skip
HERE = Path(__file__).resolve().parent


class Machine(BaseModel):
    """A machine and what runs on it.

    Attributes:
        cpu: the processor's own name.
        cores: logical cores that this process may use.
        threads: threads that torch takes for one operation.
        memory_gb: main memory, in 10^9 bytes; None where the system does not say.
        gpu: name of the GPU, None without one.
        gpu_memory_gb: its memory.
        gpus: how many there are.
        system: kernel and architecture.
        python: its version.
        packages: versions of what matters here and is installed.
        commit: of the checkout, with "+" where files differ from it; None outside one.
        date: day, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    threads: int
    memory_gb: float | None
    gpu: str | None
    gpu_memory_gb: float | None
    gpus: int
    system: str
    python: str
    packages: dict[str, str]
    commit: str | None
    date: str

    @classmethod
    def here(cls) -> Self:
        """This machine, now, as this process sees it."""
        gpu = torch.cuda.get_device_properties(torch.cuda.current_device()) if torch.cuda.is_available() else None
        return cls(
            cpu=_cpu(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            threads=torch.get_num_threads(),
            memory_gb=_memory(),
            gpu=gpu.name if gpu else None,
            gpu_memory_gb=round(gpu.total_memory / 1e9, 1) if gpu else None,
            gpus=torch.cuda.device_count() if gpu else 0,
            system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])} {platform.machine()}",
            python=platform.python_version(),
            packages=_packages(),
            commit=_commit(),
            date=datetime.now(UTC).date().isoformat(),
        )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=10", "HEAD")
    differing = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/RESULTS.md")
    return None if commit is None else commit + ("+" if differing else "")
