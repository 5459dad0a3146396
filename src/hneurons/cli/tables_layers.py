"""What was found layer by layer, in the terminal: what matters most of each part; the rest is in the report."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from hneurons.cli.tables import heading
from hneurons.report.layers.parts import parts_shown
from hneurons.study.results import Results


def print_layers(results: Results, console: Console) -> None:
    """Print what matters most of every part; nothing is read as markup."""
    if results.layers is None:
        console.print(Text(f"{results.model.name} has not been asked layer by layer; run: hneurons layers RUN"))
        return
    for part in parts_shown(results.layers):
        heading(console, part.title)
        if part.reason:
            console.print(Text(f"Left out: {part.reason}."))
        for sentence in part.headlines:
            console.print(Text(sentence))
    console.print(Text("\nIntervals, controls, tables and figures of each part: in the report."))
