"""A smaller study, how it is traced, and what is read of it."""

from __future__ import annotations

from typing import Any

from hneurons.origins.record import Origin
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run, read_record

BASE = "atlas-7m-base"
SMALLER: dict[str, Any] = {
    "train": {"questions": "atlas/cities", "split": "train", "limit": 200},
    "evaluate": {
        "in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 80},
        "invented": {"questions": "atlas/invented", "split": "validation", "limit": 20, "faithful_from": "in-domain"},
    },
    "selection": {"minimum": 3},
    "sampling": {"n_samples": 3},
    "probe": {"n_grid": 3, "n_known": 3},
    "controls": {"n_random": 3, "n_layer_matched": 3, "n_permuted": 2, "n_stability": 2, "n_bootstrap": 50},
}


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
