"""`hneurons plan`, and the options of engines, by the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hneurons.cli import build
from hneurons.errors import RunError
from hneurons.files import write_json

RATES = ["--sampled=2000", "--measured=10000", "--response-tokens=8", "--prompt-tokens=42", "--read=1", "--write=0.5"]


def test_a_plan_is_printed_with_its_bottleneck(tmp_path: Path) -> None:
    sets = {
        "train": {"questions": "x.jsonl", "limit": 100},
        "evaluate": {"in-domain": {"questions": "x.jsonl", "split": "validation", "limit": 50}},
    }
    write_json(tmp_path / "config.json", {"model": {"name": "some/model"}, **sets})
    config = ["--config", str(tmp_path / "config.json")]
    said = CliRunner().invoke(build(), ["plan", "--shape", "32x14336x4096", "--weights", "16", *RATES, *config])
    assert said.exit_code == 0, said.output
    assert f"contributions {2 * 150 * 32 * (14336 + 4096) * 4 / 1e9:.1f} GB on disk" in said.output
    assert "fit: its rate was not given" in said.output
    assert said.output.count("first bottleneck: ") == 2


def test_a_shape_that_is_none_is_refused() -> None:
    with pytest.raises(RunError, match="write layers x neurons x width"):
        CliRunner().invoke(build(), ["plan", "--shape", "32", "--weights", "1", *RATES], catch_exceptions=False)


def test_options_of_ray_need_ray(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--workers is an option of Ray; add --engine ray"):
        CliRunner().invoke(build(), ["sample", str(tmp_path), "--workers", "2"], catch_exceptions=False)


def test_without_ray_the_extra_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'hneurons\[ray\]'"):
        CliRunner().invoke(
            build(), ["study", "--out", str(tmp_path / "run"), "--engine", "ray"], catch_exceptions=False
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["study", "sample", "judge", "measure", "fit", "evaluate", "report", "sweep"])
def test_every_command_that_works_batch_by_batch_takes_an_engine(command: str) -> None:
    assert "--gpus-per-worker" in CliRunner().invoke(build(), [command, "--help"], terminal_width=200).output
