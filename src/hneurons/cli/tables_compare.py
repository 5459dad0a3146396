"""A comparison in the terminal: runs, detection set by set, slopes, origin, and what is not like with like."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from hneurons.cli.tables import add_row, heading, new_table
from hneurons.report.comparison import views
from hneurons.report.comparison.reading import set_names, swept
from hneurons.report.comparison.sentences import (
    auroc_sentence,
    cautions,
    depth_sentence,
    ratio_sentence,
    slope_sentence,
    summary,
)
from hneurons.study.side_by_side import SideBySide

NAME = 24
"""Columns that a run's name may take."""


def print_comparison(found: SideBySide, console: Console) -> None:
    """Print a comparison, in at most `WIDTH` columns; nothing in it is read as markup."""
    heading(console, f"H-Neurons of {len(found.runs)} runs, side by side")
    console.print(Text(summary(found)))
    _print_runs(found, console)
    for name in set_names(found):
        _print_set(found, name, console)
    if swept(found):
        _print_slopes(found, console)
    if views.origin_lines(found):
        _print_origin(found, console)
    heading(console, "What is seen")
    sentences = [ratio_sentence(found), auroc_sentence(found), depth_sentence(found)]
    if swept(found):
        sentences.insert(2, slope_sentence(found))
    _say(sentences, console)
    if told := cautions(found):
        heading(console, "Not like with like")
        _say(told, console)


def _say(sentences: Sequence[str], console: Console) -> None:
    for sentence in sentences:
        console.print(Padding(Text(sentence), (0, 0, 0, 2)))


def _print_runs(found: SideBySide, console: Console) -> None:
    columns = ["run", "parameters", "layers", "neurons", "H-Neurons", "per mille", "overlap", "mean depth"]
    table = new_table("Runs", columns)
    for line in views.run_lines(found):
        cells = [line.parameters, line.layers, line.neurons, line.hneurons, line.per_mille, line.jaccard]
        add_row(table, [_name(line), *cells, str(line.depth)])
    console.print(table)


def _print_set(found: SideBySide, name: str, console: Console) -> None:
    table = new_table(f"AUROC on {name}", ["run", "probe", "refit", "random neurons", ""])
    for line in views.set_lines(found, name):
        asked = f"({line.group}) " if line.group else ""
        add_row(table, [asked + _name(line), str(line.probe), str(line.refit), line.random, line.random_verdict])
    console.print(table)
    table = new_table("", ["run", "layer-matched", "", "costs nothing", ""])
    for line in views.set_lines(found, name):
        cells = [line.matched, line.matched_verdict, str(line.best_auroc), line.best]
        add_row(table, [_name(line), *cells], "dim")
    console.print(table)


def _print_slopes(found: SideBySide, console: Console) -> None:
    table = new_table("Slopes, in points per unit of alpha", ["", "slope", "random", "layer-matched", ""])
    blocks = [(each.title, views.benchmark_lines(found, each.name)) for each in found.benchmarks]
    for title, lines in [("Average over the benchmarks", views.average_lines(found)), *blocks]:
        add_row(table, [_cut(title, 2 * NAME), "", "", "", ""], "bold")
        for line in lines:
            asked = f"({line.group}) " if line.group else ""
            add_row(table, [f"  {asked}{_name(line)}", str(line.slope), line.random, line.matched, line.verdict])
    console.print(table)


def _print_origin(found: SideBySide, console: Console) -> None:
    """Backward transfer set by set, then drift."""
    names = views.origin_sets(found)
    table = new_table("Origin", ["", "AUROC, refit"])
    for place, name in enumerate(names):
        add_row(table, [f"on the base model's answers, {name}", ""], "bold")
        for line in views.origin_lines(found):
            add_row(table, [f"  {_name(line)}", str(line.backward[place])])
    if names:
        console.print(table)
    columns = ["run", "mean rank", "layer-matched", "p, less", "p, more"]
    table = new_table("Drift: 0 changed most, 1 least", columns)
    for line in views.origin_lines(found):
        add_row(table, [_name(line), str(line.rank), line.matched, line.matched_p, line.matched_p_more])
    console.print(table)


def _name(line: views.RunLine | views.SetLine | views.SlopeLine | views.OriginLine) -> str:
    return _cut(line.label, NAME)


def _cut(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1].rstrip()}…"
