"""A made-up run of many neurons, fitted and evaluated: memory does not grow with the model, nor do numbers change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.study.conftest import ONE_DAY
from tests.study.made_run import LAYERS, fit_and_evaluate, make_run

from hneurons.files import read_json, write_json
from hneurons.study.evaluating import read_evaluation, read_fit
from hneurons.study.run import Run

FOUND = ("fit.json", "detection.json", "probe/probe.json", "probe/probe.safetensors")


def test_memory_or_files_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every detector and control, hidden states included, byte for byte; and what is planted is found."""
    for name, value in ONE_DAY.items():
        monkeypatch.setenv(name, value)
    held = make_run(tmp_path / "held", 400, 2000)
    shutil.copytree(held.path, tmp_path / "read")
    write_json(tmp_path / "read" / "config.json", read_json(held.path / "config.json") | {"in_memory_mb": 0})
    read = Run.open(tmp_path / "read")
    for run in (held, read):
        fit_and_evaluate(run)
    assert len(list(read.columns.rglob("*.safetensors"))) == 3
    assert not held.columns.exists()
    for name in FOUND:
        assert (held.path / name).read_bytes() == (read.path / name).read_bytes(), name
    assert sum(read_fit(read).per_layer[:3]) < read_fit(read).per_layer[3]
    row, *_ = read_evaluation(read).detection
    assert row.auroc.value is not None
    assert row.auroc.value > 0.6


def grown(run: Run) -> int:
    """Bytes by which a process of its own grew while it fitted and evaluated a copy of the run."""
    command = [sys.executable, "-m", "tests.study.made_run", str(run.path)]
    environment = {**os.environ, "CI": "1", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_neurons(tmp_path: Path) -> None:
    """240 rows of 500,000 neurons to fit on and choose by, 480 MB of which none is held."""
    small, large = make_run(tmp_path / "small", 1_000, 0), make_run(tmp_path / "large", 50_000, 0)
    held = Run(Path(shutil.copytree(large.path, tmp_path / "held")), large.config)
    write_json(held.path / "config.json", read_json(large.path / "config.json") | {"in_memory_mb": 2000})
    matrix = 4 * 190 * LAYERS * 50_000  # 100 answers and 90 vectors of other tokens
    base = grown(small)
    assert grown(large) - base < matrix / 2
    assert grown(held) - base > matrix
