"""`hneurons status`: where a run stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def add(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("status")(status)


def status(run: Annotated[Path, typer.Argument(help="Run directory.")]) -> None:
    """Show which stages of a run are done, and how far the others are."""
    from hneurons.study.layers.exploring import layers_state
    from hneurons.study.run import Run
    from hneurons.study.stages import stage_states
    from hneurons.study.tracing import origin_state
    from hneurons.study.turning import sweep_state

    opened = Run.open(run)
    states = stage_states(opened)
    for state in (sweep_state(opened), origin_state(opened), layers_state(opened)):
        if state is not None:
            states.insert(-1, state)  # the report comes last
    table = Table("stage", "state", "done", box=None, header_style="bold")
    for state in states:
        table.add_row(state.name, "done" if state.complete else "open", f"{state.done} of {state.total} {state.unit}")
    Console().print(table)
