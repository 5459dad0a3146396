"""The smaller study, traced to the bundled base model; made once for all tests of tracing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sharing import made_once
from tests.study.conftest import one_day
from tests.study.tracing.reading import settings

from hneurons.study import tracing
from hneurons.study.evaluating import Fitted, fitted_detectors
from hneurons.study.run import Run
from hneurons.study.tracing import trace

FITTED: dict[str, Fitted] = {}
"""What this process fitted while it traced: on the run ("run") and on its base model ("base")."""


@pytest.fixture(autouse=True)
def _one_day() -> Iterator[None]:
    with one_day():
        yield


@pytest.fixture(scope="session")
def traced(smaller: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smaller study, traced both ways without interruption. Look, do not write."""

    def kept(run: Run) -> Fitted:
        return FITTED.setdefault(run.path.name, fitted_detectors(run))

    def make(path: Path) -> None:
        run = Run.open(shutil.copytree(smaller.path, path / "run"))
        with one_day(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(tracing, "fitted_detectors", kept)
            trace(run, settings())

    return Run.open(made_once(tmp_path_factory, "traced", make) / "run")


@pytest.fixture(scope="session")
def fits(traced: Run) -> dict[str, Fitted]:
    """What is fitted on the run ("run") and on its base model ("base")."""
    with one_day():
        for run in (traced, Run.open(traced.origin / "base")):
            if run.path.name not in FITTED:  # another process traced
                FITTED[run.path.name] = fitted_detectors(run)
    return FITTED


@pytest.fixture
def copy(traced: Run, tmp_path: Path) -> Run:
    """The traced study, in a directory of the test's own."""
    return Run.open(shutil.copytree(traced.path, tmp_path / "run"))


@pytest.fixture
def once(fits: dict[str, Fitted], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fitted on the same answers is the same, and not fitted again."""
    monkeypatch.setattr(tracing, "fitted_detectors", lambda run: fits[run.path.name])
