"""What the Ray engine costs beside one process, what a killed worker costs, and what the driver takes for a task.

    python benchmarks/cluster.py --part overhead      sampling by one worker over sampling in this process, same batches
    python benchmarks/cluster.py --part killed        seconds that a worker killed half-way adds
    python benchmarks/cluster.py --part dispatch      milliseconds of the driver for a task, by workers it waits for

The first two are of the bundled model on one thread. In the third the workers do nothing, so that the driver is
all there is to wait for; all but two of them never answer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from figures import Figure, add_json, save
from hneurons.engine import Here
from hneurons.study.asking import sample_responses, write_questions
from hneurons.study.cluster.connecting import Cluster
from hneurons.study.cluster.ray_engine import RayEngine
from hneurons.study.cluster.round import Hand, Round
from hneurons.study.cluster.worker import Started
from hneurons.study.config import StudyConfig
from hneurons.study.run import Run
from hneurons.study.work import Work
from timing import in_turn, ratio

MODEL = "atlas-7m-instruct"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("overhead", "killed", "dispatch"), required=True)
    parser.add_argument("--questions", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 100, 1000])
    add_json(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {"overhead": overhead, "killed": killed, "dispatch": dispatch}[args.part](args, Path(folder))
    for each in found:
        print(f"{each.what}: {each.value:.3g} {each.unit} [{each.low}, {each.high}] {each.settings}")
    save(args.json, found)


def overhead(args: argparse.Namespace, folder: Path) -> list[Figure]:
    """A warm worker against a warm process: the same batches, again and again."""
    with RayEngine(Cluster(gpus_per_worker=0)) as engine:
        here, there = (_begun(folder / name, on, args.questions) for name, on in (("here", Here()), ("ray", engine)))
        seconds = in_turn({"here": lambda: _again(here), "ray": lambda: _again(there)}, args.repeats)
    batches = -(-args.questions // 64)
    return [
        Figure.of(
            ratio(seconds["ray"], seconds["here"]),
            "sampling by one worker of a Ray cluster", "the same in one process", model=MODEL, batches=batches,
        )
    ]  # fmt: skip


def killed(args: argparse.Namespace, folder: Path) -> list[Figure]:
    """One worker, killed half-way: what it takes more than when it is left alone."""
    extra = []
    with RayEngine(Cluster(gpus_per_worker=0)) as engine:
        work = _begun(folder / "run", engine, args.questions)
        half = -(-args.questions // 64) // 2
        for _ in range(args.repeats):
            taken = []
            for deadly in (False, True):
                thread = threading.Thread(target=_kill, args=(engine, work, half), daemon=True)
                _clear(work)
                began = time.perf_counter()
                if deadly:
                    thread.start()
                sample_responses(work, ["train"])
                taken.append(time.perf_counter() - began)
            extra.append(taken[1] - taken[0])
        assert engine.lost == args.repeats
    low, value, high = np.quantile(extra, [0.25, 0.5, 0.75])
    return [
        Figure.of(
            (float(value), float(low), float(high)), "a worker killed half-way", "", unit="seconds", model=MODEL,
            note="starting a process, importing torch, loading the model, and the batch that was in its hands",
        )
    ]  # fmt: skip


def dispatch(args: argparse.Namespace, folder: Path) -> list[Figure]:
    """The driver's own time, by how many workers it waits for."""
    found = []
    with RayEngine(Cluster(workers=2, gpus_per_worker=0)) as engine:
        engine.connect()
        for workers in args.workers:
            each = [_dispatched(engine, workers, args.tasks, folder) / args.tasks * 1e3 for _ in range(args.repeats)]
            low, value, high = np.quantile(each, [0.25, 0.5, 0.75])
            spread = (float(value), float(low), float(high))
            found.append(Figure.of(spread, "the driver, for a task", "", unit="ms", workers=workers))
    return found


class Nothing:
    """A worker without a model, which does nothing at once."""

    def begin(self, job: Any, files: Mapping[str, bytes], key: str) -> None:
        return None

    def do(self, task: int) -> None:
        return None

    def close(self) -> None:
        return None


class Never(Nothing):
    """A worker that takes up its job and never says so."""

    def begin(self, job: Any, files: Mapping[str, bytes], key: str) -> None:
        time.sleep(3600)


class _Nobody(Work):
    """A run that is known to be of some model, and has nothing in it."""

    def __init__(self, path: Path) -> None:
        self.run = _Known(path, _config(64))
        self.engine = Here()


class _Known(Run):
    @property
    def model(self) -> Path:
        return self.path  # there, and that is all that is asked


def _dispatched(engine: RayEngine, workers: int, tasks: int, folder: Path) -> float:
    ray, started = engine.ray, Started({}, 0, "")
    two = [ray.remote(Nothing).options(num_cpus=0).remote() for _ in range(2)]
    silent = ray.remote(Never).options(num_cpus=0).remote()
    ray.get([actor.do.remote(0) for actor in two])
    engine.hands = dict(enumerate([Hand(actor, {}, started) for actor in two]))
    engine.hands |= {number: Hand(silent, {}, started) for number in range(2, workers)}
    began = time.perf_counter()
    Round(engine, "nothing", _Nobody(folder), list(range(tasks)), lambda: None).run()
    taken = time.perf_counter() - began
    for actor in (*two, silent):
        ray.kill(actor)
    engine.hands = {}
    return taken


def _config(questions: int) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "model": {"name": MODEL},
            "train": {"questions": "atlas/cities", "split": "train", "limit": questions},
            "evaluate": {"warm": {"questions": "atlas/cities", "split": "validation", "limit": 16}},
        }
    )


def _begun(path: Path, engine: Any, questions: int) -> Work:
    """A run whose model has been loaded, where the engine keeps it."""
    work = Work(Run.start(path, _config(questions)), engine)
    write_questions(work.run)
    sample_responses(work, ["warm"])
    return work


def _again(work: Work) -> None:
    _clear(work)
    sample_responses(work, ["train"])


def _clear(work: Work) -> None:
    shutil.rmtree(work.run.responses("train"), ignore_errors=True)


def _kill(engine: RayEngine, work: Work, half: int) -> None:
    while len(list(work.run.responses("train").glob("*.parquet"))) < half:
        time.sleep(0.01)
    os.kill(engine.pids[0], signal.SIGKILL)


if __name__ == "__main__":
    main()
