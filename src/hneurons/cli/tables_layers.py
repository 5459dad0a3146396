"""What was found layer by layer, in the terminal: the report's words, part by part."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from hneurons.cli.tables import heading
from hneurons.report.layers.parts import parts_shown
from hneurons.study.results import Results


def print_layers(results: Results, console: Console) -> None:
    """Print the words of every part; nothing is read as markup."""
    if results.layers is None:
        console.print(Text(f"{results.model.name} has not been asked layer by layer; run: hneurons layers RUN"))
        return
    for part in parts_shown(results.layers):
        heading(console, part.title)
        if part.reason:
            console.print(Text(f"Left out: {part.reason}."))
        for sentence in part.sentences:
            console.print(Text(sentence))
