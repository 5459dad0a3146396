"""A try of two real scripts, as `make bench QUICK=1` runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import run
from figures import read


@pytest.mark.slow
def test_quick_settings_run_and_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--work", str(tmp_path), "--only", "patching", "drift"])
    run.main()
    page = (tmp_path / "quick" / "RESULTS.md").read_text()
    assert "## Drift of two models in their files" in page
    assert "| one whole pass for each patch | the same, many patches to a pass | at least 5 |" in page
    assert "small settings" in page
    drift = read(tmp_path / "quick" / "drift.json")
    assert drift.script == "drift.py"
    assert [figure.unit for figure in drift.figures] == ["GB", *["times"] * 4]
