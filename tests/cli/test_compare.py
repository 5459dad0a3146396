"""`hneurons compare`, and `hneurons study` of several models: what is printed, written, refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.report.synthetic_compare import NEURONS, compared, make_run, make_three
from tests.report.synthetic_origin import make_origin
from typer.testing import CliRunner

from hneurons.cli import build
from hneurons.cli.tables import WIDTH
from hneurons.cli.tables_compare import print_comparison
from hneurons.engine import Engine
from hneurons.files import write_json
from hneurons.report.illustration import Illustration
from hneurons.study.results import Results
from hneurons.study.run import Run
from hneurons.study.side_by_side import SideBySide


@pytest.fixture(autouse=True)
def plain_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are tested elsewhere."""
    monkeypatch.setattr(Illustration, "svg", lambda self: "<svg></svg>")


@pytest.fixture
def written(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in NEURONS]
    for path, results in zip(paths, make_three(), strict=True):
        write_json(path / "results.json", results.model_dump(mode="json"))
    return paths


def printed(found: SideBySide) -> str:
    out = io.StringIO()
    print_comparison(found, Console(file=out, width=WIDTH))
    return out.getvalue()


def row(text: str, below: str, begins: str) -> str:
    """The first line that begins so below a heading, blanks collapsed."""
    rest = text[text.index(below) :].splitlines()[1:]
    return " ".join(next(line for line in rest if line.strip().startswith(begins)).split())


def check(text: str, runs: list[Results]) -> None:
    for name, results in zip(NEURONS, runs, strict=True):
        n, total = results.probe.n_hneurons, results.probe.n_neurons
        assert f"{results.model.n_layers} {total:,} {n} {1000 * n / total:.2f}" in row(text, "\nRuns", name)
        for eval_set in ("in-domain", "long-tail", "cross-domain"):
            found = {each.detector: each.auroc for each in results.evaluation.detection if each.eval_set == eval_set}
            better = {each.control: each.better for each in results.comparisons if each.eval_set == eval_set}
            told = [f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]" for each in list(found.values())[:2]]
            line = row(text, f"AUROC on {eval_set}", name)
            assert line.startswith(f"{name} {' '.join(told)} ")
            assert line.endswith("NOT above") is not better["random neurons"]
        assert results.sweep is not None
        slope = results.sweep.average_slope["H-Neurons"]
        numbers = [100 * (value or 0.0) for value in (slope.value, slope.low, slope.high)]
        expected = "{} {:+.1f} [{:.1f}, {:.1f}]".format(name, *numbers)
        assert row(text, "Average over the benchmarks", name).startswith(expected)


def test_the_table_has_the_numbers_of_the_runs() -> None:
    runs = make_three()
    text = printed(compared(runs))
    check(text, runs)
    flat = " ".join(text.split())
    assert "it falls with size, as in the paper (small models are steeper), but the intervals" in flat
    assert "Three models are few" in flat
    assert "Not like with like" not in flat
    with pytest.raises(AssertionError):
        check(text, [runs[1], runs[0], runs[2]])


def test_no_line_is_too_long_and_names_are_no_markup() -> None:
    runs = [make_run(f"m{k}", 10 ** (k + 3), neurons=((0, 1), (1, 1)), layers=30) for k in range(12)]
    runs[3] = runs[3].model_copy(update={"origin": make_origin(), "config": {**runs[3].config, "seed": 5}})
    text = printed(compared(runs, [f"[bold]a very long name of a run {k}[/bold] [/]" for k in range(12)]))
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= WIDTH
    assert text.count("[bold]a very long name") >= 12
    assert "Drift: 0 changed most, 1 least" in text
    assert "The runs differ in seed" in " ".join(text.split())


def test_the_command_writes_and_prints(written: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = [word for name in ("A", "B", "C") for word in ("--name", name)]
    result = CliRunner().invoke(
        build(), ["compare", *map(str, written), "--out", str(out), *names], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith(str(out / "compare.html"))
    assert sorted(each.name for each in out.iterdir()) == ["compare.html", "compare.json"]
    found = SideBySide.model_validate(json.loads((out / "compare.json").read_text()))
    assert [run.label for run in found.runs] == ["A", "B", "C"]
    assert [run.n_hneurons for run in found.runs] == [len(each) for each in NEURONS.values()]


def test_mistakes_are_one_line(fails: Callable[..., str], written: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "two runs or more, not 0" in fails("compare", "--out", out)
    assert "two runs or more, not 1" in fails("compare", written[0], "--out", out)
    assert "given twice" in fails("compare", written[0], written[0], "--out", out)
    assert "there is no run in" in fails("compare", written[0], tmp_path / "nowhere", "--out", out)
    (tmp_path / "begun").mkdir()
    message = fails("compare", written[0], tmp_path / "begun", "--out", out)
    assert f"finish it with: hneurons report {tmp_path / 'begun'}" in message
    assert "2 runs; give --name once" in fails("compare", *written[:2], "--name", "A", "--out", out)
    (written[1] / "results.json").write_text("{")
    assert "write it anew with: hneurons report" in fails("compare", *written, "--out", out)
    assert not out.exists()


def test_a_study_of_several_models_compares_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages and reports are tested elsewhere: here each run gets the results of its model."""
    made = {f"org/{name}": results for name, results in zip(NEURONS, make_three(), strict=True)}
    made["other/one"] = make_three()[0]
    done: list[str] = []

    def finish(run: Run, engine: Engine) -> None:
        done.append(run.config.model.name)
        write_json(run.results, made[run.config.model.name].model_dump(mode="json"))

    monkeypatch.setattr("hneurons.study.stages.run_stages", finish)
    monkeypatch.setattr("hneurons.report.html.write_report", lambda run: run.report)
    questions = tmp_path / "mine.jsonl"
    questions.write_text('{"id": "1", "question": "Why?", "aliases": ["x"]}\n')
    models = ["org/one", "org/two", "other/one"]
    words = [word for model in models for word in ("--model", model)]
    out = tmp_path / "all"
    arguments = ["study", *words, "--questions", str(questions), "--limit", "6", "--out", str(out)]
    result = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert done == models
    assert {each.name for each in out.iterdir()} == {"one", "two", "one-2", "compare.json", "compare.html"}
    for name, model in zip(("one", "two", "one-2"), models, strict=True):
        run = Run.open(out / name)
        assert (run.config.model.name, run.config.train.questions) == (model, str(questions))
        assert run.config.train.limit == 6
    found = SideBySide.model_validate(json.loads((out / "compare.json").read_text()))
    assert [run.label for run in found.runs] == ["one", "two", "one-2"]
    assert result.stdout.rstrip().endswith(str(out / "compare.html"))
    CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert done == 2 * models  # the same command goes on in the same runs


def test_a_study_sweeps_where_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, swept = make_three(), []
    monkeypatch.setattr(
        "hneurons.study.stages.run_stages",
        lambda run, engine: write_json(run.results, results[int(run.config.model.name[-1])].model_dump(mode="json")),
    )
    monkeypatch.setattr("hneurons.report.html.write_report", lambda run: run.report)
    monkeypatch.setattr(
        "hneurons.cli.sweep.swept", lambda run, settings, engine: swept.append((run.path.name, settings.n_random))
    )
    words = ["study", "--model", "m0", "--model", "m1", "--out", str(tmp_path / "all")]
    CliRunner().invoke(build(), words, catch_exceptions=False)
    assert swept == []
    CliRunner().invoke(build(), [*words, "--sweep"], catch_exceptions=False)
    assert swept == [("m0", 8), ("m1", 8)]


def test_several_models_need_a_place_of_their_own(fails: Callable[..., str], tmp_path: Path) -> None:
    message = fails("study", "--model", "a", "--model", "a", "--out", tmp_path / "run")
    assert "--model a is given twice" in message
    write_json(tmp_path / "taken" / "config.json", {})
    message = fails("study", "--model", "a", "--model", "b", "--out", tmp_path / "taken")
    assert "holds the run of one model; give another directory with --out" in message
    assert [each.name for each in (tmp_path / "taken").iterdir()] == ["config.json"]
