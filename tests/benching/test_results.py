"""RESULTS.md from canned figures."""

from __future__ import annotations

import re

import pytest

from figures import Figure, Findings
from machine import Machine
from results import Outcome, escaped, results

MACHINE = Machine(
    cpu="A | B", cores=2, threads=1, memory_gb=8.0, gpu=None, gpu_memory_gb=None, gpus=0, system="Linux 6 x86_64",
    python="3.11.2", packages={"torch": "2.13.0", "numpy": "2.4"}, commit="abc123", date="2026-01-31",
)  # fmt: skip


FOUR = {"items": 4}


def outcome(*figures: Figure, machine: Machine = MACHINE, title: str = "Speed") -> Outcome:
    findings = Findings(script="x.py", command="python benchmarks/x.py --a 1", machine=machine, figures=figures)
    return Outcome(title=title, script="x.py", status="done", seconds=61.0, others=0.256, findings=findings)


def test_figures_are_shown_with_goal_interval_and_whether_it_is_met() -> None:
    page = results(
        [
            outcome(
                Figure.of((1.0149, 0.99, 1.041), "recording", "bare", at_most=1.05, model="m", items=3),
                Figure.of((17.94, 17.1, 18.004), "a loop", "ours", at_least=20, model="m", items=3),
                Figure(what="equal", against="", value=199, unit="of 200", at_least=200, settings=FOUR, note="n"),
                Figure(what="memory", against="read", value=0.63, unit="GB", settings=FOUR),
                Figure(what="agreement", against="people", value=94.8917, unit="%", settings=FOUR),
            ),
            Outcome(title="Judging", script="agreement.py", status="skipped", reason="no data"),
            Outcome(title="Path", script="path.py", status="failed", reason="it | broke <b>"),
        ],
        "python benchmarks/run.py",
    )
    assert "| recording | bare | at most 1.05 | 1.015× [0.990, 1.041] | yes |" in page
    assert "| a loop | ours | at least 20 | 17.9× [17.1, 18.0] | no |" in page
    assert "| equal |  | at least 200 | 199 of 200 | no | n |" in page
    assert "| memory | read |  | 0.630 GB |  |  |" in page
    assert "| agreement | people |  | 94.9% |  |  |" in page
    assert page.count("model m; items 3") == page.count("\nitems 4") == 1
    assert "5 figures, 3 with a goal, of which 1 are met" in page
    assert "| Judging | `agreement.py` | skipped | no data |" in page
    assert r"| Path | `path.py` | failed | it \| broke &lt;b\> |" in page
    assert r"| processor | A \| B, 2 cores |" in page
    assert "| packages | torch 2.13.0, numpy 2.4 |" in page
    assert "| `python benchmarks/x.py --a 1` | 2026-01-31 | 1 | 61 | 26% |" in page
    assert "more than one machine" not in page
    assert "small settings" not in page
    assert "small settings" in results([], "python benchmarks/run.py --quick", quick=True)


def test_every_table_has_as_many_cells_in_each_row() -> None:
    hostile = "a|b \\| `c|d` `e *f* [g](h) <script>\n| x | y |"
    page = results(
        [
            outcome(Figure(what=hostile, against=hostile, value=1, note=hostile, settings={"model": hostile})),
            Outcome(title=hostile, script="p.py", status="failed", reason=hostile),
        ],
        hostile,
    )
    width = None
    for line in page.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        unescaped = line.replace("\\\\", "").replace("\\|", "")
        width = width or unescaped.count("|")
        assert unescaped.count("|") == width, line
    outside = re.sub("`[^`]*`", "", page)  # in a code span it is text
    assert "<script>" not in outside
    assert "](h)" not in outside.replace("\\]", "")
    assert "\n| x | y |" not in page


def test_what_would_be_markup_is_shown_as_it_is() -> None:
    assert escaped("a_b*c <d> [e](f) | g") == r"a\_b\*c &lt;d\> [e\](f) \| g"
    assert escaped("1.0 [0.9, 1.1]") == "1.0 [0.9, 1.1]"
    assert escaped("`scale_rows` of a_b") == r"`scale_rows` of a\_b"
    assert escaped("`a|b`") == r"`a\|b`"
    assert escaped("one ` alone") == r"one \` alone"
    assert escaped("two\n\nlines") == "two lines"


def test_two_machines_are_told_apart_and_dates_are_not() -> None:
    figure = Figure(what="a", against="b", value=2)
    later = MACHINE.model_copy(update={"date": "2026-02-01", "threads": 2})
    assert "more than one machine" not in results([outcome(figure), outcome(figure, machine=later)], "x")
    other = MACHINE.model_copy(update={"gpu": "H", "gpus": 1, "gpu_memory_gb": 140.0, "commit": "abc+"})
    page = results([outcome(figure), outcome(figure, machine=other, title="Other")], "x")
    assert "more than one machine" in page
    assert "| GPU | 1 × H, 140.0 GB |" in page
    assert "| commit | abc, with changes that are not committed |" in page


def test_a_job_that_is_done_without_figures_is_an_error() -> None:
    with pytest.raises(ValueError, match="found nothing"):
        results([Outcome(title="x", script="x.py", status="done")], "x")
