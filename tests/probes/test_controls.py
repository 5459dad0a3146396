"""Controls: what is drawn, how it is fitted, and that labels which mean nothing give nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hneurons.errors import ProbeError
from hneurons.probes.controls import (
    band,
    control_bands,
    draw_neurons,
    permute_labels,
    permuted_probes,
    random_neurons,
    refit,
)
from hneurons.probes.labels import training_rows
from hneurons.probes.path import c_grid


def test_random_neurons_match_in_number_and_avoid_the_hneurons():
    chosen = np.array([0, 1, 2, 70, 250])
    anywhere = draw_neurons(chosen, 256, 64, draws=200, layer_matched=False, seed=0)
    matched = draw_neurons(chosen, 256, 64, draws=200, layer_matched=True, seed=0)
    for drawn in anywhere + matched:
        assert len(np.unique(drawn)) == 5
        assert not np.isin(drawn, chosen).any()
    assert all(np.bincount(drawn // 64, minlength=4).tolist() == [3, 1, 0, 1] for drawn in matched)
    layers = np.bincount(np.concatenate(anywhere) // 64, minlength=4)
    assert layers.min() > 200  # of 250 expected
    assert len({tuple(drawn) for drawn in anywhere}) == 200
    np.testing.assert_array_equal(anywhere, draw_neurons(chosen, 256, 64, draws=200, layer_matched=False, seed=0))
    with pytest.raises(ProbeError, match="cannot draw"):
        draw_neurons(np.arange(40), 256, 64, draws=1, layer_matched=True, seed=0)


def test_hneurons_refit_beats_random_neurons_and_random_neurons_fit_as_it_does(world, dev, test_set):
    draws = random_neurons(world.planted, world.n_neurons, world.answers, dev, draws=10)
    matched = random_neurons(world.planted, world.n_neurons, world.answers, dev, draws=10, layer_matched=True)
    ours = roc_auc_score(test_set.hallucinated, refit(world.planted, world.answers, dev).scores(test_set))
    for kind, detectors in (("random", draws), ("layer-matched", matched)):
        (control,) = control_bands(kind, detectors, [test_set])
        each = [roc_auc_score(test_set.hallucinated, detector.scores(test_set)) for detector in detectors]
        np.testing.assert_allclose(control.auroc.values, each)
        assert (control.auroc.low, control.auroc.high) == pytest.approx(tuple(np.percentile(each, [2.5, 97.5])))
        assert ours > control.auroc.high + 0.1
        assert control.draws == 10
    lucky = random_neurons(np.array([3, 4]), world.n_neurons, world.answers, dev, draws=1)[0]
    assert len(lucky.model.weights) == 2


def test_permuted_labels_give_nothing(world, worlds, dev, test_set):
    train = world.answers
    rows = training_rows("1-vs-1", train.hallucinated, train.groups)
    X = rows.matrix(train.contributions)
    Cs = c_grid(X, rows.y, 5, 10.0)
    probes = permuted_probes(X, rows, train, dev, Cs, world.n_neurons, permutations=12, max_ratio=0.2)
    (control,) = control_bands("permuted", probes, [test_set])
    assert 6 <= control.draws <= 12
    assert abs(control.auroc.mean - 0.5) < 0.12
    kept = training_rows("1-vs-1", train.hallucinated, train.groups)
    same = permuted_probes(X, kept, train, dev, Cs, world.n_neurons, permutations=12, max_ratio=0.2, seed=0)
    assert [p.solution.C for p in same] == [p.solution.C for p in probes]


def test_labels_that_still_mean_something_show(world, dev, test_set, monkeypatch):
    """The same pipeline with a permutation that permutes nothing is far from chance."""
    monkeypatch.setattr("hneurons.probes.controls.permute_labels", lambda hallucinated, groups, random: hallucinated)
    train = world.answers
    rows = training_rows("1-vs-1", train.hallucinated, train.groups)
    X = rows.matrix(train.contributions)
    probes = permuted_probes(
        X, rows, train, dev, c_grid(X, rows.y, 4, 10.0), world.n_neurons, permutations=2, max_ratio=0.2
    )
    (control,) = control_bands("leaking", probes, [test_set])
    assert control.auroc.mean > 0.8


def test_permutation_moves_whole_groups():
    groups = np.repeat([f"g{i}" for i in range(50)], 3).astype(str)
    random = np.random.default_rng(0)
    y = np.repeat(random.random(50) < 0.5, 3)
    shuffled = random.permutation(len(groups))
    permuted = permute_labels(y[shuffled], groups[shuffled], np.random.default_rng(1))
    assert permuted.sum() == y.sum()
    for name in np.unique(groups):
        assert len(set(permuted[groups[shuffled] == name])) == 1  # rows of a group shared a label and still do
    assert 0.3 < (permuted == y[shuffled]).mean() < 0.7
    alone = permute_labels(y, np.arange(150).astype(str), np.random.default_rng(1))
    assert any(len(set(alone[groups == name])) > 1 for name in np.unique(groups))
    one = permute_labels(np.array([True, False, False]), np.array(["a"] * 3), np.random.default_rng(0))
    assert one.sum() == 1


def test_bands_say_why_they_are_empty(world, worlds, dev):
    invented = worlds(n=40, sample=3, only=True).answers
    draws = random_neurons(world.planted, world.n_neurons, world.answers, dev, draws=3)
    (control,) = control_bands("random", draws, [invented])
    assert control.auroc.mean is None
    assert control.auroc.reason == "all 40 answers are hallucinated"
    assert control.flagged.mean == pytest.approx(np.mean([(d.scores(invented) >= 0.5).mean() for d in draws]))
    assert band([]).reason == "no draws"


def test_no_random_neuron_is_drawn_where_there_is_none():
    absent = np.arange(10, 20)
    for matched in (False, True):
        drawn = draw_neurons(np.array([3, 24]), 40, 20, draws=30, layer_matched=matched, seed=0, absent=absent)
        assert not np.isin(drawn, absent).any()
        anywhere = draw_neurons(np.array([3, 24]), 40, 20, draws=30, layer_matched=matched, seed=0)
        assert np.isin(anywhere, absent).any()
