"""Ways of doing one thing, timed in turn within one run, and the ratios between them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import torch

from hneurons.models.language_model import LanguageModel

Seconds = dict[str, list[tuple[float, float]]]  # wall clock and CPU of every repeat, by way


def in_turn(ways: dict[str, Callable[[], None]], repeats: int, model: LanguageModel) -> Seconds:
    """Wall-clock and CPU seconds of every way, taken in turn; one round before warms up."""
    seconds: Seconds = {name: [] for name in ways}
    names = list(ways)
    for repeat in range(-1, repeats):
        for place in range(len(names)):
            name = names[(place + repeat) % len(names)]
            gc.collect()
            synchronise(model)
            wall, cpu = time.perf_counter(), time.process_time()
            ways[name]()
            synchronise(model)
            if repeat >= 0:
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


def synchronise(model: LanguageModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def ratio(some: list[tuple[float, float]], others: list[tuple[float, float]], clock: int) -> tuple[float, float, float]:
    """Median and quartiles of the ratios within each repeat."""
    each = [mine[clock] / theirs[clock] for mine, theirs in zip(some, others, strict=True)]
    low, middle, high = (float(q) for q in np.quantile(each, (0.25, 0.5, 0.75)))
    return middle, low, high
