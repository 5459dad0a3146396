"""Risk over coverage against loops over every answer, and over every order of ties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from hneurons.layers.confidence.risk import aurc, curve, excess_aurc, oracle_aurc, random_risk, risk_coverage


def naive(y: np.ndarray, p: np.ndarray) -> float:
    """The risk after each answer, in order, averaged."""
    ordered = y[np.argsort(p)]
    return float(np.mean([ordered[:i].mean() for i in range(1, len(y) + 1)]))


def test_aurc_is_the_mean_risk_over_answers_given() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        y, p = random.random(31) < 0.4, random.random(31)
        assert aurc(y, p, np.ones((1, 31)))[0] == pytest.approx(naive(y, p))
        assert aurc(y, -p, np.ones((1, 31)))[0] != pytest.approx(naive(y, p))  # the wrong way round


def test_ties_count_as_every_order_of_them() -> None:
    y, p = np.array([True, False, True, False, False]), np.array([0.1, 0.2, 0.2, 0.2, 0.9])
    orders = [np.array([0, *middle, 4]) for middle in permutations([1, 2, 3])]
    expected = np.mean([naive(y[order], np.arange(5.0)) for order in orders])
    assert aurc(y, p, np.ones((1, 5)))[0] == pytest.approx(expected)
    assert naive(y, p) != pytest.approx(expected)  # the order in which they happen to lie would not do


def test_weights_are_repeated_rows() -> None:
    random = np.random.default_rng(1)
    y, p, counts = random.random(25) < 0.5, random.integers(0, 8, 25) / 8, random.integers(0, 3, 25)
    again = np.repeat(np.arange(25), counts)
    weights, ones = counts[None].astype(float), np.ones((1, len(again)))
    for metric in (aurc, oracle_aurc, excess_aurc):
        np.testing.assert_allclose(metric(y, p, weights), metric(y[again], p[again], ones))
    points = np.linspace(0.1, 1, 7)
    np.testing.assert_allclose(curve(y, p, weights, points), curve(y[again], p[again], ones, points))


def test_the_oracle_answers_what_is_right_first_and_chance_is_the_base_rate() -> None:
    y = np.array([True] * 3 + [False] * 7)
    ones = np.ones((1, 10))
    assert oracle_aurc(y, y, ones)[0] == pytest.approx(naive(y, y.astype(float)))
    assert excess_aurc(y, y.astype(float), ones)[0] == pytest.approx(0)
    assert aurc(y, np.zeros(10), ones)[0] == pytest.approx(0.3)


def test_the_curve_is_the_risk_of_the_first_answers() -> None:
    random = np.random.default_rng(2)
    y, p = random.random(40) < 0.5, random.random(40)
    points = np.arange(1, 41) / 40
    ordered = y[np.argsort(p)]
    np.testing.assert_allclose(curve(y, p, np.ones((1, 40)), points)[0], [ordered[:i].mean() for i in range(1, 41)])


def test_differences_are_paired_and_intervals_are_over_groups() -> None:
    random = np.random.default_rng(3)
    y = random.random(200) < 0.5
    good, bad = y + random.normal(0, 0.4, 200), random.random(200)
    found = risk_coverage("set", {"good": good, "bad": bad}, y, np.arange(200) // 2, "bad", resamples=200)
    better, reference = found
    assert better.over_entropy.high is not None
    assert better.over_entropy.high < 0
    assert (reference.over_entropy.value, reference.over_entropy.low, reference.over_entropy.high) == (0, 0, 0)
    assert better.aurc.value == pytest.approx(naive(y, good))
    alone = risk_coverage("set", {"bad": bad}, y, np.arange(200) // 2, "bad", resamples=200)[0]
    assert alone.aurc == reference.aurc  # whoever else is asked


def test_random_detectors_make_a_band() -> None:
    random = np.random.default_rng(4)
    y = random.random(100) < 0.5
    draws = [random.random(100) for _ in range(5)]
    found = random_risk("set", draws, y)
    areas = [naive(y, each) for each in draws]
    assert found.aurc.mean == pytest.approx(np.mean(areas))
    assert (found.aurc.low, found.aurc.high) == pytest.approx(tuple(np.percentile(areas, [2.5, 97.5])))
    assert found.oracle == pytest.approx(naive(y, y.astype(float)))
