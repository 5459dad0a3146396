"""Baselines: each reads what it says, and the joint model is compared pairwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hneurons.errors import ProbeError
from hneurons.probes.answers import Answers
from hneurons.probes.baselines import (
    adds_to_entropy,
    all_neurons,
    baselines,
    entropy,
    hidden_state,
    length_only,
    log_probability,
    question_text,
)
from hneurons.probes.controls import random_neurons
from hneurons.probes.detectors import ProbeDetector
from hneurons.probes.solution import Solution


def auroc(detector, answers):
    return roc_auc_score(answers.hallucinated, detector.scores(answers))


def without(answers, *names):
    return replace(answers, **dict.fromkeys(names))


def test_each_baseline_reads_what_it_says(world, dev, test_set):
    train = world.answers
    for fit, fields, direction in (
        (length_only, ("n_answer", "n_response"), None),
        (log_probability, ("log_prob",), test_set.log_prob),
        (entropy, ("entropy",), test_set.entropy),
        (question_text, ("questions",), None),
        (hidden_state, ("hidden",), None),
    ):
        detector = fit(train, dev)
        everything = {"n_answer", "n_response", "log_prob", "entropy", "questions", "hidden"}
        bare = replace(
            without(test_set, *(everything - set(fields))), contributions=np.zeros(test_set.contributions.shape)
        )
        np.testing.assert_array_equal(detector.scores(test_set), detector.scores(bare))
        assert auroc(detector, test_set) > 0.55
        if direction is not None:
            one = roc_auc_score(test_set.hallucinated, direction)
            assert auroc(detector, test_set) == pytest.approx(max(one, 1 - one), abs=1e-9)
        with pytest.raises(ProbeError, match=r"not (recorded|given)"):
            detector.scores(without(test_set, fields[0]))


def test_the_dense_probe_takes_the_layer_that_dev_prefers(world, dev, test_set):
    detector = hidden_state(world.answers, dev)
    assert detector.detail == "layer 3"  # the world's signal grows with depth
    layer = np.zeros_like(test_set.hidden)
    layer[:, 3] = test_set.hidden[:, 3]
    np.testing.assert_array_equal(detector.scores(test_set), detector.scores(replace(test_set, hidden=layer)))
    assert auroc(detector, test_set) > 0.75
    with pytest.raises(ProbeError, match="hidden states were not recorded"):
        hidden_state(without(world.answers, "hidden"), dev)


def test_all_neurons_beat_random_ones(world, dev, test_set):
    dense = auroc(all_neurons(world.answers, dev), test_set)
    some = random_neurons(world.planted, world.n_neurons, world.answers, dev, draws=3)
    assert dense > 0.7
    assert dense > max(auroc(detector, test_set) for detector in some)


def test_the_text_baseline_finds_what_names_give_away(world, dev, test_set):
    detector = question_text(world.answers, dev)
    ville = np.array(["ville?" in text for text in test_set.questions])
    p = detector.scores(test_set)
    assert p[ville].min() > np.median(p[~ville])
    random = np.random.default_rng(0)
    mute = replace(world.answers, questions=tuple(random.permutation(np.array(world.answers.questions)).tolist()))
    assert auroc(question_text(mute, dev), test_set) < auroc(detector, test_set)


def test_all_baselines_whose_data_are_there(world, dev):
    names = {detector.name for detector in baselines(world.answers, dev)}
    assert names == {
        "length", "token log-probability", "token entropy", "question text",
        "hidden state, best layer", "L2 on all neurons",
    }  # fmt: skip
    bare = without(world.answers, "hidden", "entropy", "log_prob", "questions", "n_answer")
    assert {detector.name for detector in baselines(bare, dev)} == {"L2 on all neurons"}


def test_what_the_probe_adds_to_entropy(world, worlds, dev, test_set):
    scale = world.answers.contributions.take(world.planted).std(axis=0)
    probe = ProbeDetector("probe", Solution(1.0, world.planted, 1 / scale, -10.0, 0.0, 1))
    invented = worlds(n=40, sample=4, only=True).answers
    real, single = adds_to_entropy(probe, dev, [test_set, invented], resamples=300)
    one = roc_auc_score(test_set.hallucinated, test_set.entropy)
    assert real.entropy.value == pytest.approx(one)
    assert real.difference.value == pytest.approx(real.joint.value - real.entropy.value)
    assert real.difference.low > 0.05
    assert real.joint.value > max(real.entropy.value, real.probe.value) - 0.01
    assert single.difference.value is None
    assert "hallucinated" in single.difference.reason

    constant = ProbeDetector("nothing", Solution(1.0, world.planted[:1], np.array([0.0]), 0.0, 0.0, 1))
    (nothing,) = adds_to_entropy(constant, dev, [test_set], resamples=100)
    assert (nothing.difference.value, nothing.difference.low, nothing.difference.high) == (0, 0, 0)


def test_train_and_dev_need_both_kinds(world, dev):
    one = world.answers.take(np.flatnonzero(world.answers.hallucinated))
    assert isinstance(one, Answers)
    with pytest.raises(ProbeError, match="both kinds"):
        entropy(one, dev)
