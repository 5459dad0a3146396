"""A user's mistake about a sweep is one line that says what to do, and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hneurons.errors import RunError
from hneurons.files import write_json
from hneurons.study.config import make_config
from hneurons.study.run import Run


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that has no probe."""
    return Run.start(tmp_path / "run", make_config()).path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--alphas", "0,x"], "write it as 0,0.5,1"),
        (["--alphas=-1,2"], "alphas.0: Input should be greater than or equal to 0"),
        (["--alphas", "1"], "give at least one other"),
        (["--judge-url", "http://localhost:1/v1"], "give both --judge-url and --judge-model"),
        (["--benchmark", "falseqa", "--benchmark", "falseqa"], "none twice"),
        ([], "has no probe yet; find it with: hneurons fit"),
    ],
)
def test_what_is_wrong_is_said(fails: Callable[..., str], begun: Path, options: list[str], expected: str) -> None:
    assert expected in fails("sweep", begun, *options)
    assert not (begun / "sweep").exists()


def test_a_setting_that_is_none_is_named(fails: Callable[..., str], begun: Path, tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    write_json(file, {"n_rnadom": 3})
    assert "n_rnadom in" in fails("sweep", begun, "--config", file)


def test_no_run_no_sweep(fails: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no run" in fails("sweep", tmp_path / "nowhere")


def test_a_demo_is_of_a_bundled_model(fails: Callable[..., str], tmp_path: Path) -> None:
    message = fails("demo", "--model", "nowhere", "--out", tmp_path / "run")
    assert "'nowhere' is no bundled model; use one of atlas-7m" in message
    assert not (tmp_path / "run").exists()


def test_numbers() -> None:
    from hneurons.cli.sweep import numbers

    assert numbers("0, 0.5,1") == [0, 0.5, 1]
    with pytest.raises(RunError):
        numbers("")
