"""Readings summed up: each number in its place, and equal to what is computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.layers.causality.ablation import HOWS
from hneurons.layers.causality.mediation import Asked, Readings
from hneurons.layers.causality.mediation_record import Ablation, Component, Mediation
from hneurons.layers.causality.summing import ablation, mediation

FFN, HEAD, NEURONS = (
    Component(kind="ffn", layer=1),
    Component(kind="head", layer=0, head=1),
    Component(kind="neurons"),
)
PAIRS = 6


def asked() -> list[Asked]:
    return [
        Asked(FFN, "all", True),
        Asked(FFN, "subject"),
        Asked(HEAD, "last"),
        Asked(NEURONS, "all"),
        Asked(NEURONS, "all"),
    ]


def summed() -> tuple[Readings, Mediation]:
    random = np.random.default_rng(0)
    patched = random.normal(size=(PAIRS, 5, 4, 2))
    patched[:, 1:, 2:] = np.nan
    patched[:2, 1] = np.nan  # no subject in two pairs
    patched[:, 2] = np.nan  # nor a last token in any
    readings = Readings(random.normal(size=(PAIRS, 2, 2)) + np.array([[3.0], [0.0]]), patched)
    groups = np.array(["a", "b", "c", "d", "e", "e"])
    return readings, mediation(readings, asked(), groups, draws=2, resamples=30, seed=0)


def test_effects_stand_where_they_belong() -> None:
    readings, found = summed()
    clean, corrupt = readings.runs[:, 0], readings.runs[:, 1]
    assert (found.n_pairs, found.n_groups, len(found.mediators)) == (6, 5, 2)  # the head has no token
    assert found.total_difference.value == pytest.approx((clean - corrupt)[:, 0].mean())
    assert found.total_probability.value == pytest.approx((clean - corrupt)[:, 1].mean())
    ffn = found.mediators[0]
    assert ffn.difference.nie.value == pytest.approx((readings.patched[:, 0, 0, 0] - corrupt[:, 0]).mean())
    assert ffn.difference.nde.value == pytest.approx((readings.patched[:, 0, 1, 0] - corrupt[:, 0]).mean())
    assert ffn.probability.nde.value == pytest.approx((readings.patched[:, 0, 1, 1] - corrupt[:, 1]).mean())
    assert ffn.unrelated_difference is not None
    assert ffn.unrelated_difference.nie.value == pytest.approx((readings.patched[:, 0, 2, 0] - corrupt[:, 0]).mean())
    assert ffn.unrelated_difference.nde.value == pytest.approx((readings.patched[:, 0, 3, 0] - corrupt[:, 0]).mean())
    for each in found.mediators:
        parts = each.difference
        total = found.total_difference.value if each.n_pairs == 6 else (clean - corrupt)[2:, 0].mean()
        assert parts.nie.value + parts.nde.value + parts.interaction.value == pytest.approx(total)
        shares = parts.nie_share.value + parts.nde_share.value + parts.interaction_share.value
        assert shares == pytest.approx(1.0)


def test_pairs_without_a_subject_count_in_no_part_of_it() -> None:
    readings, found = summed()
    subject = found.mediators[1]
    assert (subject.where, subject.n_pairs) == ("subject", 4)
    nie = (readings.patched[2:, 1, 0, 0] - readings.runs[2:, 1, 0]).mean()
    assert subject.difference.nie.value == pytest.approx(nie)
    assert subject.difference.nie_share.value == pytest.approx(nie / readings.total()[2:, 0].mean())
    assert subject.unrelated_difference is None


def test_random_neurons_are_no_mediators() -> None:
    readings, found = summed()
    assert found.random is not None
    assert found.random.n_draws == 2
    expected = [readings.effects(number, 0)[:, 0].mean() for number in (3, 4)]
    np.testing.assert_allclose(found.random.nie.values, expected)
    assert mediation(readings, asked(), np.arange(6).astype(str), draws=0, resamples=5, seed=0).random is None


def ablated(swap: bool = False) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, Ablation]:
    random = np.random.default_rng(1)
    n = 40
    intact = np.stack([random.normal(size=n), random.normal(size=n), np.ones(n)], axis=1)
    readings = [intact + random.normal(size=(3, n, 3)) for _ in range(4)]
    hallucinated = np.arange(n) % 2 == 0
    intact[~hallucinated, 1] = np.nan
    readings[1][2, hallucinated, 0] -= 5  # the head, resampled: hallucinated answers lose more
    found = ablation(
        intact,
        readings[:2],
        [FFN, HEAD],
        readings[2:],
        hallucinated=~hallucinated if swap else hallucinated,
        strata=np.repeat(["x", "y"], n // 2),
        groups=np.array([f"g{i}" for i in range(n)]),
        eval_sets=["x", "y"],
        left_out={"z": "why"},
        n_reference=7,
        resamples=50,
        permutations=99,
        seed=0,
    )
    return intact, readings, hallucinated, found


def test_ablations_stand_where_they_belong() -> None:
    intact, readings, hallucinated, found = ablated()
    assert [(each.component, each.how) for each in found.ablated] == [(c, how) for how in HOWS for c in (FFN, HEAD)]
    assert (found.hallucinated.n, found.faithful.n, found.left_out) == (20, 20, {"z": "why"})
    assert found.faithful.margin is None
    for each in found.ablated:
        own = readings[(FFN, HEAD).index(each.component)][HOWS.index(each.how)] - intact
        assert each.hallucinated.logprob.value == pytest.approx(own[hallucinated, 0].mean())
        assert each.faithful.logprob.value == pytest.approx(own[~hallucinated, 0].mean())
        assert each.difference.value == pytest.approx(own[hallucinated, 0].mean() - own[~hallucinated, 0].mean())
        assert each.hallucinated.margin is not None
        assert each.hallucinated.margin.value == pytest.approx(own[hallucinated, 1].mean())
    strongest = min(found.ablated, key=lambda each: each.p)
    assert (strongest.component, strongest.how, strongest.p) == (HEAD, "resample", 0.01)
    assert strongest.q == pytest.approx(0.02)  # of two components
    assert strongest.difference.value is not None
    assert strongest.difference.value < -3
    swapped = next(each for each in ablated(swap=True)[3].ablated if each.p == 0.01)
    assert swapped.difference.value == pytest.approx(-strongest.difference.value)
    for each in found.random:
        drawn = [(own[HOWS.index(each.how)] - intact)[hallucinated, 0].mean() for own in readings[2:]]
        np.testing.assert_allclose(each.hallucinated.values, drawn)
