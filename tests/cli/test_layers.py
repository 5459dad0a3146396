"""`hneurons layers`: what it does in which order, and mistakes, each said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.report.synthetic import make_results

from hneurons import cli
from hneurons.layers.record import Layers
from hneurons.layers.settings import PARTS
from hneurons.study.config import make_config
from hneurons.study.run import Run


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that has no probe."""
    return Run.start(tmp_path / "run", make_config()).path


def test_it_asks_the_parts_then_writes_results_and_report(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *given: calls.append((name, given[1:]))

    monkeypatch.setattr("hneurons.study.layers.exploring.explore", note("explore"))
    monkeypatch.setattr("hneurons.study.stages.run_stages", note("stages"))
    monkeypatch.setattr("hneurons.report.html.write_report", note("report"))
    monkeypatch.setattr("hneurons.study.results.read_results", note("read"))
    monkeypatch.setattr("hneurons.cli.tables_layers.print_layers", note("print"))
    monkeypatch.setattr("hneurons.cli.tables.print_report_path", note("path"))
    arguments = ["--part", "attention", "--part", "tracking", "--n-each", "20", "--benchmark", "a/b=file.jsonl"]
    monkeypatch.setattr("sys.argv", ["hneurons", "layers", str(begun), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert [name for name, _ in calls] == ["explore", "stages", "report", "read", "print", "path"]
    settings, parts = calls[0][1]
    assert parts == ("attention", "tracking")
    assert (settings.n_each, settings.n_pairs) == (20, 40)
    assert [(each.name, each.path) for each in settings.benchmarks] == [("a/b", "file.jsonl")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "has no probe yet; find it with: hneurons fit"),
        (["--part", "lens"], "there is no part 'lens'; use some of tracking, comparison"),
        (["--benchmark", "a", "--benchmark", "a"], "name no benchmark twice"),
    ],
)
def test_what_is_wrong_is_said(fails: Callable[..., str], begun: Path, options: list[str], expected: str) -> None:
    assert expected in fails("layers", begun, *options)
    assert not (begun / "layers").exists()


def test_no_run_no_layers(fails: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no run" in fails("layers", tmp_path / "nowhere")


def test_a_part_that_was_left_out_is_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from hneurons.cli.tables_layers import print_layers

    reason = "[bold]too few[/bold] answers"
    layers = Layers(settings={}, probe="p", seconds={}, missing={PARTS[0]: reason})
    results = make_results()
    print_layers(results.model_copy(update={"layers": layers}), Console(width=80))
    assert f"Left out: {reason}." in capsys.readouterr().out
    print_layers(results, Console(width=100))
    assert "has not been asked layer by layer; run: hneurons layers RUN" in capsys.readouterr().out
