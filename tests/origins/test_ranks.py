"""The permutation tests draw what they say: against enumeration, formulas for finite populations, planted examples."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hneurons.errors import ProbeError, ProbeMismatchError
from hneurons.origins import ranks as module
from hneurons.origins.drift import ranks as rank_all
from hneurons.origins.ranks import rank_test, sums_of_draws

Array = np.ndarray[Any, np.dtype[np.float64]]


def ranked(layers: int, neurons: int, seed: int = 0) -> Array:
    """Ranks of random scores, whose layers differ."""
    random = np.random.default_rng(seed)
    return rank_all(random.normal(size=(layers, neurons)) + random.normal(size=(layers, 1)))


def test_mean_and_variance_of_the_matched_draws_are_those_of_the_finite_population() -> None:
    """Means of sets drawn without replacement within layers: variance sum (n_l / n)^2 s_l^2 / n_l (1 - n_l / m)."""
    ranks = ranked(3, 60)
    counts = {0: 4, 1: 25, 2: 50}  # fewer and more than half of a layer
    hneurons = [(layer, index) for layer, count in counts.items() for index in range(count)]
    n, draws = len(hneurons), 40_000
    random = np.random.default_rng(1)
    drawn = sum(sums_of_draws(ranks[layer], count, draws, random) for layer, count in counts.items()) / n
    mean = sum(count * ranks[layer].mean() for layer, count in counts.items()) / n
    variance = sum(
        (count / n) ** 2 * ranks[layer].var(ddof=1) / count * (1 - count / 60) for layer, count in counts.items()
    )
    assert drawn.mean() == pytest.approx(mean, abs=4 * (variance / draws) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=4 * (2 / draws) ** 0.5)
    with_replacement = sum((count / n) ** 2 * ranks[layer].var() / count for layer, count in counts.items())
    assert abs(drawn.var() / with_replacement - 1) > 0.3  # drawing with replacement would be noticed

    found = rank_test("up", ranks, hneurons, draws=draws)
    assert found.matched.mean == pytest.approx(mean, abs=4 * (variance / draws) ** 0.5)
    low, high = stats.norm.ppf([0.025, 0.975], mean, variance**0.5)
    assert (found.matched.low, found.matched.high) == pytest.approx((low, high), abs=0.05 * (high - low))
    everywhere = (ranks.var(ddof=1) / n * (1 - n / 180)) ** 0.5
    low, high = stats.norm.ppf([0.025, 0.975], 0.5, everywhere)
    assert (found.random.low, found.random.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_p_values_are_those_of_all_sets_there_are() -> None:
    ranks = ranked(2, 7, seed=3)
    hneurons = [(0, 2), (0, 5), (1, 1), (1, 3), (1, 4)]
    mean = np.mean([ranks[at] for at in hneurons])
    within = [
        (sum(a) + sum(b)) / 5
        for a, b in product(combinations(ranks[0].tolist(), 2), combinations(ranks[1].tolist(), 3))
    ]
    anywhere = [sum(chosen) / 5 for chosen in combinations(ranks.ravel().tolist(), 5)]
    found = rank_test("up", ranks, hneurons, draws=20_000)
    for values, less, more in (
        (within, found.matched_p, found.matched_p_more),
        (anywhere, found.random_p, found.random_p_more),
    ):
        assert less == pytest.approx(np.mean(np.array(values) >= mean - 1e-9), abs=0.015)
        assert more == pytest.approx(np.mean(np.array(values) <= mean + 1e-9), abs=0.015)
        assert less + more > 1  # the H-Neurons' own mean counts on both sides


@pytest.mark.parametrize(("pool", "size"), [(5, 2), (5, 3), (6, 1), (6, 5), (4, 4), (4, 0)])
def test_every_set_of_a_size_is_as_likely(pool: int, size: int) -> None:
    values = 2.0 ** np.arange(pool)  # a sum says which were drawn
    drawn = Counter(sums_of_draws(values, size, 20_000, np.random.default_rng(0)).tolist())
    expected = [sum(chosen) for chosen in combinations(values.tolist(), size)]
    assert sorted(drawn) == sorted(map(float, expected))
    if len(expected) > 1:
        assert stats.chisquare(list(drawn.values())).pvalue > 1e-3


@given(pool=st.integers(1, 40), share=st.floats(0, 1), draws=st.integers(1, 30), chunk=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_nothing_is_drawn_twice(pool: int, share: float, draws: int, chunk: int) -> None:
    """With values that are powers of two, the bits of a sum are what was drawn; twice the same would carry."""
    size = round(share * pool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        sums = sums_of_draws(2.0 ** np.arange(pool), size, draws, np.random.default_rng(0))
    assert len(sums) == draws
    assert [int(value).bit_count() for value in sums] == [size] * draws


def test_the_work_does_not_grow_with_the_pool() -> None:
    """A few random numbers for each neuron drawn, however many there are to draw from."""
    asked = []

    class Counting(np.random.Generator):
        def integers(self, *args: Any, **settings: Any) -> Any:
            asked.append(int(np.prod(settings["size"])))
            return super().integers(*args, **settings)

    for pool in (400, 30_000):
        asked.clear()
        sums_of_draws(np.zeros(pool), 200, 500, Counting(np.random.PCG64(0)))
        assert sum(asked) < 2 * 200 * 500
    asked.clear()
    sums_of_draws(np.zeros(30_000), 29_990, 500, Counting(np.random.PCG64(0)))
    assert sum(asked) < 2 * 10 * 500


def test_the_t_test_is_that_of_scipy_and_the_interval_covers_the_mean() -> None:
    ranks = ranked(2, 300)
    hneurons = [(0, 4), (1, 200), (1, 3), (0, 77), (1, 8)]
    own = [ranks[at] for at in hneurons]
    found = rank_test("gate", ranks, hneurons, draws=100, resamples=4000)
    n = len(own)
    t = (np.mean(own) - 0.5) / (np.std(own, ddof=1) / n**0.5)
    assert found.t == pytest.approx(t)
    assert found.t_p == pytest.approx(stats.t.sf(t, n - 1))
    assert (found.score, found.n, found.draws) == ("gate", n, 100)
    random = np.random.default_rng(5)
    low, high = np.percentile(random.choice(own, (20_000, n)).mean(axis=1), [2.5, 97.5])
    assert found.mean_rank.value == pytest.approx(np.mean(own))
    assert (found.mean_rank.low, found.mean_rank.high) == pytest.approx((low, high), abs=0.03)


def test_h_neurons_in_a_quiet_layer_are_not_less_changed_than_others_of_it() -> None:
    """What the draws from all layers and the t-test take for H-Neurons' own, the layer has."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(4, 500))
    scores[2] -= 4  # a layer that hardly changed
    hneurons = [(2, int(index)) for index in random.choice(500, 20, replace=False)] + [(0, 3), (1, 9)]
    found = rank_test("up+down", rank_all(scores), hneurons, draws=2000)
    assert found.t_p is not None
    assert found.t_p < 1e-3
    assert found.random_p < 1e-3
    assert found.matched_p > 0.05
    assert found.matched_p_more > 0.05


def test_h_neurons_that_keep_still_within_their_layers_are_found() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(4, 500))
    scores[2] += 2  # busy layer, quiet neurons in it: as a whole they rank in the middle
    hneurons = [(2, index) for index in range(15)]
    scores[2, :15] -= 1.5
    found = rank_test("up+down", rank_all(scores), hneurons, draws=2000)
    assert 0.2 < found.random_p < 0.8
    assert found.matched_p == pytest.approx(1 / 2001)
    assert found.matched_p_more == 1


def test_p_values_are_uniform_where_there_is_nothing() -> None:
    """Random neurons under the name, layers that differ: the test that keeps to layers errs as often as it says."""
    ranks = ranked(3, 50, seed=9)
    random = np.random.default_rng(2)
    p = [
        rank_test(
            "up", ranks, [(2, int(i)) for i in random.choice(50, 6, replace=False)], draws=300, resamples=1, seed=seed
        ).matched_p
        for seed in range(150)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_where_ranks_are_alike_there_is_no_t_test() -> None:
    found = rank_test("up", np.full((2, 9), 0.5), [(0, 1), (1, 1)], draws=50)
    assert found.t is None
    assert found.t_p is None
    assert found.random_p == found.matched_p == found.matched_p_more == 1


def test_one_h_neuron_has_no_interval() -> None:
    ranks = ranked(2, 30)
    found = rank_test("up", ranks, [(1, 4)], draws=2000)
    assert found.mean_rank.value == ranks[1, 4]
    assert found.mean_rank.low is None
    assert found.t is None
    assert found.matched_p == pytest.approx((ranks[1] >= ranks[1, 4]).mean(), abs=0.05)


def test_draws_are_those_of_the_seed_and_are_not_kept() -> None:
    ranks = ranked(3, 40)
    hneurons = [(0, 1), (2, 5), (2, 6)]
    first = rank_test("up", ranks, hneurons, draws=500, seed=4)
    assert rank_test("up", ranks, hneurons, draws=500, seed=4) == first
    assert rank_test("up", ranks, hneurons, draws=500, seed=5) != first
    assert first.random.values == first.matched.values == ()


def test_a_whole_layer_leaves_nothing_to_draw() -> None:
    ranks = ranked(2, 12)
    found = rank_test("up", ranks, [(1, index) for index in range(12)], draws=100)
    assert found.matched.low == pytest.approx(ranks[1].mean())
    assert found.matched_p == found.matched_p_more == 1


def test_no_neurons_a_neuron_twice_and_another_model_s_are_refused() -> None:
    ranks = ranked(2, 12)
    with pytest.raises(ProbeError, match="no H-Neurons"):
        rank_test("up", ranks, [])
    with pytest.raises(ProbeError, match="named twice"):
        rank_test("up", ranks, [(0, 1), (0, 1)])
    with pytest.raises(ProbeMismatchError, match="no neuron 12 in layer 0 of a model of 2 layers of 12 neurons"):
        rank_test("up", ranks, [(0, 12)])
