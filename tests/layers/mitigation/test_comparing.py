"""Figures of the comparison against loops over questions and resamples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hneurons.layers.mitigation.comparing import (
    OUTCOMES,
    VERDICTS,
    Became,
    Resampled,
    Rows,
    at_random,
    compare,
    draws,
    frontier,
    perplexities,
    steering,
)
from hneurons.layers.mitigation.methods import Method, unchanged
from hneurons.layers.mitigation.record import MethodFound, Price
from hneurons.probes.bootstrap import Bootstrap

PRICE = Price(tokens=1.0, unembeddings=1.0, seconds=1.0, seconds_low=1.0, seconds_high=1.0)
N, KNOWN, CASES, PASSAGES = 40, 15, 12, 6
RESAMPLES, SEED = 60, 4


def invented(seed: int) -> Became:
    random = np.random.default_rng(seed)
    return Became(
        verdicts=random.integers(0, 3, N).astype(np.int8),
        texts=random.integers(0, 2, N).astype(np.uint64),
        cut_off=random.random(N) < 0.2,
        known=random.integers(0, 3, KNOWN).astype(np.int8),
        cases={name: random.integers(0, 4, CASES).astype(np.int8) for name in ("premise", "context")},
        nll=random.uniform(5, 30, PASSAGES),
    )


@pytest.fixture(scope="module")
def rows() -> Rows:
    random = np.random.default_rng(9)
    return Rows(
        groups=random.integers(0, 25, N).astype(str),
        sets=np.array(["one", "two"])[random.integers(0, 2, N)],
        known=np.arange(KNOWN).astype(str),
        cases={name: (np.arange(CASES) // 2).astype(str) for name in ("premise", "context")},
        tokens=random.integers(4, 12, PASSAGES),
    )


@pytest.fixture(scope="module")
def became() -> list[Became]:
    return [invented(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def compared(rows: Rows, became: list[Became]) -> tuple[MethodFound, ...]:
    methods = [unchanged(), *(replace(unchanged(), name=name, kind="scaling") for name in ("first", "second"))]
    return compare(methods, became, [PRICE] * 3, Resampled(rows, RESAMPLES, SEED))


def resampled(groups: np.ndarray, seed: int) -> list[list[int]]:
    """Row numbers of every resample, drawn as `Bootstrap` says."""
    names = np.unique(groups)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return [
        [row for k, name in enumerate(names) for row in np.flatnonzero(groups == name) for _ in range(count[k])]
        for count in counts
    ]


def naive_change(flags: np.ndarray, base: np.ndarray, groups: np.ndarray, seed: int = SEED) -> tuple[float, ...]:
    """The difference of two shares over the same rows, and its interval over resamples of groups."""
    value = sum(map(bool, flags)) / len(flags) - sum(map(bool, base)) / len(base)
    drawn = [np.mean(flags[own]) - np.mean(base[own]) for own in resampled(groups, seed)]
    return (value, *np.percentile(drawn, [2.5, 97.5]))


def held(estimate: Any) -> tuple[float, ...]:
    return estimate.value, estimate.low, estimate.high


def test_shares_and_paired_differences(compared: Any, rows: Rows, became: list[Became]) -> None:
    for k, found in enumerate(compared):
        for code, measure in enumerate((found.correct, found.hallucinated, found.refused)):
            flags, base = became[k].verdicts == code, became[0].verdicts == code
            assert measure.value.value == pytest.approx(flags.mean())
            assert held(measure.change) == pytest.approx(naive_change(flags, base, rows.groups))
        shares = (found.correct.value.value, found.hallucinated.value.value, found.refused.value.value)
        assert sum(shares) == pytest.approx(1)
        for name, measure in found.by_set.items():
            own = rows.sets == name
            flags = (became[k].verdicts == 1)[own]
            base = (became[0].verdicts == 1)[own]
            assert held(measure.change) == pytest.approx(naive_change(flags, base, rows.groups[own]))
        assert held(found.known.change) == pytest.approx(
            naive_change(became[k].known == 0, became[0].known == 0, rows.known)
        )
        assert found.altered == np.mean(became[k].texts != became[0].texts)
    unpaired = naive_change(became[1].verdicts == 1, (became[0].verdicts == 1)[::-1].copy(), rows.groups)
    assert held(compared[1].hallucinated.change) != pytest.approx(unpaired)  # of other questions
    assert held(compared[0].hallucinated.change) == (0, 0, 0)


def test_compliance_counts_what_is_eligible(compared: Any, rows: Rows, became: list[Became]) -> None:
    for k, found in enumerate(compared):
        rates, changes = [], []
        for shift, name in enumerate(("premise", "context")):
            codes, base = became[k].cases[name], became[0].cases[name]

            def rate(codes: np.ndarray) -> float:
                counted = [OUTCOMES[code] for code in codes if OUTCOMES[code] != "ineligible"]
                return counted.count("complies") / len(counted) if counted else math.nan

            assert found.by_benchmark[name].value.value == pytest.approx(rate(codes))
            drawn = [rate(codes[own]) - rate(base[own]) for own in resampled(rows.cases[name], SEED + shift)]
            expected = (rate(codes) - rate(base), *np.nanpercentile(drawn, [2.5, 97.5]))
            assert held(found.by_benchmark[name].change) == pytest.approx(expected)
            rates.append(rate(codes))
            changes.append(drawn)
        assert found.compliance.value.value == pytest.approx(np.mean(rates))
        mean = np.mean(changes, axis=0)
        assert held(found.compliance.change)[1:] == pytest.approx(tuple(np.nanpercentile(mean, [2.5, 97.5])))
        every = np.concatenate(list(became[k].cases.values()))
        assert found.unparsed == pytest.approx(np.mean(every == OUTCOMES.index("unparsed")))


def test_perplexity(rows: Rows, became: list[Became]) -> None:
    nll = np.stack([each.nll for each in became], axis=1)
    found = perplexities(nll, rows.tokens, Resampled(rows, RESAMPLES, SEED))
    passages = np.arange(PASSAGES)
    for k, estimate in enumerate(found):
        multiple = np.exp(nll[:, k].sum() / rows.tokens.sum()) / np.exp(nll[:, 0].sum() / rows.tokens.sum())
        drawn = [
            np.exp(nll[own, k].sum() / rows.tokens[own].sum()) / np.exp(nll[own, 0].sum() / rows.tokens[own].sum())
            for own in resampled(passages, SEED)
        ]
        assert held(estimate) == pytest.approx((multiple, *np.percentile(drawn, [2.5, 97.5])))
    nll[2, 1] = np.inf
    none = perplexities(nll, rows.tokens, Resampled(rows, RESAMPLES, SEED))
    assert none[1].value is None
    assert none[1].reason == f"gives some token no probability in 1 of {PASSAGES} passages"
    assert held(none[2]) == held(found[2])


def test_frontier() -> None:
    hallucinated = [0.4, 0.3, 0.3, 0.2, 0.5, None]
    known = [0.9, 0.8, 0.7, 0.7, 0.9, 1.0]
    found = frontier(hallucinated, known)
    for i, (h, r) in enumerate(zip(hallucinated, known, strict=True)):
        dominated = h is None or any(
            g is not None and ((g < h and q >= r) or (g <= h and q > r))
            for j, (g, q) in enumerate(zip(hallucinated, known, strict=True))
            if j != i
        )
        assert found[i] == (not dominated)
    assert found == [True, True, False, True, False, False]
    assert frontier([0.4, 0.4], [0.9, 0.9]) == [True, True]  # equals do not beat each other


def test_draws(became: list[Became]) -> None:
    found = draws("method", "random neurons", became[0], became[1:])
    for k, each in enumerate(became[1:]):
        assert found.hallucinated[k] == pytest.approx((each.verdicts == 1).mean() - (became[0].verdicts == 1).mean())
        assert found.known[k] == pytest.approx((each.known == 0).mean() - (became[0].known == 0).mean())
        rates = []
        for name in each.cases:
            for sign, codes in ((1, each.cases[name]), (-1, became[0].cases[name])):
                counted = codes[codes != 3]
                rates.append(sign * (counted == 0).mean())
        assert found.compliance[k] == pytest.approx(sum(rates) / 2)
    none = np.zeros(0, dtype=np.int8)
    asked_less = [replace(each, known=none, cases={}) for each in became[1:]]
    few = draws("method", "random directions", became[0], asked_less)
    assert (few.known, few.compliance, few.hallucinated) == ((), (), found.hallucinated)


def test_answers_withheld_at_random(became: list[Became]) -> None:
    intact = became[0]
    silent = np.where(np.arange(N) < 20, VERDICTS.index("refusal"), intact.verdicts).astype(np.int8)
    withheld = replace(intact, verdicts=silent)
    found = at_random("silence", intact, withheld, 400, 0)
    answered = (intact.verdicts != 2).sum()
    n = ((silent == 2) & (intact.verdicts != 2)).sum()
    expected = -(intact.verdicts == 1).mean() * n / answered  # each answer is as likely to be withheld as any other
    assert np.mean(found.hallucinated) == pytest.approx(expected, abs=0.01)
    for hallucinated, correct in zip(found.hallucinated, found.correct, strict=True):
        assert hallucinated + correct == pytest.approx(-n / N)
    assert set(found.known) == {0.0}  # none of these was withheld


def test_steering_by_layer(rows: Rows) -> None:
    random = np.random.default_rng(2)
    verdicts = random.integers(0, 3, (N, 7)).astype(np.int8)
    drawn = random.integers(0, 3, (N, 6, 4)).astype(np.int8)
    bootstrap = Bootstrap(rows.groups, resamples=RESAMPLES, seed=SEED)
    layers, depths = steering(verdicts, drawn, [0.1] * 6, bootstrap)
    for layer, found in enumerate(layers):
        expected = naive_change(verdicts[:, layer + 1] == 1, verdicts[:, 0] == 1, rows.groups)
        assert held(found.hallucinated) == pytest.approx(expected)
        expected = naive_change(verdicts[:, layer + 1] == 0, verdicts[:, 0] == 0, rows.groups)
        assert held(found.correct) == pytest.approx(expected)
        for draw in range(4):
            change = (drawn[:, layer, draw] == 1).mean() - (verdicts[:, 0] == 1).mean()
            assert found.random_hallucinated[draw] == pytest.approx(change)
    assert depths is not None
    assert (depths.middle, depths.end) == ((2, 3), (4, 5))
    flags = (verdicts == 1).astype(float)
    apart = flags[:, [3, 4]].mean(axis=1) - flags[:, [5, 6]].mean(axis=1)
    drawn_apart = [apart[own].mean() for own in resampled(rows.groups, SEED)]
    assert held(depths.hallucinated) == pytest.approx((apart.mean(), *np.percentile(drawn_apart, [2.5, 97.5])))
    assert steering(verdicts[:, :3], drawn[:, :2], [0.1, 0.2], bootstrap)[1] is None


def test_methods_are_values() -> None:
    assert isinstance(unchanged(), Method)
    assert unchanged().after is None
