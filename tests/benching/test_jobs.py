"""Every script is run by `make bench`, what fails does not stop the rest, and what is done is not done again."""

from __future__ import annotations

import ast
import importlib
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import jobs
import run
from figures import read
from hneurons.files import write_json
from jobs import Job
from watching import watched

FOLDER = Path(run.__file__).parent


def test_no_script_is_forgotten() -> None:
    files = {file.stem for file in FOLDER.glob("*.py")}
    assert files == set(jobs.scripts()) | jobs.APART
    assert not set(jobs.scripts()) & jobs.APART
    assert len({job.key for job in jobs.JOBS}) == len(jobs.JOBS)


@pytest.mark.parametrize("script", jobs.scripts())
def test_every_script_can_be_loaded_and_saves_its_figures(script: str) -> None:
    tree = ast.parse((FOLDER / f"{script}.py").read_text())
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "save" in called
    assert callable(importlib.import_module(script).main)  # what it imports is there


WORKS = """
import argparse
from figures import Figure, add_json, save

parser = argparse.ArgumentParser()
parser.add_argument("--value", type=float)
add_json(parser)
args = parser.parse_args()
save(args.json, [Figure(what="a value", against="nothing", value=args.value, at_least=2)])
"""
FAILS = "raise SystemExit('no disk | left')"
SILENT = "print('done, and nothing written')"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmarks: one that works, one that fails, one that writes nothing, one that needs data."""
    for name, text in {"works": WORKS, "fails": FAILS, "silent": SILENT}.items():
        (tmp_path / f"{name}.py").write_text(text)
    made = (
        Job("Fails", "fails", "", "", 1),
        Job("Silent", "silent", "", "", 1),
        Job("Works", "works", "--value 3", "--value 1", 1),
        Job("Judged", "works", "DATA", "DATA", 1, needs="data", name="judged"),
    )
    monkeypatch.setattr(run, "JOBS", made)
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(FOLDER), prepend=":")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["run.py", "--work", "work", "--out", "RESULTS.md", *arguments])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 1  # one has failed
    return Path("RESULTS.md").read_text()


@pytest.mark.slow
def test_failures_are_told_and_the_rest_still_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = call(monkeypatch)
    assert r"| Fails | `fails.py` | failed | no disk \| left (work/full/fails.log) |" in page
    assert "| Silent | `silent.py` | failed | it wrote no figures that can be read" in page
    assert "| Judged | `works.py` | skipped | it needs answers that people judged" in page
    assert "| a value | nothing | at least 2 | 3.00× | yes |" in page
    assert "python benchmarks/works.py --value 3" in page
    assert "1 of 4 measured, 2 failed" in capsys.readouterr().out

    file = folder / "work" / "full" / "works.json"
    before = file.stat().st_mtime_ns
    assert "| a value | nothing | at least 2 | 3.00× | yes |" in call(monkeypatch)
    assert file.stat().st_mtime_ns == before  # kept
    call(monkeypatch, "--fresh", "--only", "fails")
    assert file.stat().st_mtime_ns == before  # not asked for
    other = [replace(job, full="--value 4") if job.key == "works" else job for job in run.JOBS]
    with monkeypatch.context() as changed:
        changed.setattr(run, "JOBS", other)
        page = call(changed, "--only", "fails")
    assert "| Works | `works.py` | skipped | not asked for, and run before with other arguments |" in page
    call(monkeypatch, "--fresh")
    assert file.stat().st_mtime_ns > before

    assert "| a value | nothing | at least 2 | 1.000× | no |" in call(monkeypatch, "--quick")
    assert read(folder / "work" / "quick" / "works.json").figures[0].value == 1
    assert read(file).figures[0].value == 3


def test_figures_of_other_arguments_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from figures import Figure, save

    file = tmp_path / "path.json"
    monkeypatch.setattr(sys, "argv", ["/x/path.py", "--rows", "2", "--json", str(file)])
    save(file, [Figure(what="a", against="b", value=1)])
    assert run.finished(file, ["--rows", "2"]) is None  # how long it took is not known: it was ended in between
    write_json(file.with_suffix(".took.json"), {"seconds": 1.0, "others": None})
    assert run.finished(file, ["--rows", "2"]) is not None
    assert run.finished(file, ["--rows", "3"]) is None
    file.write_text("{")
    assert run.finished(file, ["--rows", "2"]) is None


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = "import time; time.sleep(60)"
    begin = f"p = subprocess.Popen([sys.executable, '-c', {child!r}])"
    parent = f"import subprocess, sys; {begin}; print(p.pid, flush=True); p.wait()"
    log = tmp_path / "log"
    taken = watched([sys.executable, "-c", parent], log, limit=1.5)
    assert "took longer than" in taken.problem
    pid = int(log.read_text())
    for _ in range(100):
        if gone(pid):
            break
        time.sleep(0.05)
    assert gone(pid)
    assert watched([sys.executable, "-c", "print('well')"], log, limit=30).problem == ""


def test_an_unknown_script_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "nothing"])
    with pytest.raises(SystemExit, match="no benchmark nothing"):
        run.main()
