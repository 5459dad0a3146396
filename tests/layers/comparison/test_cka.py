"""Debiased CKA against a double loop, its invariances, and the ways it is drawn by chance."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.layers.comparison.cka import BLOCKS, blocks, cka, gram, hsic, jackknife, shuffled


def plain_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """The unbiased estimator, its sums written out over pairs of different rows."""
    n = len(K)
    different = [(i, j) for i in range(n) for j in range(n) if i != j]
    trace = sum(K[i, j] * L[j, i] for i, j in different)
    both = sum(K[i, j] for i, j in different) * sum(L[i, j] for i, j in different)
    chained = sum(K[i, j] * L[j, k] for i, j in different for k in range(n) if k != j)
    return float((trace + both / ((n - 1) * (n - 2)) - 2 * chained / (n - 2)) / (n * (n - 3)))


def plain_cka(X: np.ndarray, Y: np.ndarray) -> float:
    K, L = X @ X.T, Y @ Y.T
    return plain_hsic(K, L) / np.sqrt(plain_hsic(K, K) * plain_hsic(L, L))


def biased_cka(X: np.ndarray, Y: np.ndarray) -> float:
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    return float(((X.T @ Y) ** 2).sum() / np.sqrt(((X.T @ X) ** 2).sum() * ((Y.T @ Y) ** 2).sum()))


@pytest.fixture(scope="module")
def states() -> tuple[np.ndarray, np.ndarray]:
    """Two sets of states of 14 answers that share a part."""
    random = np.random.default_rng(0)
    shared = random.standard_normal((14, 3))
    X = shared @ random.standard_normal((3, 9)) + random.standard_normal((14, 9)) + 5
    return X, shared @ random.standard_normal((3, 6)) + random.standard_normal((14, 6)) - 2


def test_cka_is_the_double_loop(states: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = states
    found = float(cka(gram(X), gram(Y))[0])
    assert found == pytest.approx(plain_cka(X, Y), abs=1e-12)
    assert abs(found - biased_cka(X, Y)) > 0.05  # the usual form is another number


def test_cka_of_some_rows_is_that_of_these_rows_alone(states: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = states
    chosen = np.random.default_rng(1).random((4, 14)) < 0.6
    expected = [plain_cka(X[own], Y[own]) for own in chosen]
    np.testing.assert_allclose(cka(gram(X), gram(Y), chosen), expected, atol=1e-10)


def test_cka_does_not_see_rotation_scale_and_shift_but_other_maps(states: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = states
    random = np.random.default_rng(2)
    rotation = np.linalg.qr(random.standard_normal((9, 9)))[0]
    value = float(cka(gram(X), gram(Y))[0])
    assert float(cka(gram(X @ rotation * 7 + 3), gram(Y))[0]) == pytest.approx(value, abs=1e-9)
    assert float(cka(gram(X), gram(X @ rotation * 0.01))[0]) == pytest.approx(1, abs=1e-9)
    assert abs(float(cka(gram(X @ random.standard_normal((9, 9))), gram(Y))[0]) - value) > 1e-3


def test_nothing_shared_is_zero_on_average_where_the_usual_form_is_near_one() -> None:
    random = np.random.default_rng(3)
    pairs = [(random.standard_normal((20, 400)), random.standard_normal((20, 400))) for _ in range(40)]
    debiased = [float(cka(gram(X), gram(Y))[0]) for X, Y in pairs]
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(40)
    assert np.mean([biased_cka(X, Y) for X, Y in pairs]) > 0.9


def test_new_partners(states: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = states
    orders = np.stack([np.random.default_rng(seed).permutation(14) for seed in range(5)])
    expected = [plain_cka(X, Y[order]) for order in orders]
    np.testing.assert_allclose(shuffled(gram(X), gram(Y), orders), expected, atol=1e-10)


def test_too_few_rows_and_no_structure_are_undefined() -> None:
    X = np.random.default_rng(0).standard_normal((3, 5))
    assert np.isnan(cka(gram(X), gram(X))[0])
    same = np.ones((8, 5))
    assert np.isnan(cka(gram(same), gram(same))[0])
    assert np.isnan(shuffled(gram(same), gram(same), np.arange(8)[None])[0])
    assert jackknife(float("nan"), np.zeros(3)).value is None


def test_blocks_leave_out_every_row_once() -> None:
    stay = blocks(50, 0)
    assert len(stay) == BLOCKS
    assert ((~stay).sum(axis=0) == 1).all()
    assert len(blocks(7, 0)) == 7


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).standard_normal(12)
    found = jackknife(float(values.mean()), np.array([np.delete(values, i).mean() for i in range(12)]))
    half = 2.200985 * values.std(ddof=1) / np.sqrt(12)  # Student's t of 11 degrees of freedom
    assert found.high is not None
    assert found.high - values.mean() == pytest.approx(half, rel=1e-6)


def test_hsic_of_all_rows_is_that_of_a_draw_of_all(states: tuple[np.ndarray, np.ndarray]) -> None:
    K, L = map(gram, states)
    np.testing.assert_allclose(hsic(K, L), hsic(K, L, np.ones((1, 14))), rtol=1e-12)
