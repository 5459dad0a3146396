"""`hneurons origin`: what it does in which order, and mistakes, each said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hneurons import cli
from hneurons.engine import Engine
from hneurons.files import write_json
from hneurons.study.config import make_config
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that has no probe."""
    return Run.start(tmp_path / "run", make_config()).path


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A run of a model of which nobody knows what it was tuned from."""
    return Run.start(tmp_path / "strange", make_config(model="some/model")).path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the command has others do, in order; none of it is done."""
    made: list[tuple[str, Any]] = []

    def note(name: str) -> Callable[..., None]:
        def noted(*given: Any, engine: Engine | None = None) -> None:
            settings = [each for each in given[1:] if not isinstance(each, Engine)]  # here or elsewhere is the same
            made.append((name, tuple(settings) if name in ("trace", "grow") else ()))

        return noted

    monkeypatch.setattr("hneurons.study.tracing.trace", note("trace"))
    monkeypatch.setattr("hneurons.study.growing.grow", note("grow"))
    monkeypatch.setattr("hneurons.study.stages.run_stages", note("stages"))
    monkeypatch.setattr("hneurons.report.html.write_report", note("report"))
    monkeypatch.setattr("hneurons.study.results.read_results", note("read"))
    monkeypatch.setattr("hneurons.cli.tables_origin.print_origin", note("print"))
    monkeypatch.setattr("hneurons.cli.tables.print_report_path", note("path"))
    return made


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["hneurons", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


def test_it_traces_then_writes_results_and_report(
    begun: Path, calls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "origin", begun, "--base", "some/base", "--revision", "r", "--template", "{question}:",
        "--backward-only", "--by", "field")  # fmt: skip
    assert [name for name, _ in calls] == ["trace", "stages", "report", "read", "print", "path"]
    (settings,) = calls[0][1]
    assert (settings.base.name, settings.base.revision, settings.base.dtype) == ("some/base", "r", "float32")
    assert (settings.prompt.template, settings.forward, settings.by) == ("{question}:", False, "field")


def test_checkpoints_follow_the_base_model_and_stand_alone_where_none_is_known(
    begun: Path, strange: Path, calls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(monkeypatch, "origin", begun, "--base", "some/base", "--checkpoints", tmp_path)
    assert [name for name, _ in calls][:3] == ["trace", "grow", "stages"]
    assert calls[1][1][0] == tmp_path
    calls.clear()
    run(monkeypatch, "origin", strange, "--checkpoints", tmp_path)
    assert [name for name, _ in calls][:2] == ["grow", "stages"]


def test_without_options_it_goes_on_with_its_settings(
    begun: Path, calls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OriginSettings.model_validate({"base": {"name": "x/y"}, "stop": ["!"], "forward": False, "by": "z"})
    write_json(begun / "origin" / "config.json", own.model_dump(mode="json"))
    (begun / "origin" / "base" / "responses").mkdir(parents=True)
    run(monkeypatch, "origin", begun)
    assert calls[0] == ("trace", (own,))
    calls.clear()
    run(monkeypatch, "origin", begun, "--both-ways")
    assert calls[0] == ("trace", (own.model_copy(update={"forward": True}),))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--base", "some/base"], "has no probe yet; find it with: hneurons fit"),
        (["--template", "no slot"], "must hold {question} exactly once"),
        (["--checkpoints", "nowhere"], "there is no directory nowhere; name the one that holds the checkpoints"),
    ],
)
def test_what_is_wrong_is_said(fails: Callable[..., str], begun: Path, options: list[str], expected: str) -> None:
    assert expected in fails("origin", begun, *options)
    assert not (begun / "origin").exists()


def test_a_base_that_nobody_knows_is_asked_for(fails: Callable[..., str], strange: Path) -> None:
    assert "which model some/model was tuned from is not known; give it with --base" in fails("origin", strange)
    assert "--revision main belongs to a base model" in fails("origin", strange, "--revision", "main")


def test_no_run_no_origin(fails: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no run" in fails("origin", tmp_path / "nowhere")


def test_a_demo_goes_on_to_the_base_model(
    tmp_path: Path, calls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from hneurons.models.registered import RegisteredModel
    from hneurons.registry import registered

    entry = registered("hneurons.models")["atlas-7m-instruct"]
    told = RegisteredModel(entry.path, "", study=entry.study, origin={"base": {"name": "atlas-7m-base"}})
    silent = RegisteredModel(entry.path, "", study=entry.study)
    monkeypatch.setitem(registered("hneurons.models"), "atlas-7m-instruct", told)
    monkeypatch.setattr("hneurons.cli.sweep.swept", lambda *_, **__: calls.append(("sweep", ())))
    monkeypatch.setattr("hneurons.cli.tables.print_tables", lambda *_: None)
    monkeypatch.setattr("hneurons.cli.tables_sweep.print_sweep", lambda *_: None)
    monkeypatch.setattr("hneurons.study.results.read_results", lambda _: SimpleNamespace(origin=1, layers=None))
    run(monkeypatch, "demo", "--out", tmp_path / "a")
    assert [name for name, _ in calls] == ["stages", "sweep", "trace", "stages", "report", "print", "path"]
    assert calls[2][1][0].base.name == "atlas-7m-base"
    calls.clear()
    monkeypatch.setitem(registered("hneurons.models"), "atlas-7m-instruct", silent)
    monkeypatch.setattr("hneurons.study.results.read_results", lambda _: SimpleNamespace(origin=None, layers=None))
    run(monkeypatch, "demo", "--out", tmp_path / "b")
    assert [name for name, _ in calls] == ["stages", "sweep", "path"]
