"""The command `hneurons`: one file per command, and whatever plug-ins add."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from hneurons.errors import HNeuronsError
from hneurons.progress import console

BAD_INPUT = 2
INTERRUPTED = 130


def build() -> typer.Typer:
    """The application with all its commands."""
    from hneurons.cli import models, stages, status, study
    from hneurons.registry import registered

    app = typer.Typer(
        name="hneurons",
        help="Find, watch, turn and trace the neurons that make a language model hallucinate.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def top(
        version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    ) -> None:
        if version:
            from importlib.metadata import version as installed

            typer.echo(f"hneurons {installed('hneurons')}")
            raise typer.Exit

    study.add(app)
    stages.add(app)
    status.add(app)
    app.add_typer(models.app, name="models")
    for name, command in registered("hneurons.commands").items():
        app.add_typer(command, name=name)
    return app


def main() -> None:
    """Run the command line. A user's mistake is one line on standard error and exit code 2."""
    try:
        build()(standalone_mode=True)
    except HNeuronsError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror}{where}; make room or give another --out. Nothing that was written is lost: run again")
    except KeyboardInterrupt:
        console.print("interrupted; run the same command again to go on", style="yellow")
        sys.exit(INTERRUPTED)


def _fail(message: str) -> None:
    console.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(BAD_INPUT)
