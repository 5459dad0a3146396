"""`hneurons sweep`: the H-Neurons of a run turned, on the compliance benchmarks, beside their controls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hneurons.cli.engines import with_engine
from hneurons.engine import Engine

if TYPE_CHECKING:
    from hneurons.compliance.settings import SweepSettings
    from hneurons.study.run import Run


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("sweep")(with_engine(sweep))


def sweep(
    run: Annotated[Path, typer.Argument(help="Run directory with a probe, made by `hneurons study`.")],
    alphas: Annotated[
        str | None, typer.Option(help="Factors, with commas [default: 0,0.5,1,1.5,2,3]. 1 is always among them.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="NAME, or NAME=FILE for a local file; several times for several. Default: the model's own."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many cases of each benchmark.")] = None,
    random: Annotated[int | None, typer.Option(min=0, help="Sets of random neurons [default: 8].")] = None,
    layer_matched: Annotated[
        int | None, typer.Option(min=0, help="Sets of random neurons of the same layers [default: 4].")
    ] = None,
    gate: Annotated[
        bool | None, typer.Option("--gate/--no-gate", help="Also turn only where the probe's token score is high.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text for perplexity: a name, or a file, a passage a line.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible endpoint that judges.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="Name of the model there; key: $OPENAI_API_KEY.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or JSON file with further settings.")] = None,
    *,
    engine: Engine,
) -> None:
    """Turn the H-Neurons of a run over alpha: compliance beside random neurons, and what it costs.

    Stop it whenever you like; the same command goes on where it stopped, and so does one without options. What is
    given then is laid over the settings that it was begun with; a judge may be added at any time.
    """
    from hneurons.cli.tables import print_report_path, terminal
    from hneurons.cli.tables_sweep import print_sweep
    from hneurons.study.config import make_sweep_settings
    from hneurons.study.results import read_results
    from hneurons.study.run import Run
    from hneurons.study.turning import settings_of

    opened = Run.open(run)
    settings = make_sweep_settings(
        opened.config.model.name,
        config,
        begun=settings_of(opened),
        alphas=None if alphas is None else numbers(alphas),
        benchmarks=benchmark or (),
        limit=limit,
        n_random=random,
        n_layer_matched=layer_matched,
        gated=gate,
        text=text,
        judge_url=judge_url,
        judge_model=judge_model,
    )
    swept(opened, settings, engine)
    console = terminal()
    print_sweep(read_results(opened), console)
    print_report_path(opened, console)


def swept(run: Run, settings: SweepSettings, engine: Engine) -> None:
    """Sweep a run, and write its results and its report anew."""
    from hneurons.report.html import write_report
    from hneurons.study.stages import run_stages
    from hneurons.study.turning import run_sweep

    run_sweep(run, settings, engine)
    run_stages(run)
    write_report(run)


def numbers(text: str) -> list[float]:
    """ "0, 0.5, 1" as numbers.

    Raises:
        RunError: it holds something else.
    """
    from hneurons.errors import RunError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise RunError(f"--alphas {text!r} is no list of numbers; write it as 0,0.5,1,1.5,2,3") from None
