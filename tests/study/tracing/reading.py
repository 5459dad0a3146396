"""A smaller study, how it is traced, and what is read of it."""

from __future__ import annotations

from typing import Any

from hneurons.origins.record import Origin
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run, read_record

BASE = "atlas-7m-base"


def settings(base: str | None = BASE, **changed: Any) -> OriginSettings:
    fields = {
        "base": base and {"name": base, "dtype": "float32"},
        "prompt": {"style": "plain"},
        "stop": ["\n"],
    }
    return OriginSettings.model_validate(fields | changed)


def found(run: Run) -> Origin:
    return read_record(run.origin_found, Origin)


def base_of(run: Run) -> Run:
    return Run.open(run.origin / "base")


def artifacts(run: Run) -> dict[str, bytes]:
    files = [*run.origin.rglob("*"), run.origin_found]
    return {
        str(file.relative_to(run.path)): file.read_bytes() for file in files if file.is_file() and file.name != "lock"
    }
