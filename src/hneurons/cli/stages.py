"""`hneurons sample`, `judge`, `measure`, `fit`, `evaluate`, `report`: the stages of a study, one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from hneurons.cli.engines import with_engine
from hneurons.engine import Engine

STAGES = {
    "sample": "Ask the questions of a run and write down what the model says.",
    "judge": "Judge the responses of a run, mark the answers in them, choose what is used.",
    "measure": "Record what the neurons did during the answers.",
    "fit": "Fit the sparse probe: the path over C, the choice of C, its stability.",
    "evaluate": "Hold the probe against its controls and baselines.",
    "report": "Write results.json and report.html.",
}


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for name, summary in STAGES.items():
        told = f"{summary} Stages before it that are not done are done first."
        app.command(name, help=told)(with_engine(_stage(name)))


def _stage(name: str) -> Callable[..., None]:
    def command(
        run: Annotated[Path, typer.Argument(help="Run directory, made by `hneurons study`.")], *, engine: Engine
    ) -> None:
        from hneurons.study.run import Run
        from hneurons.study.stages import run_stages

        opened = Run.open(run)
        run_stages(opened, until=name, engine=engine)
        if name == "report":
            from hneurons.report.html import write_report

            typer.echo(write_report(opened))

    return command
