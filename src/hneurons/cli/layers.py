"""`hneurons layers`: a run asked layer by layer, from where an answer is decided to what helps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("layers")(layers)


def layers(
    run: Annotated[Path, typer.Argument(help="Run directory with a probe, made by `hneurons study`.")],
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="A part: tracking, comparison, attention, confidence, concepts, causality or mitigation. "
            "Give it again for another. Default: all."
        ),
    ] = None,
    n_each: Annotated[
        int | None, typer.Option(help="Answers of either kind of each evaluation set, at most.", min=10)
    ] = None,
    n_pairs: Annotated[int | None, typer.Option(help="Pairs of answers that are patched, at most.", min=2)] = None,
    n_cases: Annotated[int | None, typer.Option(help="Cases of each benchmark that misleads, at most.", min=2)] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="A benchmark that misleads: NAME or NAME=FILE; give it again for another.")
    ] = None,
    batch_rows: Annotated[int | None, typer.Option(help="Rows of one forward batch, at most.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of choices, resamples, permutations and noise.")] = None,
) -> None:
    """Ask a run layer by layer: where answers are decided, what differs, what causes it, and what helps.

    Stop it whenever you like; the same command goes on where it stopped. The report and results.json take up what is
    there so far.
    """
    from hneurons.cli.tables import print_report_path, terminal
    from hneurons.cli.tables_layers import print_layers
    from hneurons.layers.settings import PARTS
    from hneurons.report.html import write_report
    from hneurons.study.layers.exploring import explore, make_layers_settings
    from hneurons.study.results import read_results
    from hneurons.study.run import Run
    from hneurons.study.stages import run_stages

    opened = Run.open(run)
    settings = make_layers_settings(
        opened,
        n_each=n_each,
        n_pairs=n_pairs,
        n_cases=n_cases,
        benchmarks=benchmark,
        batch_rows=batch_rows,
        seed=seed,
    )
    explore(opened, settings, tuple(part) if part else PARTS)
    run_stages(opened)
    write_report(opened)
    console = terminal()
    print_layers(read_results(opened), console)
    print_report_path(opened, console)
