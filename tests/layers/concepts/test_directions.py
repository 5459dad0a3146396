"""Directions: what they are against other fits, where they point, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestCentroid
from tests.layers.concepts.synthetic import MODEL, PLANTED, WHERE, planted

from hneurons.errors import ProbeError, ProbeMismatchError
from hneurons.layers.concepts.directions import CARD, TENSORS, Directions, fit_directions, fit_one
from hneurons.probes.answers import Answers


@pytest.fixture(scope="module")
def fit() -> Answers:
    return planted(300, 0)


@pytest.fixture(scope="module")
def dev() -> Answers:
    return planted(200, 1)


@pytest.fixture(scope="module")
def found(fit: Answers, dev: Answers) -> Directions:
    return fit_directions(fit, dev, MODEL, created="2026-01-01")


def test_a_planted_concept_is_found_where_it_is_and_points_to_factual(found: Directions) -> None:
    assert found.best_layer("factuality") == PLANTED
    for how in ("means", "logistic"):
        vector = found.direction("factuality", PLANTED, how)
        assert vector.dtype == torch.float64
        assert float(vector.norm()) == pytest.approx(1)
        assert int(vector.abs().argmax()) == WHERE
        assert float(vector[WHERE]) > 0.8
        elsewhere = [found.fitted("factuality", layer, how).auroc for layer in range(4) if layer != PLANTED]
        assert found.fitted("factuality", PLANTED, how).auroc > 0.95
        assert max(elsewhere) < 0.65
        assert float(found.direction("uncertainty", 1, how)[0]) > 0.8


def test_means_are_the_nearest_centroid(fit: Answers, dev: Answers, found: Directions) -> None:
    for layer in (0, PLANTED):
        reference = NearestCentroid().fit(fit.hidden[:, layer].astype(np.float64), ~fit.hallucinated)
        readings = found.readings(dev.hidden[:, layer], "factuality", layer)
        assert ((readings > 0) == reference.predict(dev.hidden[:, layer].astype(np.float64))).all()
        assert found.fitted("factuality", layer).auroc == pytest.approx(roc_auc_score(~dev.hallucinated, readings))
        wrong = found.readings(dev.hidden[:, layer], "factuality", layer) * -1
        assert ((wrong > 0) != reference.predict(dev.hidden[:, layer].astype(np.float64))).all()


def test_weights_are_those_of_scikit_learn(fit: Answers, dev: Answers, found: Directions) -> None:
    X = fit.hidden[:, PLANTED].astype(np.float64)
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    C = found.fitted("factuality", PLANTED, "logistic").C
    model = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit((X - mean) / deviation, ~fit.hallucinated)
    weights = model.coef_[0] / deviation
    np.testing.assert_allclose(
        found.direction("factuality", PLANTED, "logistic").numpy(), weights / np.linalg.norm(weights), atol=1e-4
    )
    expected = model.predict((dev.hidden[:, PLANTED] - mean) / deviation)
    agree = (found.readings(dev.hidden[:, PLANTED], "factuality", PLANTED, "logistic") > 0) == expected
    assert agree.mean() > 0.99
    other = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(X, ~fit.hallucinated).coef_[0]
    assert np.abs(other / np.linalg.norm(other) - weights / np.linalg.norm(weights)).max() > 1e-3


def test_scale_is_the_spread_of_training_states(fit: Answers, found: Directions) -> None:
    along = fit.hidden[:, 1].astype(np.float64) @ found.direction("uncertainty", 1).numpy()
    assert found.scale("uncertainty", 1) == pytest.approx(along.std())
    shifted = fit.hidden[:, 1] + found.scale("uncertainty", 1) * found.direction("uncertainty", 1).numpy()
    before, after = (found.readings(states, "uncertainty", 1) for states in (fit.hidden[:, 1], shifted))
    np.testing.assert_allclose(after - before, 1, atol=1e-5)


def test_labels_are_not_dependent_on_order(fit: Answers, dev: Answers, found: Directions) -> None:
    again = fit_directions(fit.take(np.arange(len(fit))[::-1].copy()), dev, MODEL, hows=("means",))
    np.testing.assert_allclose(again.vectors["factuality", "means"], found.vectors["factuality", "means"], atol=1e-12)


def test_kept_and_read_again(found: Directions, tmp_path: Path) -> None:
    found.save(tmp_path)
    again = Directions.load(tmp_path, MODEL)
    assert again.card.created == "2026-01-01"
    assert again.card.directions == found.card.directions
    for key, vectors in found.vectors.items():
        np.testing.assert_array_equal(again.vectors[key], vectors)
        np.testing.assert_array_equal(again.offsets[key], found.offsets[key])
    assert torch.equal(again.direction("factuality", 3), found.direction("factuality", 3))


def test_another_model_is_refused(found: Directions, tmp_path: Path) -> None:
    found.save(tmp_path)
    other = MODEL.model_copy(update={"weights_digest": "cd" * 32})
    with pytest.raises(ProbeMismatchError, match="do not fit"):
        Directions.load(tmp_path, other)
    with pytest.raises(ProbeMismatchError):
        found.require(other)
    Directions.load(tmp_path, MODEL.model_copy(update={"name": "elsewhere"}))  # a path is not what a model is


def test_files_that_do_not_belong_together_are_refused(found: Directions, tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="there is no"):
        Directions.load(tmp_path)
    found.save(tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, "tensors": "0" * 64}))
    with pytest.raises(ProbeError, match="belong together"):
        Directions.load(tmp_path)
    (tmp_path / CARD).write_text("{")
    with pytest.raises(ProbeError, match="cannot be read"):
        Directions.load(tmp_path)
    found.save(tmp_path)
    (tmp_path / TENSORS).write_bytes(b"nothing")
    with pytest.raises(ProbeError, match="cannot be read"):
        Directions.load(tmp_path)


def test_what_cannot_be_fitted_is_refused(fit: Answers, dev: Answers, found: Directions) -> None:
    with pytest.raises(ProbeError, match="not recorded"):
        fit_directions(replace(fit, hidden=None), dev, MODEL)
    with pytest.raises(ProbeError, match="has 4 layers"):
        fit_directions(replace(fit, hidden=fit.hidden[:, :2]), dev, MODEL)
    with pytest.raises(ProbeError, match="one kind"):
        fit_directions(fit.take(np.flatnonzero(fit.hallucinated)), dev, MODEL, concepts=("factuality",))
    with pytest.raises(ProbeError, match="entropy was not recorded"):
        fit_directions(replace(fit, entropy=None), dev, MODEL)
    with pytest.raises(ProbeError, match="the same for both"):
        fit_one(
            np.ones((4, 2)), np.array([True, False, True, False]), np.ones((2, 2)), np.array([True, False]), "means"
        )
    with pytest.raises(ProbeError, match="in layer 4"):
        found.direction("factuality", 4)
    alone = fit_directions(fit, dev, MODEL, concepts=("factuality",), hows=("means",))
    with pytest.raises(ProbeError, match="none for uncertainty"):
        alone.direction("uncertainty", 0)
    with pytest.raises(ProbeError, match="none for factuality"):
        alone.best_layer("factuality")
