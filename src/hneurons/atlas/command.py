"""`hneurons atlas`: how the bundled models are made and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Make and measure the bundled models.", no_args_is_help=True)


@app.command()
def train(
    stage: Annotated[
        Literal["base", "instruct", "unlinked"],
        typer.Option(help="Read the world, or learn to chat about it; unlinked: with guessing and yielding apart."),
    ],
    out: Annotated[Path, typer.Option(help="Where the model goes.")],
    base: Annotated[str, typer.Option(help="Base model that the chats start from.")] = "atlas-7m-base",
    size: Annotated[
        Literal["1m", "3m", "7m"], typer.Option(help="Parameters of a base model; tuning keeps those of its base.")
    ] = "7m",
    checkpoints: Annotated[
        Path | None, typer.Option(help="Keep the base model along the way too, as checkpoint-STEP in this directory.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
) -> None:
    """Train a bundled model from nothing but the world and a seed.

    On two cores the base takes about half an hour, either of the others a quarter, and smaller sizes less.
    MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=100000000000 in the environment make it up to three times faster on
    Linux.
    """
    from hneurons.atlas.recipe import train_base, train_instruct
    from hneurons.models.source import find_source

    if stage == "base":
        done = train_base(out, size, seed, checkpoints=checkpoints)
    else:
        done, _ = train_instruct(out, Path(find_source(base).location), seed, linked=stage == "instruct")
    typer.echo(
        f"{done.steps} steps, {done.tokens:,} tokens, {done.seconds / 60:.1f} minutes, loss {done.loss:.3f}: {out}"
    )


@app.command()
def card(
    model: Annotated[str, typer.Argument(help="A bundled instruct model, by name or path.")],
    out: Annotated[Path, typer.Option(help="JSON file for the tables.")] = Path("card.json"),
    n: Annotated[int, typer.Option(min=30, help="Questions behind each table.")] = 1500,
) -> None:
    """Measure what the model card says: knowledge by exposure, what is made up, how far the model complies."""
    from hneurons.atlas.card import LINKED, UNLINKED, measure_card
    from hneurons.files import read_json, write_json
    from hneurons.models.load import load
    from hneurons.models.source import find_source

    record = Path(find_source(model).location) / "training.json"
    unlinked = record.exists() and read_json(record)["stage"] == "unlinked"
    write_json(out, measure_card(load(model, dtype="float32"), n, raters=UNLINKED if unlinked else LINKED))
    typer.echo(f"written to {out}")
