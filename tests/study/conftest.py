"""Two small studies on the bundled model, each run once for all tests that look at a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sharing import made_once

from hneurons.files import write_json
from hneurons.study.config import make_config
from hneurons.study.run import Run
from hneurons.study.stages import run_stages

SMALL: Mapping[str, Any] = {
    "train": {"questions": "atlas/cities", "split": "train", "limit": 900},
    "evaluate": {
        "in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 300},
        "invented": {"questions": "atlas/invented", "split": "validation", "limit": 120, "faithful_from": "in-domain"},
    },
    "selection": {"minimum": 5},
    "probe": {"n_grid": 5, "n_known": 20},
    "controls": {"n_random": 3, "n_layer_matched": 3, "n_permuted": 2, "n_stability": 4, "n_bootstrap": 200},
}

SMALLER: Mapping[str, Any] = {
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
"""As little to ask and to fit as gives a probe, for what runs whole studies again."""

ONE_DAY = {"SOURCE_DATE_EPOCH": "1767225600"}
"""Artifacts carry a date: set, runs on either side of midnight are equal."""


@contextmanager
def one_day() -> Iterator[None]:
    """What is made in the block is of that day."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_DAY.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def small_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration file of the small study."""
    file: Path = tmp_path_factory.mktemp("config") / "small.json"
    write_json(file, SMALL)
    return file


@pytest.fixture(scope="session")
def smaller_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration file of the smaller study."""
    file: Path = tmp_path_factory.mktemp("config") / "smaller.json"
    write_json(file, SMALLER)
    return file


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, small_config: Path) -> Run:
    """The small study, finished. Look, do not write."""
    return Run.open(made_once(tmp_path_factory, "small", lambda path: study(path, small_config)))


@pytest.fixture(scope="session")
def smaller(tmp_path_factory: pytest.TempPathFactory, smaller_config: Path) -> Run:
    """The smaller study, finished. Look, do not write."""
    return Run.open(made_once(tmp_path_factory, "smaller", lambda path: study(path, smaller_config)))


def study(path: Path, config: Path) -> None:
    """Run one to its end."""
    with one_day():
        run_stages(Run.start(path, make_config(config)))
