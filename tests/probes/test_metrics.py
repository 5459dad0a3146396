"""Every figure against scikit-learn or a naive loop, weighted and unweighted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from hneurons.probes import metrics


@pytest.fixture(scope="module", params=[0, 1])
def case(request):
    """Labels, probabilities with many ties, and three integer weightings, the first all ones."""
    random = np.random.default_rng(request.param)
    y = random.random(80) < 0.4
    p = np.round(0.25 * y + 0.75 * random.random(80), 1 + request.param)
    weights = np.stack([np.ones(80), random.integers(0, 3, 80), random.integers(0, 4, 80)]).astype(float)
    return y, p, weights


REFERENCE = {
    "auroc": lambda y, p, w: theirs.roc_auc_score(y, p, sample_weight=w),
    "accuracy": lambda y, p, w: theirs.accuracy_score(y, p >= 0.5, sample_weight=w),
    "balanced_accuracy": lambda y, p, w: theirs.balanced_accuracy_score(y, p >= 0.5, sample_weight=w),
    "precision": lambda y, p, w: theirs.precision_score(y, p >= 0.5, sample_weight=w),
    "recall": lambda y, p, w: theirs.recall_score(y, p >= 0.5, sample_weight=w),
    "brier": lambda y, p, w: theirs.brier_score_loss(y, p, sample_weight=w),
    "log_loss": lambda y, p, w: theirs.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), sample_weight=w),
    "flagged": lambda y, p, w: np.average(p >= 0.5, weights=w),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_agrees_with_scikit_learn(case, name):
    y, p, weights = case
    ours = getattr(metrics, name)(y, p, weights)
    expected = [REFERENCE[name](y, p, w) for w in weights]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert np.ptp(ours) > 1e-6  # weights matter, so equality is no accident
    repeated = np.repeat(np.arange(80), weights[2].astype(int))
    alone = getattr(metrics, name)(y[repeated], p[repeated], np.ones((1, len(repeated))))
    assert ours[2] == pytest.approx(alone[0], rel=1e-12)


def test_auroc_is_the_share_of_ordered_pairs(case):
    y, p, weights = case
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y] for b in p[~y]]
    assert metrics.auroc(y, p, weights)[0] == pytest.approx(np.mean(pairs), rel=1e-12)
    without_ties = [a > b for a in p[y] for b in p[~y]]
    assert abs(np.mean(without_ties) - np.mean(pairs)) > 1e-3


def test_ece_is_the_mean_gap_over_ten_bins(case):
    y, p, _ = case
    p = p * 0.999
    total = 0.0
    for k in range(10):
        inside = (p >= k / 10) & (p < (k + 1) / 10)
        if inside.any():
            total += inside.sum() * abs(y[inside].mean() - p[inside].mean())
    assert metrics.ece(y, p, np.ones((1, 80)))[0] == pytest.approx(total / 80, rel=1e-9)
    assert metrics.ece(y, y.astype(float), np.ones((1, 80)))[0] == 0
    assert metrics.ece(y, 1.0 - y, np.ones((1, 80)))[0] == 1


def test_what_is_undefined_is_nan():
    y, p, ones = np.ones(5, dtype=bool), np.linspace(0, 0.4, 5), np.ones((1, 5))
    assert np.isnan(metrics.auroc(y, p, ones)[0])
    assert np.isnan(metrics.balanced_accuracy(y, p, ones)[0])
    assert np.isnan(metrics.precision(y, p, ones)[0])
    assert metrics.flagged(y, p, ones)[0] == 0
    assert metrics.recall(y, p, ones)[0] == 0
