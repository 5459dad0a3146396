"""`hneurons models`: which architectures are supported, and whether a model is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
        bundled.add_row(*map(Text, (name, entry.summary)))
    console.print(bundled)
    table = Table(
        "family", "model_type", "neurons", title="\nArchitectures", title_justify="left", box=None, header_style="bold"
    )
    for row in supported_families():
        table.add_row(*map(Text, (row.title, row.model_type, row.formula)))
    console.print(table)


@app.command()
def check(
    model: Annotated[str, typer.Argument(help="Path or name of a model, or of a directory with only its config.json.")],
    dtype: Annotated[str, typer.Option(help="Type of the weights, such as bfloat16.")] = "auto",
    quantize: Annotated[
        str | None, typer.Option(help="Keep the weights as int8, nf4, fp4 or int8-weight-only.")
    ] = None,
) -> None:
    """Show where the neurons of a model are, whether that holds in a forward pass, and what memory it needs."""
    from hneurons.models.check import inspect_model

    report = inspect_model(model, dtype=dtype, quantize=quantize)
    memory = report.memory
    kept = report.dtype
    if report.quantization is not None:
        kept = f"{report.quantization}, {report.bits:.2f} bits a weight with its scales, the rest in {report.dtype}"
    active = "" if report.active_parameters is None else f", {report.active_parameters:,} of them at a token"
    rows = [
        ("model", f"{report.title} ({report.model_class})"),
        ("layers", f"{report.n_layers:,}"),
        ("neurons", report.layer_widths),
        ("hidden size", f"{report.hidden_size:,}"),
        ("a neuron", report.formula),
        ("where", report.where),
        ("check", report.verified),
        ("weights", f"{_bytes(memory.weights)} in {kept} ({report.parameters:,} parameters{active})"),
        ("cache", f"{_bytes(memory.cache_per_token)} a token"),
        ("stored", f"{_bytes(memory.contributions_per_response)} a response"),
        *(("note", note) for note in report.notes),
    ]
    table = Table(show_header=False, box=None)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: "layers[l]" is no markup
    Console().print(table)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
