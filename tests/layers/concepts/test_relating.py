"""Angles, removal and transfer against plain loops; planted overlaps and their absence are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tests.layers.concepts.synthetic import MODEL, PLANTED, asked, planted

from hneurons.layers.concepts.directions import Directions, fit_directions
from hneurons.layers.concepts.labels import labels
from hneurons.layers.concepts.probing import Asked
from hneurons.layers.concepts.relating import alike, angle, cosine, removed, transfer, without
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap


def boot(answers: Answers) -> Bootstrap:
    return Bootstrap(answers.groups, resamples=100)


def entangled(n: int, seed: int, name: str = "planted") -> Answers:
    """Answers of which the hallucinated ones have more entropy, and no layer holds anything but entropy."""
    answers = planted(n, seed, shift=0.0, name=name)
    random = np.random.default_rng(seed + 100)
    entropy = random.exponential(size=n) * np.where(answers.hallucinated, 2.5, 0.7)
    hidden = random.normal(size=answers.hidden.shape)
    hidden[..., 0] += 2 * np.log(entropy)[:, None]
    return replace(answers, entropy=entropy, hidden=hidden.astype(np.float32))


@pytest.fixture(scope="module")
def parts() -> tuple[Asked, Asked, Asked]:
    return asked(planted(240, 0)), asked(planted(120, 1)), asked(planted(160, 2, name="test"))


@pytest.fixture(scope="module")
def directions(parts: tuple[Asked, Asked, Asked]) -> Directions:
    return fit_directions(parts[0].answers, parts[1].answers, MODEL)


def test_the_angle_is_that_of_differences_of_means(directions: Directions, parts: tuple[Asked, Asked, Asked]) -> None:
    fit = parts[0]
    found = angle(directions, PLANTED, fit)
    X, f = fit.states[:, PLANTED].astype(np.float64), ~fit.answers.hallucinated
    u = fit.answers.entropy > np.median(fit.answers.entropy)
    a, b = X[f].mean(axis=0) - X[~f].mean(axis=0), X[u].mean(axis=0) - X[~u].mean(axis=0)
    assert found.cosine.value == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.cosine.value != pytest.approx(-a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.cosine.low <= found.cosine.value <= found.cosine.high
    assert found.cosine.low < 0 < found.cosine.high  # planted on two coordinates
    assert found.independent.low < 0 < found.independent.high


def test_an_angle_of_overlap_alone_is_within_its_band() -> None:
    fit, dev = entangled(600, 0), entangled(200, 1)
    noise = np.random.default_rng(5).normal(size=fit.hidden.shape).astype(np.float32)
    empty = replace(fit, hidden=noise)
    made = fit_directions(empty, replace(dev, hidden=dev.hidden * 0 + noise[:200]), MODEL)
    found = angle(made, 0, asked(empty))
    assert found.together.mean < -0.3 < found.independent.mean  # labels overlap: that alone makes directions opposed
    assert found.together.low < found.cosine.value < found.together.high
    held = angle(fit_directions(fit, dev, MODEL), 0, Asked(fit, ("",) * 600, ("",) * 600))
    assert held.cosine.value < held.together.low  # both lie along entropy


def test_what_is_removed_is_gone(directions: Directions, parts: tuple[Asked, Asked, Asked]) -> None:
    fit, dev, test = parts
    (found,) = removed(directions, PLANTED, fit, dev, [test], boot)
    u = directions.vectors["uncertainty", "means"][PLANTED]
    X, X_test = without(fit.states[:, PLANTED], u), without(test.states[:, PLANTED], u)
    np.testing.assert_allclose(X @ u, 0, atol=1e-9)
    y = labels(fit.answers, "uncertainty", directions.card.entropy_median)
    np.testing.assert_allclose(X[y].mean(axis=0), X[~y].mean(axis=0), atol=1e-9)
    model = LogisticRegression(C=1.0, tol=1e-10).fit(X, y)
    assert np.abs(model.coef_).max() < 1e-4  # nothing linear is left; with the direction left in there is
    assert np.abs(LogisticRegression(C=1.0).fit(fit.states[:, PLANTED], y).coef_).max() > 0.5
    assert found.uncertainty_left.value == pytest.approx(0.5)
    f = directions.vectors["factuality", "means"][PLANTED]
    truth = ~test.answers.hallucinated
    assert found.after.value == pytest.approx(roc_auc_score(truth, X_test @ f))
    assert found.before.value == pytest.approx(roc_auc_score(truth, test.states[:, PLANTED].astype(np.float64) @ f))
    assert found.difference.value == pytest.approx(found.after.value - found.before.value)
    assert found.refit.value > 0.9
    assert found.refit_control.mean > 0.9
    assert found.within_gain.low > 0.2
    assert found.entropy.value == pytest.approx(roc_auc_score(truth, -test.answers.entropy))


def test_like_entropy_leaves_nothing_of_what_only_entropy_holds() -> None:
    fit, dev, test = entangled(600, 0), entangled(300, 1), entangled(600, 2, "test")
    made = fit_directions(fit, dev, MODEL)
    trained = [Asked(each, ("",) * len(each), ("",) * len(each)) for each in (fit, dev)]
    (found,) = removed(made, 0, *trained, [asked(test)], boot)
    assert found.refit_before.value > 0.65
    assert found.entropy.value > 0.7
    assert found.within.low < 0.56
    assert abs(found.entropy_within.value - 0.5) < 0.1
    assert found.within_gain.value == pytest.approx(found.within.value - found.outside_within.value)


def test_like_with_like_is_the_share_of_pairs() -> None:
    answers = planted(60, 3)
    p = np.round(np.random.default_rng(0).random(60), 1)
    order = np.argsort(np.argsort(answers.entropy, kind="stable"), kind="stable") * 10 // 60
    won = pairs = 0.0
    for i in np.flatnonzero(answers.hallucinated):
        for j in np.flatnonzero(~answers.hallucinated):
            if order[i] == order[j]:
                pairs += 1
                won += (p[i] > p[j]) + 0.5 * (p[i] == p[j])
    found = alike(answers)(answers.hallucinated, p, np.ones((1, 60)))[0]
    assert found == pytest.approx(won / pairs)
    assert found != pytest.approx(roc_auc_score(answers.hallucinated, p))
    twice = alike(answers)(answers.hallucinated, p, np.full((1, 60), 2.0))[0]
    assert twice == pytest.approx(found)


def test_transfer_is_symmetric_in_what_sets_share(directions: Directions, parts: tuple[Asked, Asked, Asked]) -> None:
    fit, _, test = parts
    turned = replace(test.answers, name="turned", hallucinated=~test.answers.hallucinated)
    other = Asked(turned, test.kinds, test.types)
    found = {
        (each.fitted_on, each.tested_on): each
        for each in transfer(directions, "factuality", PLANTED, fit, [test, other], boot, seed=0)
    }
    assert found["planted", "test"].auroc.value > 0.95
    assert found["test", "test"].auroc.value > 0.9
    assert found["planted", "turned"].auroc.value == pytest.approx(1 - found["planted", "test"].auroc.value)
    assert found["test", "turned"].cosine == pytest.approx(-1)
    assert found["test", "planted"].cosine == pytest.approx(found["planted", "test"].cosine)
    empty = transfer(directions, "factuality", 0, fit, [test], boot, seed=0)
    within = next(each for each in empty if each.fitted_on == each.tested_on == "test")
    assert 0.3 < within.auroc.value < 0.65  # folds: an answer's own group is never fitted on


def test_cosine() -> None:
    assert cosine(np.array([1.0, 1.0]), np.array([0.0, 2.0])) == pytest.approx(0.5**0.5)
