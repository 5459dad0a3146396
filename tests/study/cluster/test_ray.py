"""A real Ray cluster on this machine, its workers killed: what a run holds in the end is what one process makes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from tests.study.cluster.dying import DiesWhileUploading, Refuses
from tests.study.test_resume import artifacts

from hneurons.contributions import ContributionStore, Layout
from hneurons.errors import ModelError, RunError
from hneurons.study.cluster.connecting import Cluster, connected
from hneurons.study.cluster.ray_engine import RayEngine
from hneurons.study.config import StudyConfig
from hneurons.study.measuring import plan
from hneurons.study.run import Run
from hneurons.study.stages import run_stages
from hneurons.study.work import Work

pytestmark = pytest.mark.slow

CONFIG = StudyConfig.model_validate(
    {
        "model": {"name": "atlas-1m-instruct"},
        "train": {"questions": "atlas/cities", "split": "train", "limit": 400},
        "evaluate": {"in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 60}},
        "sampling": {"n_samples": 3, "max_new_tokens": 12},
        "selection": {"minimum": 2},
        "batch_size": 10,
    }
)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Any]:
    """A cluster of two workers' room, out of reach for other machines."""
    ray, gpus, close = connected(Cluster(workers=2, gpus_per_worker=0))
    assert gpus == 0
    yield ray
    close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of one process with one thread, as far as its measurements. Look, do not write."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = Run.start(tmp_path_factory.mktemp("local") / "run", CONFIG)
    run_stages(run, until="measure")
    torch.set_num_threads(threads)
    return run


def engine(**settings: Any) -> RayEngine:
    return RayEngine(Cluster(workers=2, gpus_per_worker=0, **settings))


def killer(on: RayEngine, done: Callable[[], int], at: list[int], draw: random.Random) -> threading.Thread:
    """Kills a worker at random, shortly after each of so many batches are done."""

    def kill() -> None:
        for count in at:
            while done() < count or not on.pids:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.2))
            os.kill(draw.choice(on.pids), signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_killed_while_it_samples_and_while_it_measures_it_ends_as_one_process_does(local: Run, tmp_path: Path) -> None:
    draw = random.Random(5)
    run = Run.start(tmp_path / "run", CONFIG)
    with engine() as on:
        first = killer(on, lambda: len(list(run.path.glob("responses/*/*.parquet"))), [3, 12], draw)
        run_stages(run, until="sample", engine=on)
        first.join(10)
        sampled = on.lost
        second = killer(on, lambda: len(list(run.path.glob("contributions/*/rows/*.parquet"))), [2, 5], draw)
        run_stages(run, until="measure", engine=on)
        second.join(10)
    assert not first.is_alive()
    assert not second.is_alive()
    assert (sampled, on.lost) == (2, 4)
    assert on.again <= on.lost  # a lost worker costs the batch in its hands and nothing else
    assert artifacts(run.path) == artifacts(local.path)


@pytest.mark.parametrize("after", [1, 9])
def test_without_a_shared_disk_it_ends_the_same_though_a_worker_dies_between_two_files(
    after: int, local: Run, tmp_path: Path
) -> None:
    """`after` 1: after the first chunk of a batch; 9: its eight chunks and its part are there, its list in half."""
    run, url = copied(local, tmp_path / "run"), f"file://{tmp_path / 'storage'}"
    with engine(storage=url) as on:
        work = Work(run, on)
        planned = plan(run, "in-domain", work)
        store = ContributionStore.create(
            run.contributions("in-domain"), Layout.plan(work.known, planned, CONFIG.recording)
        )
        assert len(store.files(0)) == 9
        job = DiesWhileUploading("in-domain", planned, tmp_path / "flag", after)
        work.do(job, store.pending_batches(), "measuring", 0)
        assert (on.lost, on.again) == (1, 1)
    kept = artifacts(run.path)
    assert kept == artifacts(local.path)
    # what the storage has is fetched by a later run, and not done again: no worker is asked for it
    shutil.rmtree(run.contributions("in-domain"))
    again = engine(storage=url)
    store = ContributionStore.create(run.contributions("in-domain"), store.layout)
    again.hire = lambda work: pytest.fail("a worker is asked for")  # type: ignore[method-assign]
    again.run(job, Work(run, again), store.pending_batches(), "measuring", 0)
    assert artifacts(run.path) == kept


def test_an_error_of_a_worker_arrives_as_what_it_is(local: Run, tmp_path: Path) -> None:
    run = copied(local, tmp_path / "run")
    with engine() as on, pytest.raises(ModelError, match="batch 0 does not fit; take a smaller one"):
        Work(run, on).do(Refuses(), [0], "refusing", 0)
    assert on.lost == 0


def test_a_worker_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(RunError, match="no machine has 64 GPUs and 1 CPU cores"):
        connected(Cluster(gpus_per_worker=64))


def test_no_other_machine_can_reach_it(cluster: Any) -> None:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    assert any("raylet" in process.name() for process in family)
    listening = [each for process in family for each in connections(process) if each.status == "LISTEN"]
    assert listening
    assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} <= {"127.0.0.1", "::1"}


def connections(process: psutil.Process) -> list[Any]:
    """None of a process that has ended meanwhile."""
    try:
        return process.net_connections()
    except psutil.NoSuchProcess:
        return []


def copied(run: Run, path: Path) -> Run:
    """A run that has been judged, with one set not measured yet."""
    shutil.copytree(run.path, path)
    shutil.rmtree(path / "contributions" / "in-domain")
    return Run.open(path)
