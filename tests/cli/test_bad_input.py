"""A user's mistake is one line that says what to do, exit code 2, and no damage to a run."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hneurons.study.run import Run


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "mine.jsonl"
    asked = [{"id": str(i), "question": f"What is {i} plus {i}?", "aliases": [str(2 * i)]} for i in range(40)]
    file.write_text("".join(json.dumps(each) + "\n" for each in asked))
    return file


def test_a_corrupt_question_file(fails: Callable[..., str], questions: Path, tmp_path: Path) -> None:
    questions.write_text(questions.read_text()[:-20])
    message = fails("study", "--questions", questions, "--out", tmp_path / "run")
    assert "mine.jsonl" in message
    assert "40" in message  # the line


def test_an_empty_question_file(fails: Callable[..., str], questions: Path, tmp_path: Path) -> None:
    questions.write_text("")
    assert "mine.jsonl" in fails("study", "--questions", questions, "--out", tmp_path / "run")


@pytest.mark.usefixtures("as_a_user_calls")
def test_no_such_model(fails: Callable[..., str], questions: Path, tmp_path: Path) -> None:
    message = fails("study", "--model", tmp_path / "nowhere", "--questions", questions, "--out", tmp_path / "run")
    assert "nowhere" in message


def test_a_model_without_chat_template(fails: Callable[..., str], questions: Path, tmp_path: Path) -> None:
    import shutil

    from hneurons.models.source import find_source

    copy = tmp_path / "model"
    shutil.copytree(find_source("atlas-7m-base").location, copy)
    (copy / "chat_template.jinja").unlink()
    message = fails("study", "--model", copy, "--questions", questions, "--out", tmp_path / "run")
    assert "chat template" in message
    assert "plain" in message


def test_questions_without_consistent_answers(fails: Callable[..., str], questions: Path, tmp_path: Path) -> None:
    message = fails("study", "--questions", questions, "--out", tmp_path / "run")
    assert "faithful" in message
    assert "ask more questions" in message


@pytest.mark.usefixtures("as_a_user_calls")
def test_a_mistyped_model_does_not_use_up_the_directory(
    fails: Callable[..., str], questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fails("study", "--model", tmp_path / "nowhere", "--questions", questions, "--out", out)
    assert "faithful" in fails("study", "--questions", questions, "--out", out)  # it goes on, with the other model


def test_a_run_with_another_configuration_is_left_alone(
    fails: Callable[..., str], questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fails("study", "--questions", questions, "--out", out)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    message = fails("study", "--questions", questions, "--out", out, "--limit", 7)
    assert "limit" in message
    assert "--out" in message
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def test_a_full_disk_loses_nothing(
    fails: Callable[..., str], questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    real = Path.replace
    written: list[Path] = []

    def full(self: Path, target: Path) -> Path:
        if target.suffix == ".parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        written.append(Path(target))
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert "No space left" in fails("study", "--questions", questions, "--out", out)
    assert written
    assert all(file.exists() for file in written)
    assert not list(out.rglob("*.tmp"))
    message = fails("study", "--questions", questions, "--out", out)  # goes on; these questions fail later on
    assert "faithful" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"sampling": {"temprature": 1}}', "sampling.temprature"),
        ('{"evaluate": {}}', "evaluate"),
        ('{"probe": {"n_grid": 1}}', "probe.n_grid"),
        ("{", "not valid"),
    ],
)
def test_a_wrong_configuration_names_the_field(
    fails: Callable[..., str], tmp_path: Path, text: str, expected: str
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text)
    assert expected in fails("study", "--config", file, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_directory_that_is_no_run(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "no run" in fails("study", "--out", tmp_path)
    assert "no run" in fails("status", tmp_path / "elsewhere")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_damaged_run_names_the_file(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model": 3}))
    assert "config.json" in fails("status", tmp_path)


def test_two_processes_cannot_work_on_one_run(fails: Callable[..., str], questions: Path, tmp_path: Path) -> None:
    from hneurons.study.config import make_config

    run = Run.start(tmp_path / "run", make_config(questions=str(questions)))
    with run.locked():
        assert "another process" in fails("study", "--questions", questions, "--out", tmp_path / "run")
