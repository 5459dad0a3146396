"""Calibration against scikit-learn, naive loops, and forecasters whose error is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from hneurons.layers.confidence.calibration import (
    calibration,
    confident,
    debiased,
    ece_in,
    equal_bins,
    not_too_sure,
    own_doubt,
)
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate


def forecasts(n: int, seed: int, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes of probabilities that say too little by `bias`, and a group for each."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.05, 0.75, n)
    return random.random(n) < p + bias, p, np.arange(n)


def test_bins_and_brier_are_those_of_scikit_learn() -> None:
    y, p, groups = forecasts(400, 0, 0.1)
    found = calibration("set", "source", y, p, groups, resamples=50, draws=50)
    share_right, mean = calibration_curve(y, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([each.hallucinated.value for each in found.bins], share_right)
    np.testing.assert_allclose([each.probability for each in found.bins], mean)
    assert found.brier.value == pytest.approx(brier_score_loss(y, p))
    assert found.brier_constant == pytest.approx(brier_score_loss(y, np.full(len(y), y.mean())))
    wide, _ = calibration_curve(y, p, n_bins=10, strategy="uniform")
    assert len(wide) != len(share_right) or not np.allclose(wide, share_right)  # bins of equal width would not pass


def test_ece_is_a_loop_over_bins() -> None:
    y, p, groups = forecasts(97, 1)
    order, total, signed = np.argsort(p), 0.0, 0.0
    for k in range(10):
        rows = [row for place, row in enumerate(order) if int((place * 10) / 97) == k]
        total += abs(y[rows].mean() - p[rows].mean()) * len(rows) / 97
        signed += (y[rows].mean() - p[rows].mean()) * len(rows) / 97
    found = calibration("set", "source", y, p, groups, resamples=20, draws=20)
    assert found.ece == pytest.approx(total)
    assert abs(signed) != pytest.approx(total)  # gaps that cancel would not be an ECE


def test_weights_are_repeated_rows() -> None:
    y, p, _ = forecasts(60, 2)
    bins, counts = equal_bins(p), np.random.default_rng(0).integers(0, 4, 60)
    again = np.repeat(np.arange(60), counts)
    repeated = ece_in(bins[again], (y - p)[again][None], np.ones((1, len(again))))
    np.testing.assert_allclose(ece_in(bins, (y - p)[None], counts[None].astype(float)), repeated)


def test_equal_probabilities_share_a_bin() -> None:
    p = np.repeat([0.1, 0.2, 0.9], [50, 30, 20])
    bins = equal_bins(p)
    assert [len(np.unique(bins[p == each])) for each in (0.1, 0.2, 0.9)] == [1, 1, 1]
    assert bins.max() == 2
    np.testing.assert_array_equal(np.bincount(equal_bins(np.arange(25.0), 5)), [5] * 5)


def test_a_calibrated_forecaster_shows_what_chance_shows_and_a_biased_one_does_not() -> None:
    ps, errors, corrected = [], [], []
    for seed in range(20):
        found = calibration("set", "source", *forecasts(200, seed), resamples=10, draws=200, seed=seed)
        ps.append(found.perfect.p)
        errors.append(found.ece - found.perfect.mean)
        corrected.append(found.ece)
    assert abs(np.mean(errors)) < 0.015  # the control is where the ECE of a calibrated forecaster lies,
    assert np.mean(corrected) > 0.04  # far above the 0 that it would be held against without
    assert sum(p is not None and p <= 0.05 for p in ps) <= 4
    biased = calibration("set", "source", *forecasts(400, 0, 0.2), resamples=10, draws=200)
    assert biased.perfect.p is not None
    assert biased.perfect.p < 0.01


def test_the_debiased_error_is_nearer_to_the_truth_and_its_interval_holds_it() -> None:
    bias, inside, inside_percentiles, plain, corrected = 0.08, 0, 0, [], []
    for seed in range(60):
        y, p, groups = forecasts(250, seed, bias)
        bins = equal_bins(p)
        value = float(ece_in(bins, (y - p)[None], np.ones((1, 250)))[0])

        def metric(y: np.ndarray, p: np.ndarray, weights: np.ndarray, bins: np.ndarray = bins) -> np.ndarray:
            return ece_in(bins, (y - p)[None], weights)

        again = Bootstrap(groups, resamples=200, seed=seed).replicates(metric, y, p)
        found = debiased(value, again)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= bias <= found.high
        low, high = np.percentile(again, [2.5, 97.5])
        inside_percentiles += low <= bias <= high
        plain.append(value)
        corrected.append(found.value)
    assert abs(np.mean(corrected) - bias) < abs(np.mean(plain) - bias)
    assert inside >= 50
    assert inside > inside_percentiles  # percentiles of the replicates, the wrong way, hold it less often


def answers(log_prob: list[float], n_answer: list[int], hallucinated: list[bool], name: str = "set") -> Answers:
    """Answers of whose contributions nothing is read."""
    return Answers(
        name=name,
        hallucinated=np.array(hallucinated),
        groups=np.arange(len(log_prob)),
        contributions=np.zeros((len(log_prob), 1), dtype=np.float32),
        n_answer=np.array(n_answer),
        log_prob=np.array(log_prob),
    )


def test_the_probability_of_an_answer_is_the_product_over_its_tokens() -> None:
    made = answers([np.log(0.5), np.log(0.9)], [3, 1], [True, False])
    np.testing.assert_allclose(own_doubt(made), [1 - 0.125, 1 - 0.9])
    assert not np.allclose(own_doubt(made), 1 - np.exp(made.log_prob))  # the mean over tokens would not be it


def test_confident_hallucinations_are_counted_against_faithful_answers_of_dev() -> None:
    dev = answers([np.log(q) for q in (0.2, 0.6, 0.8, 0.99)], [1] * 4, [False, False, False, True])
    test = answers([np.log(q) for q in (0.7, 0.5, 0.9, 0.1)], [1] * 4, [True, True, False, False])
    (half,) = confident(dev, test, (0.5,), resamples=20)
    assert half.probability == pytest.approx(0.6)  # the hallucinated answer of dev has no say
    assert (half.hallucinated.value, half.faithful.value) == (0.5, 0.5)


def test_a_share_without_rows_has_a_reason() -> None:
    bootstrap, none = Bootstrap(np.arange(4), resamples=10), np.zeros(4, dtype=np.bool_)
    found = bootstrap.mean(np.ones(4), none, "nothing is answered")
    assert (found.value, found.reason) == (None, "nothing is answered")


def test_two_right_answers_do_not_prove_a_risk_of_nothing() -> None:
    sure = not_too_sure(Estimate(value=0.0, low=0.0, high=0.0), np.array(["a", "b"]))
    assert sure.high is not None
    assert sure.high > 0.5
    kept = Estimate(value=0.5, low=0.2, high=0.8)
    assert not_too_sure(kept, np.array(["a", "b"])) == kept
