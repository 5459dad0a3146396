"""Differences within strata against a linear model, resamples and p-values against naive loops, and calibration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from hneurons.errors import NotEnoughDataError
from hneurons.layers.attention.strata import Design, corrected, difference, means, p_values, replicates, scores
from hneurons.probes.bootstrap import Bootstrap


def made(seed: int, n: int = 120, effect: float = 0.0) -> tuple[Design, np.ndarray]:
    """Texts in three strata whose levels and shares of the second kind differ; some groups have several texts."""
    random = np.random.default_rng(seed)
    member = random.integers(0, 3, n)
    second = random.random(n) < np.array([0.2, 0.5, 0.8])[member]
    values = random.normal(size=(n, 4)) + member[:, None] * 2.0 + effect * second[:, None]
    return Design(second, np.array(["a", "b", "c"])[member], np.array([f"g{i // 2}" for i in range(n)])), values


def linear(design: Design, values: np.ndarray) -> np.ndarray:
    """The coefficient of the kind in a linear model with a constant for each stratum."""
    dummies = (design.strata[:, None] == np.unique(design.strata)).astype(float)
    return np.asarray(np.linalg.lstsq(np.column_stack([design.second, dummies]), values, rcond=None)[0][0])


def test_the_difference_is_the_coefficient_of_a_linear_model() -> None:
    design, values = made(0, effect=0.3)
    np.testing.assert_allclose(difference(design, values), linear(design, values))
    first, second = means(design, values)
    np.testing.assert_allclose(second - first, difference(design, values))
    plain = values[design.second].mean(axis=0) - values[~design.second].mean(axis=0)
    assert (np.abs(plain - difference(design, values)) > 0.5).all()  # without strata it is another number


def test_a_stratum_of_one_kind_has_no_part() -> None:
    design, values = made(1)
    alone = Design(
        np.append(design.second, [True, True]),
        np.append(design.strata, ["alone", "alone"]),
        np.append(design.groups, ["h0", "h1"]),
    )
    more = np.concatenate([values, 100 + np.ones((2, 4))])
    assert alone.names == ("a", "b", "c")
    np.testing.assert_allclose(difference(alone, more), difference(design, values))
    np.testing.assert_allclose(scores(alone, more)[0], scores(design, values)[0])


def test_resamples_are_those_of_repeated_rows() -> None:
    design, values = made(2, n=40)
    bootstrap = Bootstrap(design.groups, resamples=30, seed=5)
    found = replicates(design, values, bootstrap)
    counts = bootstrap._counts[:, np.unique(design.groups, return_inverse=True)[1]]
    for row, times in zip(found, counts, strict=True):
        rows = np.repeat(np.arange(40), times)
        again = design.take(rows)
        kept = again.used
        np.testing.assert_allclose(row, linear(again.take(kept), values[rows][kept]))


def test_p_is_that_of_a_naive_loop_over_sign_changes() -> None:
    design, values = made(3, n=60, effect=0.5)
    z, scaled = scores(design, values)
    y = design.second.astype(float)
    u = np.zeros((30, 4))
    for i in range(60):
        same = design.strata == design.strata[i]
        group = np.unique(design.groups).tolist().index(design.groups[i])
        u[group] += (y[i] - y[same].mean()) * (values[i] - values[same].mean(axis=0))
    np.testing.assert_allclose(z, u.sum(axis=0) / np.sqrt((u**2).sum(axis=0)))
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=0), 1)
    signs = np.random.default_rng(9).integers(0, 2, (200, 30)) * 2.0 - 1.0
    pool = np.abs(signs @ (u / np.sqrt((u**2).sum(axis=0)))).ravel()
    expected = [(1 + (pool >= abs(each) - 1e-9).sum()) / (1 + len(pool)) for each in z]
    np.testing.assert_allclose(p_values(design, values, draws=200, seed=9), expected)
    np.testing.assert_allclose(p_values(design, values, draws=4000, seed=9), 2 * norm.sf(np.abs(z)), atol=0.02)


def test_what_does_not_vary_is_no_finding() -> None:
    design, values = made(4)
    values[:, 1] = 0.25
    p = p_values(design, values, draws=300, seed=0)
    assert p[1] == 1
    rest = p_values(design, values[:, [0, 2, 3]], draws=300, seed=0)
    np.testing.assert_allclose(p[[0, 2, 3]], rest)


def test_groups_of_many_texts_are_not_many_findings() -> None:
    """Texts of a group share value and kind: p keeps its level, and a test that takes texts as independent does not."""
    ours, naive = [], []
    for seed in range(150):
        random = np.random.default_rng(seed)
        of_group = random.random(40) < 0.5
        values = np.repeat(random.normal(size=40), 6) + 0.1 * random.normal(size=240)
        design = Design(np.repeat(of_group, 6), np.array(["a"] * 240), np.repeat(np.arange(40).astype(str), 6))
        ours.append(p_values(design, values[:, None], draws=200, seed=seed)[0])
        naive.append(mannwhitneyu(values[design.second], values[~design.second]).pvalue)
    assert 0.01 <= np.mean(np.array(ours) < 0.05) <= 0.11
    assert np.mean(np.array(naive) < 0.05) > 0.25


def test_permuting_keeps_every_stratum() -> None:
    design, _ = made(5)
    other = design.permuted(np.random.default_rng(0))
    assert (other.second != design.second).any()
    for name in "abc":
        mine = design.strata == name
        assert other.second[mine].sum() == design.second[mine].sum()


def test_correction_is_that_of_benjamini_and_hochberg() -> None:
    p = np.random.default_rng(0).random(50) ** 3
    order = np.argsort(p)
    expected, least = np.empty(50), 1.0
    for place in range(49, -1, -1):
        least = min(least, p[order[place]] * 50 / (place + 1))
        expected[order[place]] = least
    np.testing.assert_allclose(corrected(p), expected)
    assert len(corrected(p[:0])) == 0


def test_too_few_are_refused() -> None:
    design, _ = made(6)
    design.require(10, "Answers")
    with pytest.raises(NotEnoughDataError, match=r"Answers: \d+ and \d+ that can be compared .* 90 of either"):
        design.require(90, "Answers")
