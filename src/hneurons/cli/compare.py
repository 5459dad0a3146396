"""`hneurons compare`: finished runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories with results.json, two or more.", metavar="RUN RUN...")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for compare.json and compare.html.")] = Path("runs/compare"),
    name: Annotated[
        list[str] | None, typer.Option(help="What a run is called; once for every run, in their order.")
    ] = None,
) -> None:
    """Put finished runs side by side, of any models: H-Neurons, detection, slopes, origin and depth."""
    compared(runs or [], out, name or [])


def compared(runs: Sequence[Path], out: Path, names: Sequence[str] = ()) -> None:
    """Compare runs, write the record and the page into `out`, and print the tables."""
    from rich.text import Text

    from hneurons.cli.tables import terminal
    from hneurons.cli.tables_compare import print_comparison
    from hneurons.report.comparison.html import write_comparison
    from hneurons.study.comparing import compare_runs, write_side_by_side

    found = compare_runs(runs, names)
    write_side_by_side(found, out)
    page = write_comparison(found, out)
    console = terminal()
    print_comparison(found, console)
    console.print(Text.assemble("\ncomparison  ", (str(page), "bold")), soft_wrap=True)
