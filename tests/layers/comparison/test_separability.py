"""Cross-validated separability against scikit-learn, and no question on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hneurons.errors import ProbeError
from hneurons.layers.comparison.separability import FOLDS, fit_logits, folds, held_out_logits
from hneurons.probes import metrics


def made(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.4
    X = (random.standard_normal((n, width)) * np.linspace(0.5, 4, width) + 3).astype(np.float32)
    X[y, : width // 4] += 0.9
    return X, y, random.integers(0, n // 2, n)


@pytest.mark.parametrize("width", [6, 150])
def test_logits_are_those_of_scikit_learn(width: int) -> None:
    X, y, _ = made(90, width)
    labels = np.stack([y, np.random.default_rng(1).permutation(y)])
    found = fit_logits(X[:60], labels[:, :60], X[60:])
    for own, logits in zip(labels[:, :60], found, strict=True):
        model = LogisticRegression(C=1 / width, class_weight="balanced", tol=1e-10, max_iter=10000)
        expected = make_pipeline(StandardScaler(), model).fit(X[:60], own).decision_function(X[60:])
        np.testing.assert_allclose(logits, expected, atol=2e-3 * np.abs(expected).max())
    unbalanced = make_pipeline(StandardScaler(), LogisticRegression(C=1 / width, tol=1e-10, max_iter=10000))
    other = unbalanced.fit(X[:60], y[:60]).decision_function(X[60:])
    assert np.abs(found[0] - other).max() > 0.02 * np.abs(other).max()


def test_held_out_auroc_is_that_of_scikit_learn_fold_by_fold() -> None:
    X, y, groups = made(120, 20)
    fold = folds(y, groups, 4)
    scores = np.zeros(120)
    for number in range(FOLDS):
        test = fold == number
        model = LogisticRegression(C=1 / 20, class_weight="balanced", tol=1e-10, max_iter=10000)
        model = make_pipeline(StandardScaler(), model).fit(X[~test], y[~test])
        scores[test] = model.decision_function(X[test])
    found = held_out_logits(X, y[None], fold)[0]
    auroc = metrics.auroc(y, found, np.ones((1, 120)))[0]
    assert auroc == pytest.approx(roc_auc_score(y, scores), abs=1e-3)
    within = fit_logits(X, y[None], X)[0]  # scored by the model that was fitted on it
    assert metrics.auroc(y, within, np.ones((1, 120)))[0] > auroc + 0.02


def test_no_group_is_in_two_folds() -> None:
    for seed in range(5):
        _, y, groups = made(100, 4, seed)
        fold = folds(y, groups, seed)
        assert set(fold) == set(range(FOLDS))
        assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
        assert min(y[fold == number].mean() for number in range(FOLDS)) > 0


def test_a_group_in_two_folds_would_be_seen() -> None:
    """States that tell only whose question it is: nothing to find, unless a question is on both sides."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3)
    y = (random.random(60) < 0.5)[groups]
    X = random.standard_normal((60, 40))[groups] + 0.05 * random.standard_normal((180, 40))
    ones = np.ones((1, 180))
    kept = metrics.auroc(y, held_out_logits(X, y[None], folds(y, groups))[0], ones)[0]
    parted = metrics.auroc(y, held_out_logits(X, y[None], np.arange(180) % FOLDS)[0], ones)[0]
    assert kept < 0.7
    assert parted > 0.85


def test_one_label_is_refused() -> None:
    with pytest.raises(ProbeError, match="both kinds are needed"):
        fit_logits(np.ones((4, 2)), np.ones((1, 4), dtype=bool), np.ones((1, 2)))
