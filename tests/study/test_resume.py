"""A run that is killed, at any moment and however often, ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.study.conftest import ONE_DAY

from hneurons.files import atomic_path, read_json
from hneurons.study.config import make_config
from hneurons.study.run import Run
from hneurons.study.stages import stage_states


def artifacts(path: Path) -> dict[str, bytes]:
    """Every file of a run with its bytes; the lock, which is empty, left out."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock"
    }


def start(config: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hneurons.cli", "study", "--config", str(config), "--out", str(out)]
    environment = {**os.environ, **ONE_DAY, "CI": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def kill_until_done(config: Path, out: Path, delays: list[float]) -> int:
    """Run the study, killing it after each of `delays` seconds; then let it finish. Returns how often it was killed."""
    killed = 0
    for delay in delays:
        process = start(config, out)
        try:
            process.wait(delay)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
    process = start(config, out)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return killed


def test_killed_once_it_ends_the_same(smaller: Run, smaller_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(smaller_config, out)
    deadline = time.monotonic() + 120
    while len(list((out / "responses").rglob("*.parquet"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    states = stage_states(Run.open(out))
    assert 3 <= states[0].done < states[0].total
    before = {name: (out / name).stat().st_mtime_ns for name in artifacts(out) if name.endswith(".parquet")}
    again = start(smaller_config, out)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors.decode()
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before  # what was done is not done again
    compare(artifacts(out), artifacts(smaller.path))


def test_what_a_killed_process_was_writing_is_removed(small_config: Path, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", make_config(small_config))
    part = run.responses("train") / "part-00003.parquet"
    with atomic_path(part) as temporary:
        temporary.write_bytes(b"half")
        left = Path(shutil.copy(temporary, temporary.with_name(temporary.name.replace("00003", "00004"))))
    nested = Path(shutil.copytree(left.parent, run.origin / "base" / "responses"))  # may be being written: not its own
    kept = left.with_name(".part-00003.parquet.tmp")  # not of ours
    kept.write_bytes(b"")
    with run.locked():
        assert not left.exists()
    assert kept.exists()
    assert (nested / left.name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_random_moments_it_ends_the_same(
    finished: Run, small_config: Path, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    out = tmp_path / "run"
    assert kill_until_done(small_config, out, [draw.uniform(3, 15) for _ in range(6)]) >= 1
    compare(artifacts(out), artifacts(finished.path))


def compare(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """The same files with the same bytes, but for report.html, which only the command writes."""
    names = (set(found) | set(expected)) - {"report.html"}
    assert not [name for name in names if found.get(name) != expected.get(name)]
    assert "results.json" in names


def test_the_day_is_the_same_on_either_side_of_midnight(smaller: Run) -> None:
    assert read_json(smaller.probe / "probe.json")["provenance"]["date"] == "2026-01-01"


def test_the_comparison_sees_a_single_changed_byte(smaller: Run) -> None:
    expected = artifacts(smaller.path)
    changed = dict(expected)
    name = next(name for name in changed if name.endswith(".parquet"))
    changed[name] = changed[name][:-1] + bytes([changed[name][-1] ^ 1])
    with pytest.raises(AssertionError):
        compare(changed, expected)
