"""Traced pairs: every array against patches that are made one by one, and what they are summed up to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from tests.layers.causality.alike import made
from tests.layers.causality.naive import run

from hneurons.layers.causality.attribution import attribute
from hneurons.layers.causality.correlating import agreement, pearson, spearman
from hneurons.layers.causality.inputs import embedding_spread
from hneurons.layers.causality.pairs import GROUPS, Pair, find_pairs
from hneurons.layers.causality.summary import Summary
from hneurons.layers.causality.tracing import MAPPED, Asked, across, singles, trace, unrelated
from hneurons.models.language_model import LanguageModel

ASKED = Asked(sigma=0.8, draws=2, sets=(((0, 3), (1, 5)), ((1, 7),)), singles=3, seed=4, batch_rows=32)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    found = find_pairs([made(n, True) for n in range(3)], [made(n, False) for n in range(5, 8)])[0]
    assert len(found) == 3
    return found


@pytest.fixture(scope="module")
def model(tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def traced(model: LanguageModel, pairs: list[Pair]) -> dict[str, np.ndarray]:
    others = [pairs[1], pairs[2], None]
    return trace(model, pairs, others, ASKED)


def read(logits: torch.Tensor, pair: Pair) -> np.ndarray:
    clean, wrong = pair.answers
    return np.array([logits[clean] - logits[wrong], logits.softmax(-1)[clean]])


def test_every_kind_of_patch_is_what_one_pass_for_it_gives(
    model: LanguageModel, pairs: list[Pair], traced: dict[str, np.ndarray]
) -> None:
    pair, other = pairs[0], pairs[1]
    clean, held = run(model, pair.clean_input.token_ids)
    corrupt, _ = run(model, pair.corrupt_input.token_ids)
    _, foreign = run(model, other.clean_input.token_ids)
    noisy = pair.noisy_input(ASKED.sigma, 1, ASKED.seed)
    assert noisy.noise is not None
    noise = {p: torch.from_numpy(v).float() for p, v in zip(noisy.noise.positions, noisy.noise.values(32), strict=True)}
    disturbed, _ = run(model, noisy.token_ids, (), noise)
    plain = [read(each, pair) for each in (clean, corrupt, disturbed)]
    np.testing.assert_allclose(traced["runs"][0][[0, 1, 3]], plain, atol=1e-4)
    every = torch.arange(32)

    def effect(tokens: tuple[int, ...], edits: list, base: torch.Tensor, noise: dict | None = None) -> np.ndarray:
        return read(run(model, tokens, edits, noise)[0], pair) - read(base, pair)

    def put(site: str, layer: int, source: dict, positions: tuple[int, ...], columns: torch.Tensor = every) -> list:
        return [(site, layer, {p: source[site, layer][p] for p in positions}, columns)]

    for site, layer, group in (("residual", 0, "name"), ("attention", 1, "last"), ("ffn", 0, "subject middle")):
        positions = pair.groups[group]  # type: ignore[index]
        place = (MAPPED.index(site), layer, GROUPS.index(group))  # type: ignore[arg-type]
        edits = put(site, layer, held, positions)
        own = effect(pair.corrupt_input.token_ids, edits, corrupt)
        np.testing.assert_allclose(traced["question"][0][place], own, atol=2e-4)
        own = effect(noisy.token_ids, edits, disturbed, noise)
        np.testing.assert_allclose(traced["noise"][0, 1][place], own, atol=2e-4)
        own = effect(pair.corrupt_input.token_ids, put(site, layer, foreign, positions), corrupt)
        np.testing.assert_allclose(traced["control"][0][place], own, atol=2e-4)
    changed = tuple(sorted(position for own in pair.groups.values() for position in own))
    own = effect(pair.corrupt_input.token_ids, put("heads", 1, held, changed, torch.arange(16, 24)), corrupt)
    np.testing.assert_allclose(traced["heads"][0, 1, 2], own, atol=2e-4)
    drawn = int(singles(model, pair, ASKED)[1, 2])
    own = effect(pair.corrupt_input.token_ids, put("neurons", 1, held, changed, torch.tensor([drawn])), corrupt)
    np.testing.assert_allclose(traced["singles"][0, 1, 2], own, atol=2e-4)
    both = put("neurons", 0, held, changed, torch.tensor([3])) + put("neurons", 1, held, changed, torch.tensor([5]))
    np.testing.assert_allclose(traced["sets"][0, 0], effect(pair.corrupt_input.token_ids, both, corrupt), atol=2e-4)
    whole = [each for k in range(2) for each in put("neurons", k, held, changed, torch.arange(48))]
    np.testing.assert_allclose(traced["sets"][0, 2], effect(pair.corrupt_input.token_ids, whole, corrupt), atol=2e-4)
    assert np.isnan(traced["control"][2]).all()
    assert all(np.abs(traced[name]).max() > 1e-2 for name in ("heads", "sets", "question", "noise"))


def test_the_last_token_of_the_last_layer_is_the_whole_gap_and_nothing_else_is(traced: dict[str, np.ndarray]) -> None:
    gap = traced["runs"][:, 0] - traced["runs"][:, 1]
    np.testing.assert_allclose(traced["question"][:, 0, 1, GROUPS.index("last")], gap, atol=1e-4)
    np.testing.assert_allclose(traced["question"][:, 0, 1, : GROUPS.index("last")], 0, atol=1e-4)
    estimate = traced["question_estimates"]
    assert estimate.shape == (3, 3, 2, len(GROUPS), 2)
    assert np.abs(estimate[..., 0] - estimate[..., 1]).max() > 1e-3  # gradients of two runs


def test_estimates_of_groups_are_sums_over_their_tokens(model: LanguageModel, pairs: list[Pair]) -> None:
    found: dict[tuple[str, int], torch.Tensor] = {}
    corrupt, clean = [pair.corrupt_input for pair in pairs], [pair.clean_input for pair in pairs]
    answers = [pair.answers for pair in pairs]
    attribute(model, corrupt, clean, answers, lambda site, layer, scores: found.__setitem__((site, layer), scores))
    traced = trace(model, pairs, [None] * 3, Asked(sigma=0.1, draws=0, singles=2))
    name = pairs[1].groups["name"]
    expected = sum(float(found["ffn", 1][1, position, 0]) for position in name)
    assert traced["question_estimates"][1, 2, 1, GROUPS.index("name"), 0] == pytest.approx(expected, rel=1e-4)
    heads = found["heads", 0][2].sum(0)
    np.testing.assert_allclose(traced["heads_estimates"][2, 0, :, 0], heads, rtol=1e-3, atol=1e-5)
    drawn = singles(model, pairs[2], Asked(sigma=0.1, singles=2))[1]
    own = found["neurons", 1][2].sum(0)[torch.from_numpy(drawn)]
    np.testing.assert_allclose(traced["singles_estimates"][2, 1, :, 0], own, rtol=1e-3, atol=1e-5)
    assert traced["noise"].shape[1] == 0
    assert np.isnan(traced["noise_estimates"]).all()


def test_summed_up_they_are_ratios_of_sums_with_intervals_over_pairs(
    model: LanguageModel, pairs: list[Pair], traced: dict[str, np.ndarray]
) -> None:
    held = dict(traced)
    held["question"] = traced["question"].copy()
    held["question"][1, 0, 0, GROUPS.index("name")] = np.nan  # a pair that has no such position
    summary = Summary(held, [("a", pairs[0]), ("a", pairs[1]), ("b", pairs[2])], 200, 0)
    own = next(each for each in summary.maps() if (each.corruption, each.site) == ("question", "residual"))
    place = own.columns.index("name")
    gap = (traced["runs"][:, 0] - traced["runs"][:, 1])[:, 0]
    values = traced["question"][:, 0, 0, GROUPS.index("name"), 0]
    assert own.effect.value[0][place] == pytest.approx((values[0] + values[2]) / (gap[0] + gap[2]), rel=1e-3)
    assert own.effect.value[0][place] != pytest.approx(np.nanmean(values / gap), rel=1e-3)
    probability = held["question"][..., 1][:, 0, 0, GROUPS.index("name")]
    assert own.probability.value[0][place] == pytest.approx((probability[0] + probability[2]) / 2, rel=1e-3)
    draws = np.random.default_rng(0).multinomial(3, np.full(3, 1 / 3), size=200)
    order = np.argsort([pair.corrupt.group for pair in pairs])
    counts = np.empty_like(draws)
    counts[:, order] = draws
    last = traced["question"][:, 1, 1, GROUPS.index("last"), 0]
    shares = counts @ last / (counts @ gap)
    attention = next(each for each in summary.maps() if (each.corruption, each.site) == ("question", "attention"))
    low, high = np.percentile(shares, [2.5, 97.5])
    assert attention.effect.low[1][attention.columns.index("last")] == pytest.approx(low, rel=1e-3)
    assert attention.effect.high[1][attention.columns.index("last")] == pytest.approx(high, rel=1e-3)
    noise = next(each for each in summary.maps() if (each.corruption, each.site) == ("noise", "ffn"))
    averaged = traced["noise"].mean(axis=1)[:, 2, 0, GROUPS.index("last"), 0].sum()
    noise_gap = (traced["runs"][:, 0] - traced["runs"][:, 2:].mean(axis=1))[:, 0].sum()
    assert noise.effect.value[0][noise.columns.index("last")] == pytest.approx(averaged / noise_gap, rel=1e-3)
    assert noise.control is None
    assert own.control is not None
    found = summary.neurons(2, 1, 0)
    assert found.effect.value == pytest.approx(traced["sets"][:, 0, 0].sum() / gap.sum())
    assert found.random.values == (pytest.approx(traced["sets"][:, 1, 0].sum() / gap.sum()),)
    assert found.all_neurons.value == pytest.approx(traced["sets"][:, 2, 0].sum() / gap.sum())
    described = summary.described(7, {"none": 1}, ASKED)
    assert (described.n, described.by_set, described.unrelated) == (3, {"a": 2, "b": 1}, 2)
    assert described.gap["question"].value == pytest.approx(gap.mean())
    for each in summary.attribution():
        if (each.corruption, each.site) == ("question", "heads"):
            exact, linear = traced["heads"][..., 0].ravel(), traced["heads_estimates"][..., 0].ravel()
            assert each.linear.spearman.value == pytest.approx(stats.spearmanr(exact, linear).statistic)
            assert each.linear.pearson.value == pytest.approx(stats.pearsonr(exact, linear).statistic)
            assert each.n == exact.size
            both = traced["heads_estimates"].mean(axis=-1).ravel()
            assert each.averaged.pearson.value == pytest.approx(stats.pearsonr(exact, both).statistic)


def test_weighted_correlations_are_those_of_repeated_rows() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=30).round(1)  # with ties
    y = x + random.normal(size=30).round(1)
    weights = random.integers(0, 4, size=(5, 30)).astype(float)
    for row, rho, r in zip(weights, spearman(x, y, weights), pearson(x, y, weights), strict=True):
        times = row.astype(int)
        assert rho == pytest.approx(stats.spearmanr(np.repeat(x, times), np.repeat(y, times)).statistic, abs=1e-12)
        assert r == pytest.approx(stats.pearsonr(np.repeat(x, times), np.repeat(y, times)).statistic, abs=1e-12)
    assert np.isnan(pearson(np.ones(30), y, weights)).all()
    found = agreement(np.ones(30), y, np.arange(30), resamples=50, seed=0)
    assert found.spearman.value is None
    assert found.spearman.reason == "all values are the same"


def test_unrelated_runs_are_about_something_else_and_of_another_kind_first(pairs: list[Pair]) -> None:
    other = find_pairs(
        [made(20, True, kind="river")], [made(21, False, kind="river", response_ids=(70, 311, 312, 80, 81, 5, 9))]
    )[0]
    same = find_pairs([made(22, True)], [made(23, False, response_ids=(70, 331, 332, 80, 81, 4, 9))])[0]
    found = unrelated([pairs[0], *same, *other])
    assert found[0] is other[0]
    assert found[1] is other[0]
    assert found[2] is not None
    assert unrelated([pairs[0], pairs[1]]) == [None, None]  # both say the same
    assert across((4, 5, 6), (10, 11)) == (10, 10, 11)
    assert across((4,), (10, 11)) == (10,)
    assert across((4,), ()) == ()


def test_the_noise_is_of_the_model_s_own_scale(model: LanguageModel) -> None:
    assert 0.1 < embedding_spread(model) < 1.0
