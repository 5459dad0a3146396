"""Detectors over contributions, their thresholds and their recalibration."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from hneurons.errors import ProbeError
from hneurons.probes.answers import Answers
from hneurons.probes.detectors import (
    ProbeDetector,
    best_threshold,
    detect_by,
    detect_by_neurons,
    recalibrate,
    with_threshold,
)
from hneurons.probes.rows import dense
from hneurons.probes.solution import Solution


@pytest.fixture(scope="module")
def probe(world):
    """Ranks well, but its probabilities are far too low."""
    scale = world.answers.contributions.take(world.planted).std(axis=0)
    return ProbeDetector("probe", Solution(1.0, world.planted, 1 / scale, -20.0, 0.0, 1))


def test_the_probe_scores_by_all_its_weights(world, probe, dev):
    z = dev.contributions.take(world.planted) @ probe.solution.weights - 20
    np.testing.assert_allclose(probe.scores(dev), 1 / (1 + np.exp(-z)), rtol=1e-12)


def test_recalibration_keeps_the_ranking_and_mends_the_probabilities(probe, dev, test_set):
    better = recalibrate(probe, dev)
    before, after, y = probe.scores(test_set), better.scores(test_set), test_set.hallucinated
    assert roc_auc_score(y, after) == pytest.approx(roc_auc_score(y, before), abs=1e-9)
    assert log_loss(y, after) < 0.5 * log_loss(y, before)
    assert better.name == "probe, recalibrated"


def test_recalibration_never_turns_a_ranking(world, probe, dev, test_set):
    backwards = ProbeDetector("wrong", Solution(1.0, world.planted, -probe.solution.weights, 20.0, 0.0, 1))
    after = recalibrate(backwards, dev).scores(test_set)
    assert roc_auc_score(test_set.hallucinated, after) < 0.5
    assert after.mean() == pytest.approx(dev.hallucinated.mean(), abs=0.1)


def test_the_threshold_is_the_best_of_all(dev, probe):
    p, y = probe.scores(dev), dev.hallucinated
    found = best_threshold(y, p)
    tried = np.concatenate([np.unique(p), [0.5, 1.1]])
    every = [balanced_accuracy_score(y, p >= t) for t in tried]
    assert balanced_accuracy_score(y, p >= found) == pytest.approx(max(every))
    assert balanced_accuracy_score(y, p >= 0.5) < max(every) - 0.01
    assert with_threshold(probe, dev).threshold == found
    assert best_threshold(np.array([False, True, True]), np.array([0.1, 0.9, 0.95])) == pytest.approx(0.5)


def test_detectors_on_neurons_read_only_those(world, dev, test_set):
    indices = world.planted[:3]
    detector = detect_by_neurons("three", indices, world.answers, dev)
    shuffled = dense(test_set.contributions)
    others = np.setdiff1d(np.arange(shuffled.shape[1]), indices)
    shuffled[:, others] = 0
    blind = Answers("blind", test_set.hallucinated, test_set.groups, shuffled)
    np.testing.assert_array_equal(detector.scores(test_set), detector.scores(blind))
    assert roc_auc_score(test_set.hallucinated, detector.scores(test_set)) > 0.75
    with pytest.raises(ProbeError, match="no neuron"):
        detect_by_neurons("none", np.array([], dtype=np.int64), world.answers, dev)


def test_features_are_fitted_on_train_and_tuned_on_dev(world, dev):
    detector = detect_by("entropy", lambda a: a.read("entropy"), world.answers, dev)
    assert detector.model.heldout_auroc == pytest.approx(roc_auc_score(dev.hallucinated, detector.scores(dev)))
    assert detector.threshold == best_threshold(dev.hallucinated, detector.scores(dev))


@pytest.mark.usefixtures("as_a_user_calls")
def test_answers_refuse_what_does_not_fit(test_set):
    y, groups, X = test_set.hallucinated, test_set.groups, test_set.contributions
    with pytest.raises(ProbeError, match="x: entropy has 3 rows"):
        Answers("x", y, groups, X, entropy=np.zeros(3))
    with pytest.raises(ProbeError, match="log_prob holds a value that is not finite"):
        Answers("x", y, groups, X, log_prob=np.full(len(y), -np.inf))
    with pytest.raises(ProbeError, match="entropy was not recorded"):
        Answers("x", y, groups, X).read("entropy")
    taken = test_set.take(np.array([5, 2]), "two")
    assert (len(taken), taken.name) == (2, "two")
    assert taken.questions == (test_set.questions[5], test_set.questions[2])
    np.testing.assert_array_equal(taken.hidden[1], test_set.hidden[2])
