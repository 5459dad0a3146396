"""The detection table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics as theirs

from hneurons.errors import ProbeError
from hneurons.probes.table import detection_table


@dataclass(frozen=True)
class Fixed:
    """Gives the probabilities it was made with."""

    name: str
    p: dict[str, np.ndarray]
    threshold: float = 0.5

    def scores(self, answers):
        return self.p[answers.name]


def test_figures_are_scikit_learns(test_set):
    y = test_set.hallucinated
    random = np.random.default_rng(0)
    p = np.clip(0.3 * y + 0.7 * random.random(len(y)), 0, 1)
    (row,) = detection_table([Fixed("fixed", {test_set.name: p}, 0.4)], [test_set], resamples=200)
    assert (row.n, row.n_groups, row.n_hallucinated) == (300, 150, y.sum())
    for value, expected in (
        (row.accuracy, theirs.accuracy_score(y, p >= 0.5)),
        (row.balanced_accuracy, theirs.balanced_accuracy_score(y, p >= 0.5)),
        (row.auroc, theirs.roc_auc_score(y, p)),
        (row.brier, theirs.brier_score_loss(y, p)),
        (row.log_loss, theirs.log_loss(y, p)),
        (row.precision, theirs.precision_score(y, p >= 0.5)),
        (row.recall, theirs.recall_score(y, p >= 0.5)),
        (row.accuracy_at_threshold, theirs.accuracy_score(y, p >= 0.4)),
        (row.flagged_at_threshold, (p >= 0.4).mean()),
    ):
        assert value.value == pytest.approx(expected)
        assert value.low < value.value < value.high
    assert row.accuracy_at_threshold.value != row.accuracy.value


def test_a_set_of_one_kind_reports_the_share_flagged(worlds):
    invented = worlds(n=50, sample=5, only=True).answers
    p = np.linspace(0, 1, 50)
    (row,) = detection_table([Fixed("fixed", {invented.name: p})], [invented], resamples=50)
    assert row.auroc.value is None
    assert row.auroc.reason == "all 50 answers are hallucinated"
    assert row.balanced_accuracy.value is None
    assert row.flagged.value == row.recall.value == row.accuracy.value == 0.5
    assert row.precision.value == 1


@pytest.mark.usefixtures("as_a_user_calls")
def test_names_must_differ_and_scores_be_probabilities(test_set):
    p = {test_set.name: np.full(300, 0.5)}
    with pytest.raises(ProbeError, match="names of their own"):
        detection_table([Fixed("a", p), Fixed("a", p)], [test_set], resamples=10)
    for wrong in (np.full(300, 1.5), np.full(300, np.nan), np.full(299, 0.5)):
        with pytest.raises(ProbeError, match="not one probability a row"):
            detection_table([Fixed("a", {test_set.name: wrong})], [test_set], resamples=10)
