"""Readings, control tasks and baselines against scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from tests.layers.concepts.synthetic import MODEL, PLANTED, asked, planted

from hneurons.errors import ProbeError
from hneurons.layers.concepts.controls import aurocs, band, mean_differences
from hneurons.layers.concepts.directions import Directions, fit_directions
from hneurons.layers.concepts.labels import control_labels, entropy_median, labels, permuted_labels
from hneurons.layers.concepts.probing import Asked, baseline, read_layer, selectivity
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap


def boot(answers: Answers) -> Bootstrap:
    return Bootstrap(answers.groups, resamples=50)


@pytest.fixture(scope="module")
def fit() -> Asked:
    return asked(planted(240, 0))


@pytest.fixture(scope="module")
def dev() -> Asked:
    return asked(planted(120, 1))


@pytest.fixture(scope="module")
def held_out() -> Asked:
    return asked(planted(160, 2, name="test"))


@pytest.fixture(scope="module")
def directions(fit: Asked, dev: Asked) -> Directions:
    return fit_directions(fit.answers, dev.answers, MODEL)


def test_labels_are_what_they_say(fit: Asked) -> None:
    median = entropy_median(fit.answers)
    assert (labels(fit.answers, "factuality", median) == ~fit.answers.hallucinated).all()
    assert (labels(fit.answers, "uncertainty", median) == (fit.answers.entropy > np.median(fit.answers.entropy))).all()
    assert labels(fit.answers, "uncertainty", median).mean() == 0.5


def test_a_control_label_belongs_to_its_type(fit: Asked, held_out: Asked) -> None:
    for draw in range(3):
        by_type: dict[str, set[bool]] = {}
        for part in (fit, held_out):
            for each, label in zip(part.types, control_labels(part.types, 0, draw), strict=True):
                by_type.setdefault(each, set()).add(bool(label))
        assert all(len(found) == 1 for found in by_type.values())  # also across the sets
    many = [f"type {number}" for number in range(400)]
    draws = np.stack([control_labels(many, 0, draw) for draw in range(4)])
    assert 0.4 < draws.mean() < 0.6
    assert (draws[0] != draws[1]).mean() > 0.3
    by_row = np.random.default_rng(0).random(len(fit.types)) < 0.5  # the wrong variant: a coin for each answer
    mixed = {
        each: {bool(label) for kind, label in zip(fit.types, by_row, strict=True) if kind == each} for each in fit.types
    }
    assert any(len(found) == 2 for found in mixed.values())


def test_readings_are_those_of_scikit_learn(directions: Directions, fit: Asked, held_out: Asked) -> None:
    found = {(each.concept, each.how): each for each in read_layer(directions, PLANTED, fit, [held_out], boot)}
    truth = ~held_out.answers.hallucinated
    X, X_test = (part.states[:, PLANTED].astype(np.float64) for part in (fit, held_out))
    difference = X[~fit.answers.hallucinated].mean(axis=0) - X[fit.answers.hallucinated].mean(axis=0)
    middle = (X[~fit.answers.hallucinated].mean(axis=0) + X[fit.answers.hallucinated].mean(axis=0)) / 2
    means = found["factuality", "means"]
    assert means.auroc.value == pytest.approx(roc_auc_score(truth, X_test @ difference))
    assert means.accuracy.value == pytest.approx(accuracy_score(truth, (X_test - middle) @ difference > 0))
    assert means.auroc.value != pytest.approx(roc_auc_score(~truth, X_test @ difference))
    C = directions.fitted("factuality", PLANTED, "logistic").C
    deviation = X.std(axis=0)
    model = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(X / deviation, ~fit.answers.hallucinated)
    own = found["factuality", "logistic"]
    assert own.auroc.value == pytest.approx(roc_auc_score(truth, model.decision_function(X_test / deviation)), abs=2e-3)
    assert own.accuracy.value == pytest.approx(accuracy_score(truth, model.predict(X_test / deviation)), abs=0.01)
    for each in (means, own):
        assert each.auroc.value > 0.95
        assert each.permuted is not None
        assert each.permuted.low < 0.5 < each.permuted.high < 1
    assert found["uncertainty", "logistic"].auroc.value > 0.75


def test_selectivity_is_accuracy_less_the_control_tasks(
    directions: Directions, fit: Asked, dev: Asked, held_out: Asked
) -> None:
    for layer in (1, PLANTED):
        found = {each.concept: each for each in selectivity(directions, layer, fit, dev, [held_out], boot, draws=4)}
        own = found["factuality"]
        C = directions.fitted("factuality", layer, "logistic").C
        X, X_test = (part.states[:, layer].astype(np.float64) for part in (fit, held_out))
        mean, deviation = X.mean(axis=0), X.std(axis=0)
        reached = []
        for draw in range(4):
            y = control_labels(fit.types, 0, draw)
            if y.all() or not y.any():
                continue
            model = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit((X - mean) / deviation, y)
            reached.append(model.score((X_test - mean) / deviation, control_labels(held_out.types, 0, draw)))
        assert own.control.n == len(reached)
        assert own.control.mean == pytest.approx(np.mean(reached), abs=0.01)
        assert own.selectivity.value == pytest.approx(own.accuracy.value - own.control.mean)
        assert own.selectivity.low <= own.selectivity.value <= own.selectivity.high
        # layer 1 holds the type and nothing of factuality; layer 2 the other way round
        assert (own.selectivity.high < 0) if layer == 1 else (own.selectivity.low > 0.1), own


def test_answers_of_unknown_types_are_left_out(directions: Directions, fit: Asked, dev: Asked, held_out: Asked) -> None:
    half = Asked(
        held_out.answers,
        held_out.kinds,
        tuple("new" if row % 4 == 0 else each for row, each in enumerate(held_out.types)),
    )
    none = Asked(held_out.answers, held_out.kinds, ("new",) * len(held_out.types))
    every = selectivity(directions, 1, fit, dev, [half, none], boot, draws=2)
    some, nothing = (each for each in every if each.concept == "factuality")
    assert some.n == 120
    assert some.covered == 0.75
    assert nothing.n == 0
    assert nothing.selectivity.value is None
    assert "trained on" in nothing.selectivity.reason


def test_the_baseline_reads_the_question_alone(directions: Directions, fit: Asked, dev: Asked, held_out: Asked) -> None:
    best = {"factuality": PLANTED, "uncertainty": 0}
    found = {each.concept: each for each in baseline(directions, best, fit, dev, [held_out], boot)}
    assert 0.3 < found["factuality"].auroc.value < 0.7
    assert found["factuality"].gain.value > 0.3
    told = Asked(planted(240, 0), tuple("a" if each else "b" for each in fit.answers.hallucinated), fit.types)
    told_dev = Asked(dev.answers, tuple("a" if each else "b" for each in dev.answers.hallucinated), dev.types)
    told_test = Asked(
        held_out.answers, tuple("a" if each else "b" for each in held_out.answers.hallucinated), held_out.types
    )
    given_away = baseline(directions, best, told, told_dev, [told_test], boot)[0]
    assert given_away.auroc.value == 1
    assert given_away.accuracy.value == 1


def test_one_kind_has_a_reason(directions: Directions, fit: Asked, held_out: Asked) -> None:
    rows = np.flatnonzero(held_out.answers.hallucinated)
    alone = Asked(held_out.answers.take(rows), ("k",) * len(rows), ("t0",) * len(rows))
    found = read_layer(directions, PLANTED, fit, [alone], boot)[0]
    assert found.auroc.value is None
    assert found.auroc.reason == "all 80 answers are hallucinated"
    assert found.accuracy.value is not None
    assert found.permuted is None
    with pytest.raises(ProbeError, match="a kind and a type"):
        Asked(held_out.answers, ("k",), ("t",))


def test_helpers_against_loops() -> None:
    random = np.random.default_rng(0)
    y, X = random.random(40) < 0.4, np.round(random.normal(size=(40, 5)), 1)  # rounded: ties
    np.testing.assert_allclose(aurocs(y, X), [roc_auc_score(y, column) for column in X.T])
    assert np.isnan(aurocs(np.ones(40, dtype=bool), X)).all()
    dealt = permuted_labels(y, 6, 1)
    assert (dealt.sum(axis=1) == y.sum()).all()
    assert len({row.tobytes() for row in dealt}) == 6
    expected = [X[each].mean(axis=0) - X[~each].mean(axis=0) for each in dealt]
    np.testing.assert_allclose(mean_differences(X, dealt), expected)
    assert band(np.array([np.nan])) is None
    found = band(np.arange(101.0))
    assert (found.mean, found.low, found.high, found.n) == (50, 2.5, 97.5, 101)
