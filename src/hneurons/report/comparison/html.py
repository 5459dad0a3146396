"""The page of a comparison: one HTML file with everything in it, and nothing fetched from anywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from hneurons.files import write_text
from hneurons.report import numbers
from hneurons.report.comparison import views
from hneurons.report.comparison.figures import comparison_illustrations
from hneurons.report.comparison.reading import set_names, sizes, swept
from hneurons.report.comparison.sentences import cautions, summary
from hneurons.report.page import POLICY, make_environment
from hneurons.study.side_by_side import SideBySide


def write_comparison(found: SideBySide, directory: Path) -> Path:
    """Write `compare.html` into a directory; returns its path."""
    path = directory / "compare.html"
    write_text(path, render_comparison(found))
    return path


def render_comparison(found: SideBySide) -> str:
    """The page as HTML; all text of models, runs and questions is escaped."""
    return _environment().get_template("compare.html").render(
        found=found,
        policy=POLICY,
        figures={name: (each, Markup(each.svg())) for name, each in comparison_illustrations(found).items()},
        sets=set_names(found),
        swept=swept(found),
        known=sizes(found.runs),
        unknown=any(run.parameters is None for run in found.runs),
        summary=summary(found),
        cautions=cautions(found),
        asked=(found.training, *found.sets, *found.benchmarks),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = make_environment()
    environment.filters.update(count=numbers.count)
    environment.globals.update(counted=numbers.counted, views=views)
    return environment
