"""`hneurons plan`: what a study takes, from rates that were measured; and how many workers it can use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hneurons.study.planning import Plan
    from hneurons.study.scaling import Scaled

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LEAST = 0.8
"""The share of useful work below which workers are too many."""


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("plan")(plan)


def plan(
    shape: Annotated[str, typer.Option(help="Layers x neurons x width of the model, such as 32x14336x4096.")],
    weights: Annotated[float, typer.Option(help="Its weights in GB, as they are stored.")],
    sampled: Annotated[float, typer.Option(help="Measured: response tokens sampled a second, one worker.")],
    measured: Annotated[float, typer.Option(help="Measured: tokens recorded a second, one worker.")],
    response_tokens: Annotated[float, typer.Option(help="Measured: mean length of a response.")],
    prompt_tokens: Annotated[float, typer.Option(help="Measured: mean length of a prompt.")],
    read: Annotated[float, typer.Option(help="Measured: GB/s at which one worker reads the model.")],
    write: Annotated[float, typer.Option(help="Measured: GB/s that the run's disk or storage takes in all.")],
    shared_read: Annotated[float | None, typer.Option(help="GB/s that it gives in all. Default: no limit.")] = None,
    fit: Annotated[float | None, typer.Option(help="Measured: GB of the matrix a second that the fit does.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Replicas of the model.")] = 1,
    gpus_per_worker: Annotated[int, typer.Option(min=1, help="GPUs of each.")] = 1,
    price: Annotated[float, typer.Option(min=0, help="Of a GPU's hour, in any currency.")] = 0.0,
    dispatch: Annotated[
        float, typer.Option(min=0, help="Milliseconds of the driver for a batch (benchmarks/cluster.py).")
    ] = 12.5,
    start: Annotated[float, typer.Option(min=0, help="Seconds a worker takes to start, beside reading.")] = 30.0,
    config: Annotated[Path | None, typer.Option(help="TOML or JSON file with the settings of the study.")] = None,
) -> None:
    """Tell what a study takes at most: hours, cost and disk, and how many workers it can use.

    Every rate is one that you measured, on a machine of the kind that you will use; the documentation says how.
    """
    from rich.console import Console

    from hneurons.study.config import make_config
    from hneurons.study.planning import Rates, Shape, conditions_of, plan_study
    from hneurons.study.scaling import first_bottleneck

    settings = make_config(config, model=None if config else "model")
    layers, neurons, width = _numbers(shape)
    size = Shape(n_layers=layers, n_neurons=neurons, hidden_size=width, weight_bytes=weights * 1e9)
    rates = Rates(
        sampled=sampled,
        measured=measured,
        response_tokens=response_tokens,
        prompt_tokens=prompt_tokens,
        read_rate=read * 1e9,
        write_rate=write * 1e9,
        fit_rate=None if fit is None else fit * 1e9,
    )
    found = plan_study(settings, size, rates, workers=workers, gpus_per_worker=gpus_per_worker, price=price)
    console = Console()
    _print_plan(found, price, console)
    for stage in ("sample", "measure"):
        conditions = conditions_of(
            stage,
            settings,
            size,
            rates,
            dispatch_seconds=dispatch / 1e3,
            start_seconds=start,
            shared_read_rate=None if shared_read is None else shared_read * 1e9,
        )
        _print_scaling(stage, *first_bottleneck(conditions, WORKERS, LEAST), console)


def _print_plan(found: Plan, price: float, console: Console) -> None:
    from rich.table import Table

    table = Table("stage", "gets through", "hours", "GPU hours", "waits for", box=None, header_style="bold")
    for stage in found.stages:
        amount = f"{stage.amount / 1e9:,.1f} GB" if stage.unit == "bytes" else f"{stage.amount / 1e6:,.2f} M tokens"
        table.add_row(stage.name, amount, f"{stage.hours:.2f}", f"{stage.gpu_hours:.2f}", stage.limit)
    console.print(table)
    for name, why in found.missing.items():
        console.print(f"{name}: {why}", markup=False)
    cost = f", cost {found.cost:,.2f}" if price else ""
    console.print(
        f"at most {found.hours:.2f} hours{cost}; contributions {found.contributions / 1e9:,.1f} GB on disk, "
        f"the matrix of the fit {found.matrix / 1e9:,.1f} GB",
        markup=False,
        highlight=False,
    )


def _print_scaling(stage: str, scaled: list[Scaled], first: Scaled | None, console: Console) -> None:
    from rich.table import Table

    table = Table("workers", "minutes", "useful work", "most of the rest", box=None, header_style="bold")
    for each in scaled:
        share = f"{each.share[each.bottleneck]:.0%} {each.bottleneck}"
        table.add_row(str(each.workers), f"{each.seconds / 60:.1f}", f"{each.efficiency:.0%}", share)
    console.print(f"\nStage {stage}, by workers (simulated)", style="bold")
    console.print(table)
    if first is not None:
        said = f"first bottleneck: {first.bottleneck}, at {first.workers} workers (useful work below {LEAST:.0%})"
        console.print(said, markup=False, highlight=False)


def _numbers(shape: str) -> tuple[int, int, int]:
    """ "32x14336x4096" as numbers.

    Raises:
        RunError: it is something else.
    """
    from hneurons.errors import RunError

    parts = shape.split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise RunError(f"--shape {shape!r} is no shape; write layers x neurons x width as 32x14336x4096")
    layers, neurons, width = map(int, parts)
    return layers, neurons, width
