"""A planted difference is found where it is and nowhere else; without one, or with labels permuted, nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hneurons.errors import NotEnoughDataError
from hneurons.layers.comparison.chance import Drawn, against, exchanged, flips, permuted
from hneurons.layers.comparison.cka import gram
from hneurons.layers.comparison.comparing import compare
from hneurons.layers.comparison.matching import match
from hneurons.layers.comparison.record import READS, Compared, Level
from hneurons.layers.comparison.rows import Rows
from hneurons.layers.comparison.separability import folds, held_out_logits
from hneurons.layers.comparison.similarity import Grams, Pairs, across, adjacent
from hneurons.probes import metrics

LAYERS, WIDTH, N = 3, 16, 180


def made(seed: int, *, planted: float = 0.0, by_length: float = 0.0) -> tuple[np.ndarray, Rows]:
    """States of nothing but noise, with a difference in the FFN of layer 1, and length in the residual of layer 0.

    Hallucinated answers are longer more often.
    """
    random = np.random.default_rng(seed)
    y = random.random(N) < 0.5
    n_response = np.where(random.random(N) < 0.7, 8 + 4 * y, random.integers(8, 13, N))
    states = random.standard_normal((N, LAYERS, 3, WIDTH)).astype(np.float32)
    states[:, 1, 2] += planted * y[:, None]
    states[:, 0, 0] += by_length * (n_response - 10)[:, None]
    kinds = np.where(random.random(N) < 0.5, "a", "b")
    said = random.integers(0, 6, N)
    return states, Rows(y, np.maximum(0, np.arange(N) - 20), kinds, np.ones(N, dtype=np.int64), n_response, said)


def compared(states: np.ndarray, rows: Rows) -> Compared:
    return compare("set", states, rows, n_bootstrap=40, n_permutations=199)


def differing(levels: tuple[Level, ...]) -> set[tuple[str, int]]:
    return {(each.read, each.layer) for each in levels if max(each.effect_against.q, each.spread_against.q) < 0.05}


@pytest.fixture(scope="module")
def planted() -> Compared:
    """The comparison of a set with a difference at one place."""
    return compared(*made(0, planted=0.6))


def test_a_planted_difference_is_found_there_and_nowhere_else(planted: Compared) -> None:
    assert planted.matched is not None
    for selection in (planted.every, planted.matched):
        assert differing(selection.levels) == {("ffn", 1)}
        (found,) = (each for each in selection.levels if (each.read, each.layer) == ("ffn", 1))
        assert found.effect.low is not None
        assert found.effect.low > 0.5
        assert found.auroc.value is not None
        assert found.auroc.value > 0.8
        assert found.permuted.high is not None
        assert found.permuted.high < found.auroc.value
        assert found.over_baseline.low is not None
        assert found.over_baseline.low > 0
        above = [(each.auroc.value or 0) > (each.permuted.high or 0) for each in selection.levels if each is not found]
        assert sum(above) <= 1


def test_permuted_labels_give_nothing() -> None:
    states, rows = made(0, planted=0.6)
    y = permuted(rows.hallucinated, rows.groups, 1, 5)[0]
    found = compared(states, replace(rows, hallucinated=y))
    assert found.matched is not None
    assert not differing(found.every.levels)
    assert not differing(found.matched.levels)


def test_matching_removes_what_length_alone_does() -> None:
    found = compared(*made(1, by_length=0.3))
    assert found.matched is not None
    before, after = (
        next(each for each in selection.levels if (each.read, each.layer) == ("residual", 0))
        for selection in (found.every, found.matched)
    )
    assert before.effect_against.q < 0.05 < after.effect_against.q
    assert before.over_baseline.high is not None
    assert before.over_baseline.high < 0.05  # the baseline knows all of it
    lengths = [{each.name: each.smd or 0.0 for each in side} for side in (found.matching.before, found.matching.after)]
    assert lengths[0]["response tokens"] > 0.8
    assert abs(lengths[1]["response tokens"]) < 0.1


def test_what_is_said_is_a_baseline_of_its_own() -> None:
    states, rows = made(4)
    rows = replace(rows, said=np.where(rows.hallucinated & (np.arange(N) % 3 > 0), 7, rows.said))
    states[:, 2, 0] += 3 * (rows.said == 7)[:, None]
    found = compared(states, rows)
    assert found.matched is not None
    assert found.matched.said.low is not None
    assert found.matched.baseline.high is not None
    assert found.matched.said.low > found.matched.baseline.high
    (level,) = (each for each in found.matched.levels if (each.read, each.layer) == ("residual", 2))
    assert level.over_baseline.low is not None
    assert level.over_baseline.low > 0
    assert level.over_said.low is not None
    assert level.over_said.low < 0.02  # it knows what was said, and no more


def test_the_two_of_a_pair_are_never_parted() -> None:
    """Parted, pairs that agree exactly make a fit to what they agree in fall below chance elsewhere."""
    states, rows = made(2)
    states[:, 0, 0, :5] = 9 * (rows.n_response[:, None] == np.arange(8, 13))
    found = compared(states, rows)
    assert found.matched is not None
    assert found.matched.levels[0].permuted.mean == pytest.approx(0.5, abs=0.06)
    assert found.matched.baseline.value == pytest.approx(0.5, abs=0.08)
    pairs = match(rows)
    own = rows.take(pairs.ravel())
    parted = held_out_logits(own.surface(), own.hallucinated[None], folds(own.hallucinated, own.groups))[0]
    assert metrics.auroc(own.hallucinated, parted, np.ones((1, len(own))))[0] < 0.4


def test_few_pairs_are_a_reason_and_few_answers_an_error() -> None:
    states, rows = made(3)
    kinds = np.where(rows.hallucinated, "a", "b")
    found = compared(states, replace(rows, kinds=kinds))
    assert found.matched is None
    assert (found.adjacent, found.across) == ((), ())
    assert "0 pairs are matched" in found.reason
    some = np.flatnonzero(np.cumsum(rows.hallucinated) <= 6)
    with pytest.raises(NotEnoughDataError, match="10 of each are needed"):
        compared(states[some], rows.take(some))


def test_similarity_sees_shared_structure_and_exchange_sees_none_in_the_verdict() -> None:
    random = np.random.default_rng(0)
    shared, noise = random.standard_normal((60, 8)), random.standard_normal((2, 60, 2, 8))
    states = np.zeros((120, 2, 8))
    states[::2, 0], states[1::2, 0] = shared + 0.3 * noise[0, :, 0], shared + 0.3 * noise[1, :, 0]  # partners alike
    states[::2, 1] = states[::2, 0] + 0.1 * noise[0, :, 1]  # goes on within the faithful answers
    states[1::2, 1] = noise[1, :, 1]  # and not within the hallucinated ones
    grams: Grams = {(read, layer): gram(states[:, layer]) for read in READS for layer in (0, 1)}
    pairs = Pairs.of(60, 199, 0)
    first, second, *_ = across(grams, 2, pairs)
    assert first.cka.low is not None
    assert first.cka.low > 0.7
    assert first.repaired.p == 0.005
    assert first.exchanged.q > 0.05
    assert second.cka.value == pytest.approx(0, abs=0.1)
    assert second.repaired.q > 0.05
    found = adjacent(grams, 2, pairs)[0]
    assert found.faithful.value is not None
    assert found.faithful.value > 0.9
    assert found.hallucinated.value == pytest.approx(0, abs=0.1)
    assert found.difference.high is not None
    assert found.difference.high < 0
    assert found.against.p == 0.005
    assert found.mismatched.mean == pytest.approx(0, abs=0.05)


def test_exchanged_labels_keep_one_of_each_in_a_pair() -> None:
    flipped = flips(3, 50, 0)
    labels = exchanged(flipped)
    assert (labels[:, ::2] != labels[:, 1::2]).all()
    assert labels[~flipped[:, 0]][:, 1].all()
    assert 10 < flipped[:, 2].sum() < 40


def test_p_values_and_their_adjustment_by_hand() -> None:
    draws = np.array([0.0, 1.0, 2.0, np.nan])
    family = [Drawn(2.0, draws), Drawn(-0.5, draws, "low"), Drawn(-1.5, draws, "both"), Drawn(np.nan, draws)]
    found = against(family)
    assert [each.p for each in found] == [0.5, 0.25, 0.5, 1.0]
    assert [each.q for each in found] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1.0])
    assert found[0].null.n == 3
