"""Distances to the last checkpoint against naive loops, and sentences that say what the records hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import rankdata, zscore

from hneurons.origins.drift import Distances
from hneurons.origins.growth import drift_to_last, natural, sentences
from hneurons.origins.record import Checkpoint, DriftToLast, SetAsked, Stratum, TransferControl, Transferred
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import band
from hneurons.probes.names import H_NEURONS, MATCHED, RANDOM, REFIT

HNEURONS = ((0, 1), (0, 2), (0, 5), (2, 3))


def moved(seed: int = 0, layers: int = 3, neurons: int = 40) -> Distances:
    random = np.random.default_rng(seed)
    up, down = random.uniform(0, 1, (2, layers, neurons)) * np.arange(1, layers + 1)[:, None] / layers
    return distances_of(up, down)


def distances_of(up: np.ndarray, down: np.ndarray) -> Distances:
    return Distances(up=up, gate=None, down=down, bytes_read=0)


def test_the_mean_distance_and_its_interval_are_those_of_loops() -> None:
    found = moved()
    drift = drift_to_last(found, HNEURONS, resamples=300, seed=3)
    each = [(float(found.up[layer, index]) + float(found.down[layer, index])) / 2 for layer, index in HNEURONS]
    assert drift.hneurons.value == pytest.approx(sum(each) / 4, abs=1e-15)
    counts = np.random.default_rng(3).multinomial(4, [0.25] * 4, size=300)
    means = sorted(sum(n * value for n, value in zip(row, each, strict=True)) / 4 for row in counts)
    assert drift.hneurons.low == pytest.approx(float(np.quantile(means, 0.025)), abs=1e-12)
    assert drift.hneurons.high == pytest.approx(float(np.quantile(means, 0.975)), abs=1e-12)
    assert drift.hneurons.low < drift.hneurons.value < drift.hneurons.high


def test_the_mean_rank_is_that_of_scipy_and_one_is_nearest() -> None:
    found = moved(1)
    z = (zscore(found.up, axis=None) + zscore(found.down, axis=None)).ravel()
    rank = (rankdata(-z) - 1) / (len(z) - 1)
    expected = np.mean([rank[layer * 40 + index] for layer, index in HNEURONS])
    assert drift_to_last(found, HNEURONS).mean_rank == pytest.approx(expected, abs=1e-12)
    still = moved(1)
    for layer, index in HNEURONS:
        still.up[layer, index] = still.down[layer, index] = -1.0  # nearer than any other
    assert drift_to_last(still, HNEURONS).mean_rank == pytest.approx(1 - 1.5 / 119)  # ties share 118 to 115 of 119


def test_draws_are_of_other_neurons_and_matched_ones_of_the_same_layers() -> None:
    levels = np.repeat([[0.1], [0.4], [0.9]], 40, axis=1)
    for layer, index in HNEURONS:
        levels[layer, index] = 100.0
    drift = drift_to_last(distances_of(levels, levels), HNEURONS)
    assert len(drift.random.values) == len(drift.matched.values) == 200
    assert drift.matched.values == pytest.approx([(3 * 0.1 + 0.9) / 4] * 200)
    assert max(drift.random.values) <= 0.9
    assert min(drift.random.values) >= 0.1
    assert drift.random.mean == pytest.approx(np.mean([0.1, 0.4, 0.9]), abs=0.05)
    assert len(set(drift.random.values)) > 5


def test_what_cannot_be_had_has_a_reason() -> None:
    none = drift_to_last(moved(), ())
    assert none.hneurons.value is None
    assert none.hneurons.reason == "the probe has no H-Neuron"
    assert none.mean_rank is None
    assert none.random.mean is None
    assert "draw" in none.random.reason
    single = drift_to_last(moved(), HNEURONS[:1])
    assert single.hneurons.value is not None
    assert single.hneurons.low is None
    assert "single" in single.hneurons.reason
    crowded = drift_to_last(moved(neurons=5), [(0, index) for index in range(4)])
    assert crowded.matched.mean is None
    assert "cannot draw" in crowded.matched.reason
    assert crowded.random.mean is not None
    nothing = np.zeros((2, 6))
    same = drift_to_last(distances_of(nothing, nothing), [(0, 1), (1, 1)])
    assert same.hneurons.value == 0
    assert same.mean_rank is None


def test_values_are_in_the_order_of_their_numbers() -> None:
    given = ["100-130", "never", "5-10", "0", "20-50", "1-3", "-2", "2.5", "10"]
    assert sorted(given, key=natural) == ["-2", "0", "1-3", "2.5", "5-10", "10", "20-50", "100-130", "never"]


def figure(value: float | None, width: float = 0.02, reason: str = "") -> Estimate:
    if value is None:
        return Estimate(value=None, low=None, high=None, reason=reason)
    return Estimate(value=value, low=value - width, high=value + width)


def checkpoint(
    step: int,
    *,
    often: float = 0.0,
    rarely: float = 0.0,
    ours: float | None = None,
    drawn: tuple[float, float] = (0.52, 0.6),
    distance: float | None = None,
    matched: Sequence[float] = (0.4, 0.5),
) -> Checkpoint:
    """A record of which only what is said matters; the first set is "quiz", and "other" would say the opposite."""
    asked = tuple(
        SetAsked(
            eval_set=name,
            questions=10,
            verdicts={},
            accuracy=figure(often),
            faithful=1,
            hallucinated=1,
            left_out={},
        )
        for name in ("quiz", "other")
    )
    none = "no right answer among them"
    figures = [("quiz", H_NEURONS, 0.99), ("quiz", REFIT, ours), ("other", REFIT, 0.99)]
    controls = [("quiz", MATCHED, (0.98, 0.99)), ("quiz", RANDOM, drawn), ("other", RANDOM, (0.0, 0.1))]
    return Checkpoint(
        step=step,
        name=f"checkpoint-{step}",
        asked=asked,
        strata=tuple(
            Stratum(value=value, questions=5, accuracy=figure(share))
            for value, share in (("0", rarely), ("1-3", 0.123), ("100-130", often))
        ),
        figures=tuple(
            Transferred(eval_set=name, detector=each, n_hallucinated=1, n_faithful=1, auroc=figure(auroc, reason=none))
            for name, each, auroc in figures
        ),
        controls=tuple(
            TransferControl(
                eval_set=name,
                control=each,
                draws=2,
                auroc=band([] if ours is None else values, none if ours is None else ""),
            )
            for name, each, values in controls
        ),
        drift=None
        if distance is None
        else DriftToLast(hneurons=figure(distance), random=band([0.0, 0.01]), matched=band(matched), mean_rank=0.5),
    )


def test_when_accuracy_passes_half_of_what_it_comes_to() -> None:
    said = sentences(
        [
            checkpoint(0, often=0.02, rarely=0.05),
            checkpoint(50, often=0.449, rarely=0.1),
            checkpoint(1000, often=0.45, rarely=0.21),
            checkpoint(2500, often=0.9, rarely=0.4),
        ],
        "read",
    )
    assert said[:3] == (
        "Accuracy where read is 100-130 comes to 90.0% [88.0%, 92.0%] at step 2,500, and passes half of that at step "
        "1,000 (45.0%).",
        "Accuracy where read is 0 comes to 40.0% [38.0%, 42.0%] at step 2,500, and passes half of that at step 1,000 "
        "(21.0%).",
        "Where read is 100-130, half of the final accuracy is passed at the same step as where it is 0.",
    )


@pytest.mark.parametrize(
    ("often", "rarely", "said"),
    [
        ((0.1, 0.9, 0.9), (0.1, 0.1, 0.4), "half of the final accuracy is passed 50 steps before where it is 0."),
        ((0.1, 0.1, 0.9), (0.1, 0.3, 0.4), "half of the final accuracy is passed 50 steps AFTER where it is 0."),
        ((0.5, 0.8, 0.9), (0.1, 0.3, 0.4), "half of that it has from the first checkpoint, step 0."),
        ((0.5, 0.8, 0.9), (0.0, 0.1, 0.0), "Accuracy where read is 0 is 0 at the last step, 100."),
    ],
)
def test_frequent_facts_before_rare_ones_or_after(
    often: tuple[float, ...], rarely: tuple[float, ...], said: str
) -> None:
    steps = [checkpoint(step, often=a, rarely=b) for step, a, b in zip((0, 50, 100), often, rarely, strict=True)]
    assert any(said in each for each in sentences(steps, "read"))


def test_without_a_field_accuracy_is_that_of_the_first_set() -> None:
    said = sentences([checkpoint(0), checkpoint(10, often=0.6)], None)
    assert said[0].startswith("Accuracy on quiz comes to 60.0%")
    assert not any("read" in each for each in said)


@pytest.mark.parametrize(
    ("aurocs", "said"),
    [
        (
            (None, 0.55, 0.65, 0.8),
            "On quiz, the H-Neurons' AUROC (refit) lies above the interval of the draws of as many random neurons "
            "from step 2 on (0.650 against 0.522 to 0.598 at step 2, 0.800 against 0.522 to 0.598 at step 3). At step "
            "0 it is not defined.",
        ),
        ((0.7, 0.8, 0.9, 0.7), "from step 0 on (0.700 against 0.522 to 0.598 at step 0, 0.700"),
        (
            (0.5, 0.8, 0.5, 0.7),
            "from step 3 on (0.700 against 0.522 to 0.598 at step 3). It is above at step 1 too, but",
        ),
        ((0.5, 0.8, 0.7, 0.55), "at step 1 and 2, but NOT at the end (0.550 against 0.522 to 0.598 at step 3)."),
        ((0.5, 0.2, 0.5, 0.55), "at NONE of 4 checkpoints (0.550"),
        ((None,) * 4, "random neurons' at any checkpoint (no right answer among them)."),
    ],
)
def test_from_which_step_on_the_hneurons_tell_more_than_random_ones(
    aurocs: tuple[float | None, ...], said: str
) -> None:
    steps = [checkpoint(step, often=0.5, ours=auroc) for step, auroc in enumerate(aurocs)]
    assert said in sentences(steps, None)[1]


@pytest.mark.parametrize(
    ("distances", "said"),
    [
        (
            (0.1, 0.2, 0.45),
            "The H-Neurons' weights settle earlier than those of random neurons of the same layers: their distance to "
            "the last checkpoint is below the interval of the draws at 2 of 3 checkpoints (step 0 and 1).",
        ),
        ((0.6, 0.7, 0.8), "settle later than those"),
        ((0.45, 0.45, 0.45), "settle NEITHER earlier nor later"),
        ((0.45, 0.45, 0.1), "settle NEITHER clearly earlier nor later"),
        ((0.1, 0.1, 0.9), "below the interval of the draws at 2 of 3 checkpoints (step 0 and 1) and above"),
        ((0.1, 0.1, 0.9), "settle NEITHER clearly"),
        ((), "There is no checkpoint before the last"),
    ],
)
def test_whether_hneurons_settle_before_their_neighbours(distances: tuple[float, ...], said: str) -> None:
    steps = [checkpoint(step, often=0.5, distance=each) for step, each in enumerate(distances)]
    assert said in sentences([*steps, checkpoint(9, often=0.5)], None)[-1]


def test_what_could_not_be_measured_is_said() -> None:
    steps = [checkpoint(0, often=0.5), checkpoint(1, often=0.5, distance=0.1), checkpoint(2, often=0.5)]
    assert sentences(steps, None)[-1].endswith("at 1 of 1 checkpoints (step 1). At step 0 it could not be measured.")
    assert sentences(steps[::2], None)[-1].endswith("no checkpoint before the last could be compared with it.")


def test_that_settling_cannot_be_compared_is_said() -> None:
    steps = [checkpoint(0, often=0.5, distance=0.3, matched=()), checkpoint(1, often=0.5)]
    assert sentences(steps, None)[-1] == "How weights settle cannot be compared (no draws)."
