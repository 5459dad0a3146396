"""`hneurons demo`: a whole study of a bundled model, the sweep over alpha, and the trace to its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hneurons.cli.engines import with_engine
from hneurons.engine import Engine


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("demo")(with_engine(demo))


def demo(
    model: Annotated[str, typer.Option(help="A bundled model; see `hneurons models`.")] = "atlas-7m-instruct",
    out: Annotated[Path, typer.Option(help="Run directory.")] = Path("runs/demo"),
    *,
    engine: Engine,
) -> None:
    """Find the H-Neurons of a bundled model, turn them, trace them to its base model, and write the report.

    It takes about half an hour on two cores: five minutes to find them, twelve to turn them, the rest to trace them.

    Stop it whenever you like; the same command goes on where it stopped.
    """
    from hneurons.cli.origin import traced
    from hneurons.cli.sweep import swept
    from hneurons.cli.tables import print_report_path, print_tables, terminal
    from hneurons.cli.tables_origin import print_origin
    from hneurons.cli.tables_sweep import print_sweep
    from hneurons.errors import RunError
    from hneurons.registry import registered
    from hneurons.study.config import make_config, make_sweep_settings
    from hneurons.study.origin_settings import make_origin_settings
    from hneurons.study.results import read_results
    from hneurons.study.run import Run
    from hneurons.study.stages import run_stages
    from hneurons.study.tracing import settings_of

    if model not in (bundled := registered("hneurons.models")):
        raise RunError(f"{model!r} is no bundled model; use one of {', '.join(bundled)}, or hneurons study and sweep")
    run = Run.start(out, make_config(model=model))
    run_stages(run, engine=engine)
    swept(run, make_sweep_settings(run.config.model.name), engine)
    origin = make_origin_settings(run.config.model, begun=settings_of(run))
    if origin.base is not None:
        traced(run, origin, engine)
    console, results = terminal(), read_results(run)
    print_tables(results, console)
    print_sweep(results, console)
    if results.origin is not None:
        print_origin(results, console)
    print_report_path(run, console)
    if results.layers is None:
        console.print(f"next: hneurons layers {run.path}, the same run layer by layer, in a few minutes", markup=False)
