"""Ray, found or started: a cluster that is there, or one of this machine alone, out of reach for any other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hneurons.errors import RunError

_OBJECTS = 256 * 1024**2  # bytes of Ray's shared memory on one machine: a job and its tasks are small


class Cluster(BaseModel):
    """How many workers, what each takes, and where.

    Attributes:
        workers: replicas of the model.
        gpus_per_worker: accelerators of each; 1 where the cluster has any, else 0, where left out.
        cpus_per_worker: CPU cores of each, and the threads of its forward passes.
        address: "auto" or HOST:PORT of a cluster that runs; one is started on this machine where left out.
        storage: address of a storage (anything fsspec knows) where the run's directory is on no shared disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=1, ge=1)
    gpus_per_worker: int | None = Field(default=None, ge=0)
    cpus_per_worker: int = Field(default=1, ge=1)
    address: str | None = None
    storage: str | None = None


def ray_of() -> Any:
    """Ray itself.

    Raises:
        RunError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by default: behind everything else of the machine
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise RunError("--engine ray needs Ray; install it with: pip install 'hneurons[ray]'") from None
    return ray


def connected(cluster: Cluster) -> tuple[Any, int, Callable[[], None]]:
    """Ray, connected; accelerators of a worker; and what ends the connection, with the cluster if it was started here.

    Raises:
        RunError: there is no cluster at that address, or no machine of it has room for one worker.
    """
    ray = ray_of()
    if ray.is_initialized():  # somebody else's, such as a notebook's
        close: Callable[[], None] = _nothing
    else:
        _keep_quiet(ray)
        _start(ray, cluster)
        close = ray.shutdown
    try:
        return ray, _gpus(ray, cluster), close
    except BaseException:
        close()
        raise


def _start(ray: Any, cluster: Cluster) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address is not None:
        try:
            ray.init(address=cluster.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"there is no Ray cluster at {cluster.address} ({reason}); start one with: ray start --head"
            ) from None
        return
    from ray._private import ray_constants

    # Ray takes 127.0.0.1 for "any address of this machine" and listens on all of them, unless clusters are off.
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        ray.init(
            num_cpus=cluster.workers * cluster.cpus_per_worker,
            include_dashboard=False,
            object_store_memory=_OBJECTS,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _gpus(ray: Any, cluster: Cluster) -> int:
    """Accelerators of one worker.

    Raises:
        RunError: no machine has room for one worker, or the only machine has none for all.
    """
    there = ray.cluster_resources()
    wanted = cluster.gpus_per_worker
    gpus = wanted if wanted is not None else int(there.get("GPU", 0) >= 1)
    rooms = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(room.get("GPU", 0) >= gpus and room.get("CPU", 0) >= cluster.cpus_per_worker for room in rooms):
        most = max((int(room.get("GPU", 0)) for room in rooms), default=0)
        cores = max((int(room.get("CPU", 0)) for room in rooms), default=0)
        raise RunError(
            f"no machine has {gpus} GPUs and {cluster.cpus_per_worker} CPU cores for one worker (most: {most} and "
            f"{cores}); give a smaller --gpus-per-worker or --cpus-per-worker"
        )
    if cluster.address is None and there.get("GPU", 0) < gpus * cluster.workers:
        raise RunError(
            f"{cluster.workers} workers with {gpus} GPUs each need {gpus * cluster.workers}, and there are "
            f"{int(there.get('GPU', 0))}; give fewer --workers, or --gpus-per-worker 0 to run on CPUs"
        )
    return gpus


def _keep_quiet(ray: Any) -> None:
    """Ray prints on standard output that a worker died; that is said here, once and in a line."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    worker: Any = ray._private.worker
    worker.print_to_stdstream = _silent


def _silent(*_: Any, **__: Any) -> None:
    return None


def _nothing() -> None:
    return None
