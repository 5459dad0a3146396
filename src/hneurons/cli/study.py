"""`hneurons study`: all stages, from questions to the report; of several models, one run each and their comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hneurons.cli.engines import with_engine
from hneurons.engine import Engine

if TYPE_CHECKING:
    from hneurons.study.config import StudyConfig
    from hneurons.study.run import Run


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("study")(with_engine(study))


def study(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Path or name of the model [default: atlas-7m-instruct]. Several times for several, each with a run "
            "of its own below --out, and then compared."
        ),
    ] = None,
    questions: Annotated[
        str | None, typer.Option(help="Question set to fit and report on: a name, or a file. Default: the model's own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many training questions.")] = None,
    quantize: Annotated[
        str | None, typer.Option(help="Keep the model's weights as int8, nf4, fp4 or int8-weight-only.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Run directory.")] = Path("runs/study"),
    config: Annotated[Path | None, typer.Option(help="TOML or JSON file with further settings.")] = None,
    judge_url: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible endpoint that judges in place of the rules; key: $OPENAI_API_KEY."),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Name of the model there.")] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Then turn the H-Neurons, as `hneurons sweep` does without options.")
    ] = False,
    *,
    engine: Engine,
) -> None:
    """Find the H-Neurons of a model: ask, judge, measure, fit, evaluate, report.

    Stop it whenever you like; the same command goes on where it stopped.
    """
    from hneurons.cli.tables import print_results
    from hneurons.study.config import make_config
    from hneurons.study.run import Run

    models: Sequence[str | None] = model or [None]
    settings = [
        make_config(
            config,
            model=each,
            questions=questions,
            limit=limit,
            quantize=quantize,
            judge_url=judge_url,
            judge_model=judge_model,
        )
        for each in models
    ]
    if len(settings) > 1:
        study_all(settings, out, engine, sweep=sweep)
        return
    run = Run.start(out, settings[0])
    _studied(run, engine, sweep=sweep)
    print_results(run)


def study_all(settings: Sequence[StudyConfig], out: Path, engine: Engine, *, sweep: bool = False) -> None:
    """One run a model in `out`, named after it, and their comparison.

    Raises:
        RunError: a model twice, or `out` holds a run of one model.
    """
    from hneurons.cli.compare import compared
    from hneurons.errors import RunError
    from hneurons.progress import console
    from hneurons.study.comparing import last_part, unique
    from hneurons.study.run import Run

    models = [each.model.name for each in settings]
    if twice := next((name for name in models if models.count(name) > 1), None):
        raise RunError(f"--model {twice} is given twice; give every model once")
    if (out / "config.json").exists():
        raise RunError(f"{out} holds the run of one model; give another directory with --out")
    names = unique(last_part(name) for name in models)
    runs = [Run.start(out / name, each) for name, each in zip(names, settings, strict=True)]
    for place, run in enumerate(runs):
        said = f"{run.config.model.name}: model {place + 1} of {len(runs)}, in {run.path}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        _studied(run, engine, sweep=sweep)
    compared([run.path for run in runs], out, names)


def _studied(run: Run, engine: Engine, *, sweep: bool) -> None:
    """All stages of a run, and the sweep if asked for, with the settings it was begun with or the model's own."""
    from hneurons.report.html import write_report
    from hneurons.study.stages import run_stages

    run_stages(run, engine=engine)
    write_report(run)
    if sweep:
        from hneurons.cli.sweep import swept
        from hneurons.study.config import make_sweep_settings
        from hneurons.study.turning import settings_of

        swept(run, make_sweep_settings(run.config.model.name, begun=settings_of(run)), engine)
