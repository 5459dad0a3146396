"""`hneurons models`: which architectures are supported, and whether a model is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="Supported architectures and models.", invoke_without_command=True)


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the supported architectures and the bundled models."""
    if context.invoked_subcommand is not None:
        return
    from hneurons.models.families import supported_families
    from hneurons.registry import registered

    console = Console()
    bundled = Table("model", "what it is", title="Models by name", title_justify="left", box=None, header_style="bold")
    for name, entry in registered("hneurons.models").items():
        bundled.add_row(name, entry.summary)
    console.print(bundled)
    table = Table(
        "family", "model_type", "neurons", title="\nArchitectures", title_justify="left", box=None, header_style="bold"
    )
    for row in supported_families():
        table.add_row(row.title, row.model_type, row.formula)
    console.print(table)


@app.command()
def check(
    model: Annotated[str, typer.Argument(help="Path or name of a model, or of a directory with only its config.json.")],
    dtype: Annotated[str, typer.Option(help="Type of the weights, such as bfloat16.")] = "auto",
) -> None:
    """Show where the neurons of a model are, whether that holds in a forward pass, and what memory it needs."""
    from hneurons.models.check import inspect_model

    report = inspect_model(model, dtype=dtype)
    table = Table(show_header=False, box=None)
    table.add_row("model", f"{report.title} ({report.model_class})")
    table.add_row("layers", f"{report.n_layers:,}")
    table.add_row("neurons", f"{report.n_neurons:,} a layer, {report.neurons:,} in all")
    table.add_row("hidden size", f"{report.hidden_size:,}")
    table.add_row("a neuron", report.formula)
    table.add_row("where", report.where)
    table.add_row("check", report.verified)
    memory = report.memory
    table.add_row("weights", f"{_bytes(memory.weights)} in {report.dtype} ({report.parameters:,} parameters)")
    table.add_row("cache", f"{_bytes(memory.cache_per_token)} a token")
    table.add_row("stored", f"{_bytes(memory.contributions_per_response)} a response")
    for note in report.notes:
        table.add_row("note", note)
    Console().print(table)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
