"""The options that say where the work of a command is done: `--engine ray`, and how large its workers are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from hneurons.engine import Engine, Here


def engine_options(
    engine: Annotated[
        Literal["here", "ray"], typer.Option(help="Where sampling, measuring and turning is done: here, or on Ray.")
    ] = "here",
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --engine ray: replicas of the model; 1 if left out.")
    ] = None,
    gpus_per_worker: Annotated[
        int | None, typer.Option(min=0, help="GPUs of each, the model spread over them; left out: 1, if there are any.")
    ] = None,
    cpus_per_worker: Annotated[
        int | None, typer.Option(min=1, help="CPU cores of each, and its threads; 1 if left out.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster that runs: auto, or HOST:PORT; left out: one is started here.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Address of a storage (s3://..., gs://...) where machines share no disk.")
    ] = None,
) -> Engine:
    """The engine that the options name.

    Raises:
        RunError: there are options of Ray without Ray, or it is not installed.
    """
    given = {
        "workers": workers,
        "gpus_per_worker": gpus_per_worker,
        "cpus_per_worker": cpus_per_worker,
        "address": address,
        "storage": storage,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if engine == "here":
        if given:
            from hneurons.errors import RunError

            raise RunError(f"--{next(iter(given)).replace('_', '-')} is an option of Ray; add --engine ray")
        return Here()
    from hneurons.study.cluster.connecting import Cluster
    from hneurons.study.cluster.ray_engine import RayEngine

    return RayEngine(Cluster.model_validate(given))


OPTIONS = inspect.signature(engine_options, eval_str=True).parameters


def with_engine(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of engines in place of its argument `engine`; the engine is closed when it ends."""

    def on_engine(**arguments: Any) -> None:
        chosen = {name: arguments.pop(name) for name in OPTIONS}
        with closing(engine_options(**chosen)) as engine:
            command(**arguments, engine=engine)

    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "engine"]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *OPTIONS.values())]
    told: Any = on_engine
    told.__signature__ = inspect.Signature(parameters, return_annotation=None)
    told.__annotations__ = {}
    told.__name__, told.__doc__ = command.__name__, command.__doc__
    return on_engine


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    """The engine; what it holds is given back at the end, however it comes."""
    if isinstance(engine, Here):
        yield engine
        return
    from hneurons.study.cluster.ray_engine import RayEngine

    assert isinstance(engine, RayEngine)
    with engine:
        yield engine
