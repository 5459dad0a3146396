"""Where H-Neurons come from, in the terminal: verdicts, both transfers beside their controls, drift and growth."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from hneurons.cli.tables import STYLES, add_row, heading, new_table
from hneurons.origins.record import Drift, Growth, Origin
from hneurons.report.numbers import NONE, counted
from hneurons.report.origin.growth_sentences import growth_sentence
from hneurons.report.origin.growth_views import detection_lines, growth_columns, step_lines
from hneurons.report.origin.reading import LANDMARKS, cut, directions, transfer_sets
from hneurons.report.origin.sentences import drift_sentence, origin_sentences, set_sentences
from hneurons.report.origin.steps import growth_sets
from hneurons.report.origin.views import asked_lines, how_asked, rank_lines, transfer_lines
from hneurons.study.results import Results

ACROSS = 3
"""Columns of accuracies that stand side by side; more of them are left to the report."""
NAME = 24
"""Columns that a name from the data may take beside numbers."""


def print_origin(results: Results, console: Console) -> None:
    """Print where the H-Neurons of `results` come from, in at most `WIDTH` columns; nothing is read as markup."""
    origin, growth = results.origin, results.growth
    if origin is None and growth is None:
        console.print(Text(f"{results.model.name} has not been traced; run: hneurons origin RUN --base MODEL"))
        return
    if origin is not None:
        heading(console, f"Where the H-Neurons of {results.model.name} come from: {origin.base.name}")
        for sentence in origin_sentences(results):
            console.print(Text(sentence))
        _print_asked(origin, console)
        if directions(origin):
            _print_transfer(results, origin, console)
        if origin.drift is not None:
            _print_drift(origin.drift, console)
    if growth is not None:
        _print_growth(growth, console)


def _print_asked(origin: Origin, console: Console) -> None:
    """How the base model was asked, and what it said."""
    told = "; ".join(f"{each.name} {each.value}" for each in how_asked(origin))
    table = new_table("Asked of the base model", ["set", "right", "wrong", "declined", "accuracy", "used"])
    for line in asked_lines(origin):
        used = f"{line.faithful} + {line.hallucinated}"
        add_row(table, [cut(line.eval_set, NAME), line.right, line.wrong, line.declined, str(line.accuracy), used])
    if origin.asked:
        console.print(table)
        console.print(Text("used: right + hallucinated answers", style="dim"))
    console.print(Padding(Text(told, style="dim"), (0, 0, 0, 0)))


def _print_transfer(results: Results, origin: Origin, console: Console) -> None:
    """AUROC of both transfers and at home, set by set; controls with what the H-Neurons are beside them."""
    for name in transfer_sets(results, origin):
        lines = transfer_lines(results, origin, name)
        if not any(each.backward.range or each.forward.range for each in lines if each.kind == "ours"):
            heading(console, f"AUROC on {name}")
            for sentence in set_sentences(results, name):
                console.print(Padding(Text(sentence), (0, 0, 0, 2)))
            continue
        table = new_table(f"AUROC on {name}", ["", "backward", "at home", "forward", "H-Neurons are"])
        for line in lines:
            if line.kind != "rival" or line.name in LANDMARKS:
                cells = [str(line.backward), line.native.value, line.forward.value]
                add_row(table, [cut(line.name, NAME + 6), *cells, line.verdict], STYLES[line.kind])
        console.print(table)


def _print_drift(drift: Drift, console: Console) -> None:
    """Mean ranks with p-values for less change."""
    columns = ["score", "mean rank", "t-test, p", "same layers", "p, less", "p, more", "changed"]
    table = new_table(f"Drift of {counted(len(drift.hneurons), 'H-Neuron')}: rank 0 changed most, 1 least", columns)
    for line in rank_lines(drift):
        cells = [str(line.mean_rank), line.t_p, line.matched, line.matched_less, line.matched_more, line.verdict]
        add_row(table, [line.score, *cells], STYLES[line.kind])
    console.print(table)
    console.print(Text(drift_sentence(drift)))


def _print_growth(growth: Growth, console: Console) -> None:
    """Accuracy, AUROC on every set and distance to the end, checkpoint by checkpoint."""
    heading(console, "Along the pre-training")
    for sentence in growth.sentences or (growth_sentence(growth),):
        console.print(Text(sentence))
    names = growth_columns(growth)[:ACROSS]
    table = new_table("Answered right", ["step", *(cut(name, 14) for name in names), "distance", "same layers"], left=0)
    for line in step_lines(growth):
        known = [each.value for each in line.accuracies[:ACROSS]]
        add_row(table, [line.step, *known, str(line.distance), line.matched.replace(" to ", "–")])
    console.print(table)
    for name in growth_sets(growth):
        columns = ["step", "answers", "H-Neurons, refit", "random", "layer-matched"]
        held = new_table(f"AUROC on {name}", columns, left=0)
        for each in detection_lines(growth, name):
            cells = [each.step, each.answers, str(each.refit), str(each.random), str(each.matched)]
            add_row(held, [cell or NONE for cell in cells])
        console.print(held)
