"""The command `hneurons`: one file per command, and whatever plug-ins add."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, NoReturn

import typer

from hneurons.errors import HNeuronsError
from hneurons.memory import keep_freed_memory
from hneurons.progress import console

BAD_INPUT = 2
INTERRUPTED = 130
USERS_TO_MEND = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
)
"""What the operating system refuses because of a path or a disk, not because of a mistake of ours."""


def build() -> typer.Typer:
    """The application with all its commands."""
    from hneurons.cli import compare, demo, export, layers, models, origin, plan, stages, status, study, sweep
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
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None:
        pass

    study.add(app)
    stages.add(app)
    sweep.add(app)
    origin.add(app)
    layers.add(app)
    demo.add(app)
    status.add(app)
    compare.add(app)
    export.add(app)
    plan.add(app)
    app.add_typer(models.app, name="models")
    for name, command in registered("hneurons.commands").items():
        app.add_typer(command, name=name)
    return app


def _print_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hneurons {version('hneurons')}")
        raise typer.Exit
    return wanted


def main() -> None:
    """Run the command line. A user's mistake is one line on standard error and exit code 2."""
    keep_freed_memory()
    try:
        build()(standalone_mode=True)
    except HNeuronsError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in USERS_TO_MEND:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror}{where}; make room or give another --out. Nothing that was written is lost: run again")
    except KeyboardInterrupt:  # while the commands are put together
        _interrupted()
    except SystemExit as ended:  # Typer makes one of a KeyboardInterrupt
        if ended.code == INTERRUPTED:
            _interrupted()
        raise


def _interrupted() -> NoReturn:
    console.print("interrupted; run the same command again to go on", style="yellow")
    sys.exit(INTERRUPTED)


def _fail(message: str) -> NoReturn:
    console.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(BAD_INPUT)
