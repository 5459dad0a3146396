from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.report.synthetic import make_results

from hneurons.cli.tables import WIDTH, print_results, print_tables
from hneurons.files import write_json
from hneurons.study.config import StudyConfig
from hneurons.study.results import Results
from hneurons.study.run import Run


@pytest.fixture(scope="module")
def results() -> Results:
    """The synthetic study of the report's tests."""
    return make_results()


def printed(results: Results, *, colour: bool = False) -> str:
    out = io.StringIO()
    system = "truecolor" if colour else None
    print_tables(results, Console(file=out, width=WIDTH, force_terminal=colour, color_system=system))
    return out.getvalue()


def row(text: str, section: str, name: str) -> str:
    """The line that begins with `name` below the heading `section`."""
    below = text[text.index(section) :]
    return next(line for line in below.splitlines() if line.startswith(name))


def check_detection(text: str, results: Results) -> None:
    for each in results.evaluation.detection:
        line = row(text, f"Detection on {each.eval_set} (", each.detector)
        first, second = each.auroc, each.accuracy
        if first.value is None:
            first, second = each.flagged, each.flagged_at_threshold
            numbers = [100 * value for value in (first.value, first.low, first.high)]
            assert "{:.1f}% [{:.1f}, {:.1f}]".format(*numbers) in line
        else:
            assert f"{first.value:.3f} [{first.low:.3f}, {first.high:.3f}]" in line
        numbers = [100 * value for value in (second.value, second.low, second.high)]
        assert line.rstrip().endswith("{:.1f}% [{:.1f}, {:.1f}]".format(*numbers))
    for control in results.evaluation.controls:
        line = row(text, f"Detection on {control.eval_set} (", f"{control.control} (")
        if control.auroc.low is not None:
            assert f"({control.draws} draws)" in line
            assert f"{control.auroc.low:.3f} to {control.auroc.high:.3f}" in line


def test_every_number_is_the_one_of_the_results(results: Results) -> None:
    text = printed(results)
    check_detection(text, results)
    assert re.search(r"chosen +0\.0316 +22 +3\.58 +75\.\d% +94\.6%", text)
    assert re.search(r"train +4,000 +40,000 +19,120 +14,380 +6,500 +598 +600", text)
    gain = results.evaluation.additions[0].difference
    line = row(text, "What the H-Neurons add", "in-domain")
    assert line.rstrip().endswith(f"+{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]")


def test_the_check_sees_another_number(results: Results) -> None:
    changed = tuple(
        each.model_copy(update={"auroc": each.brier}) if each.detector == "length" else each
        for each in results.evaluation.detection
    )
    evaluation = results.evaluation.model_copy(update={"detection": changed})
    with pytest.raises(AssertionError):
        check_detection(printed(results.model_copy(update={"evaluation": evaluation})), results)


def test_lines_fit_the_page_and_verdicts_are_said(results: Results) -> None:
    text = printed(results)
    assert max(map(cell_len, text.splitlines())) <= WIDTH
    flat = " ".join(text.split())
    for each in results.comparisons:
        if each.better is not None:
            assert each.sentence.removeprefix(f"On {each.eval_set}, the") in flat
    assert "is NOT above the interval" in flat
    assert "The H-Neurons do NOT measurably add to entropy" in flat
    assert "All 160 answers are hallucinated" in flat


def test_names_are_no_markup_and_colour_adds_nothing(results: Results) -> None:
    model = results.model.model_copy(update={"name": "[bold red]x[/bold red] [/]"})
    odd = results.model_copy(update={"model": model})
    assert "H-Neurons of [bold red]x[/bold red] [/]" in printed(odd)
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", printed(odd, colour=True))
    assert [line.rstrip() for line in coloured.splitlines()] == [line.rstrip() for line in printed(odd).splitlines()]


def test_the_path_of_the_report_comes_last(results: Results, tmp_path: Path) -> None:
    run = Run.start(tmp_path / ("long" * 30), StudyConfig.model_validate(results.config))
    write_json(run.results, results.model_dump(mode="json"))
    out = io.StringIO()
    print_results(run, Console(file=out, width=WIDTH))
    assert out.getvalue().endswith(f"\nreport  {run.report}\n")
