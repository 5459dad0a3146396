"""The simulation of many workers, against what can be worked out by hand."""

from __future__ import annotations

import math

import pytest

from hneurons.study.scaling import Conditions, first_bottleneck, simulate


@pytest.mark.parametrize(("tasks", "workers"), [(1, 1), (10, 3), (12, 4), (5, 8), (1000, 7)])
def test_without_contention_it_takes_rounds_of_tasks(tasks: int, workers: int) -> None:
    found = simulate(Conditions(tasks=tasks, task_seconds=2.5), workers)
    assert found.seconds == pytest.approx(math.ceil(tasks / workers) * 2.5)
    assert found.share["work"] == pytest.approx(tasks * 2.5 / (workers * found.seconds))
    assert found.share["the end"] == pytest.approx(1 - found.share["work"])


def test_a_driver_that_hands_out_too_slowly_sets_the_pace() -> None:
    """N tasks at d seconds each, and the last one's own time, where W d > t."""
    found = simulate(Conditions(tasks=500, task_seconds=1.0, dispatch_seconds=0.1), 50)
    assert found.seconds == pytest.approx(500 * 0.1 + 1.0)
    assert found.bottleneck == "driver"
    fast = simulate(Conditions(tasks=500, task_seconds=1.0, dispatch_seconds=0.1), 5)
    assert fast.seconds == pytest.approx(100.0, rel=0.02)  # W d < t: the next task is there when one ends


def test_a_storage_that_writes_too_slowly_sets_the_pace() -> None:
    """N results at s / B seconds each, after the first task, where W s / B > t."""
    found = simulate(Conditions(tasks=400, task_seconds=1.0, result_bytes=2e8, write_rate=1e9), 20)
    assert found.seconds == pytest.approx(1.0 + 400 * 0.2)
    assert found.bottleneck == "writing"


def test_one_writer_is_as_slow_as_itself() -> None:
    given = Conditions(tasks=10, task_seconds=1.0, result_bytes=1e8, write_rate=1e9, worker_write_rate=1e8)
    assert simulate(given, 1).seconds == pytest.approx(10 * 2.0)


def test_models_are_read_one_after_the_other() -> None:
    """The last of W workers has read after W M / R; a task each is done one task later."""
    found = simulate(Conditions(tasks=8, task_seconds=100.0, model_bytes=1e10, read_rate=1e9, start_seconds=5), 8)
    assert found.seconds == pytest.approx(5 + 8 * 10 + 100)
    assert found.share["loading"] == pytest.approx(sum(10 * k for k in range(1, 9)) / (8 * found.seconds))


def test_lost_workers_cost_what_renewal_theory_says() -> None:
    """Expected seconds of a task of t seconds that begins anew whenever its worker, lost at rate r, is replaced in s:
    (exp(r t) - 1) (1 / r + s)."""
    given = Conditions(tasks=5_000, task_seconds=60.0, hours_between_losses=0.1, start_seconds=20.0)
    rate = 1 / 360
    expected = (math.exp(rate * 60) - 1) * (1 / rate + 20)
    found = simulate(given, 1)
    assert (found.seconds - 20) / 5_000 == pytest.approx(expected, rel=0.03)
    assert found.lost == pytest.approx(5_000 * (math.exp(rate * 60) - 1), rel=0.05)
    assert abs(expected / 60 - 1) > 0.1  # losses that cost nothing would not pass


@pytest.mark.parametrize("workers", [1, 7, 64, 300])
def test_every_second_of_every_worker_is_accounted_for(workers: int) -> None:
    given = Conditions(
        tasks=500, task_seconds=20.0, spread=0.5, dispatch_seconds=0.02, model_bytes=1.6e10, start_seconds=10,
        result_bytes=5e7, read_rate=5e9, write_rate=1e9, worker_read_rate=1e9, worker_write_rate=5e8,
        hours_between_losses=0.2, seed=3,
    )  # fmt: skip
    found = simulate(given, workers)
    assert sum(found.share.values()) == pytest.approx(1)
    assert min(found.share.values()) >= -1e-12
    assert found.lost > 0


def test_task_times_have_the_mean_that_was_asked_for() -> None:
    found = simulate(Conditions(tasks=5_000, task_seconds=10.0, spread=0.7), 1)
    assert found.seconds == pytest.approx(50_000, rel=0.04)
    slowest = simulate(Conditions(tasks=64, task_seconds=10.0, spread=0.7), 64)
    assert slowest.bottleneck == "the end"  # all wait for the slowest
    assert slowest.seconds > 20


def test_the_first_bottleneck_is_named() -> None:
    given = Conditions(tasks=1_000, task_seconds=10.0, dispatch_seconds=0.1, result_bytes=1e6, write_rate=1e9)
    found, first = first_bottleneck(given, [10, 50, 200, 1000])
    assert [each.workers for each in found] == [10, 50, 200, 1000]
    assert first is not None
    assert (first.workers, first.bottleneck) == (200, "driver")  # more than t / d = 100 workers are not fed
    assert first_bottleneck(given, [10])[1] is None
