"""`hneurons origin`: where the H-Neurons of a run come from: its base model, and the checkpoints on the way there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hneurons.cli.engines import with_engine
from hneurons.engine import Engine

if TYPE_CHECKING:
    from hneurons.study.origin_settings import OriginSettings
    from hneurons.study.run import Run


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("origin")(with_engine(origin))


def origin(
    run: Annotated[Path, typer.Argument(help="Run directory with a probe, made by `hneurons study`.")],
    base: Annotated[
        str | None,
        typer.Option(help="Path or name of the model that was tuned. Default: as registered."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of the base model on the hub.")] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Prompt of the base model, {question} in it. Default: its own, or the question and Answer:"),
    ] = None,
    backward_only: Annotated[
        bool | None,
        typer.Option("--backward-only/--both-ways", help="Whether to leave out a probe of the base model's own."),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Directory of checkpoints of the pre-training, a step in the name of each.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Field of the questions by which accuracy is shown over checkpoints.")
    ] = None,
    trust_remote_code: Annotated[
        bool | None, typer.Option("--trust-remote-code", help="Let the base model run code of its own; read it first.")
    ] = None,
    *,
    engine: Engine,
) -> None:
    """Trace the H-Neurons of a run to its base model: transfer both ways, drift of weights, growth over checkpoints.

    Stop it whenever you like; the same command goes on where it stopped, and so does one without options. What is
    given then is laid over the settings that it was begun with.
    """
    from hneurons.cli.tables import print_report_path, terminal
    from hneurons.cli.tables_origin import print_origin
    from hneurons.errors import ModelNotFoundError
    from hneurons.study.origin_settings import make_origin_settings
    from hneurons.study.results import read_results
    from hneurons.study.run import Run
    from hneurons.study.tracing import settings_of

    opened = Run.open(run)
    if checkpoints is not None and not checkpoints.is_dir():  # before anything takes its time
        raise ModelNotFoundError(f"there is no directory {checkpoints}; name the one that holds the checkpoints")
    settings = make_origin_settings(
        opened.config.model,
        begun=settings_of(opened),
        base=base,
        revision=revision,
        template=template,
        forward=None if backward_only is None else not backward_only,
        by=by,
        trust_remote_code=trust_remote_code,
    )
    traced(opened, settings, engine, checkpoints)
    console = terminal()
    print_origin(read_results(opened), console)
    print_report_path(opened, console)


def traced(run: Run, settings: OriginSettings, engine: Engine, checkpoints: Path | None = None) -> None:
    """Trace a run to its base model, let its checkpoints follow, and write its results and its report anew.

    Where checkpoints are given and no base model is known, they are all that is looked at.
    """
    from hneurons.report.html import write_report
    from hneurons.study.stages import run_stages
    from hneurons.study.tracing import trace

    if settings.base is not None or checkpoints is None:
        trace(run, settings, engine)
    if checkpoints is not None:
        from hneurons.study.growing import grow

        grow(run, checkpoints, settings, engine)
    run_stages(run)
    write_report(run)
