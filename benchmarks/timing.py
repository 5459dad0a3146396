"""Ways of doing one thing, timed in turn within one run, and the ratios between them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

WALL, CPU = 0, 1

Seconds = dict[str, list[tuple[float, float]]]  # wall clock and CPU of every repeat, by way


def in_turn(ways: dict[str, Callable[[], Any]], repeats: int, device: torch.device | str = "cpu") -> Seconds:
    """Wall-clock and CPU seconds of every way, taken in turn in an order that rotates; one round before warms up.

    Args:
        ways: what is timed, by name.
        repeats: how often each.
        device: what is waited for before a clock is read.
    """
    seconds: Seconds = {name: [] for name in ways}
    names = list(ways)
    for repeat in range(-1, repeats):
        for place in range(len(names)):
            name = names[(place + repeat) % len(names)]
            taken = timed(ways[name], device)
            if repeat >= 0:
                seconds[name].append(taken)
    return seconds


def timed(way: Callable[[], Any], device: torch.device | str = "cpu") -> tuple[float, float]:
    """Wall-clock and CPU seconds of one run."""
    gc.collect()
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    synchronise(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def synchronise(device: torch.device | str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def median(each: Iterable[tuple[float, float]], clock: int = WALL) -> float:
    """Median seconds by one of the clocks."""
    return float(np.median([seconds[clock] for seconds in each]))


def ratio(
    some: list[tuple[float, float]], others: list[tuple[float, float]], clock: int = WALL
) -> tuple[float, float, float]:
    """Median and quartiles of the ratios within each repeat."""
    return spread([mine[clock] / theirs[clock] for mine, theirs in zip(some, others, strict=True)])


def spread(each: Iterable[float]) -> tuple[float, float, float]:
    """Median and quartiles."""
    low, middle, high = (float(q) for q in np.quantile(list(each), (0.25, 0.5, 0.75)))
    return middle, low, high
