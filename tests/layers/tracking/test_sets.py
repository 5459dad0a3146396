"""What is said of a set, against loops over its answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from tests.layers.tracking.made import made_set

from hneurons.layers.tracking.sets import SetReader


@pytest.fixture(scope="module")
def reader() -> SetReader:
    return made_set()


def test_trajectories_and_entropies_are_means(reader: SetReader) -> None:
    found = reader.found("made")
    rows = reader.hallucinated
    seen = {(each.lens, each.verdict, each.token) for each in found.trajectories}
    assert ("logit", "faithful", "correct") not in seen
    assert len(seen) == 10
    for each in found.trajectories:
        own = rows if each.verdict == "hallucinated" else ~rows
        column = ("given", "correct", "competitor").index(each.token)
        log_prob = reader.read[f"{each.lens}_log_prob"][own, :, column].astype(float)
        assert each.n == own.sum()
        for depth, figure in enumerate(each.probability):
            assert figure.value == pytest.approx(np.mean([np.exp(value) for value in log_prob[:, depth]]), rel=1e-6)
            assert figure.value != pytest.approx(np.exp(np.mean(log_prob[:, depth])), rel=1e-3)
            ranks = reader.read[f"{each.lens}_rank"][own, depth, column]
            assert each.rank[depth] == np.median(ranks)
    assert (found.n_hallucinated, found.n_correct, found.n_faithful) == (rows.sum(), rows.sum(), (~rows).sum())


def test_decisions_against_a_loop(reader: SetReader) -> None:
    found = reader.found("made")
    for each in found.decisions:
        own = reader.hallucinated if each.verdict == "hallucinated" else ~reader.hallucinated
        depths = []
        for row in np.flatnonzero(own):
            log_prob = reader.read[f"{each.lens}_log_prob"][row]
            rivals = log_prob[:, 1:3]
            if each.rule == "all":
                leads = [reader.read[f"{each.lens}_rank"][row, d, 0] == 1 for d in range(5)]
            else:
                leads = [not any(rival > log_prob[d, 0] for rival in rivals[d]) for d in range(5)]
            start = 5
            while start > 0 and leads[start - 1]:
                start -= 1
            depths.append(start if start < 5 else None)
        decided = [depth for depth in depths if depth is not None]
        assert each.mean.value == pytest.approx(np.mean(decided))
        assert each.never.value == pytest.approx(depths.count(None) / len(depths))
        assert sum(each.shares) + each.never.value == pytest.approx(1)
        assert each.shares == tuple(pytest.approx(decided.count(depth) / len(depths)) for depth in range(5))


def test_gaps_are_within_pairs_that_are_decided(reader: SetReader) -> None:
    found = reader.found("made")
    for each in found.gaps:
        depths = reader.decided(each.lens, each.rule)
        kept = [
            (i, j)
            for i, j in zip(reader.pairs.hallucinated, reader.pairs.faithful, strict=True)
            if not (np.isnan(depths[i]) or np.isnan(depths[j]))
        ]
        assert each.n_pairs == len(kept)
        assert all(reader.answers[i].kind == reader.answers[j].kind for i, j in kept)
        known = ~np.isnan(depths)
        raw = depths[known & reader.hallucinated].mean() - depths[known & ~reader.hallucinated].mean()
        assert each.raw.value == pytest.approx(raw)
        if each.matched.value is not None:
            assert each.matched.value == pytest.approx(np.mean([depths[i] - depths[j] for i, j in kept]))


def test_overtaking_and_its_control(reader: SetReader) -> None:
    for each in reader.found("made").overtaken:
        own, control = [], []
        for row in np.flatnonzero(reader.hallucinated):
            log_prob = reader.read[f"{each.lens}_log_prob"][row]
            given, right = log_prob[:, 0], log_prob[:, 1]
            if right[-1] > given[-1]:
                continue
            own.append(bool((right > given).any()))
            others = [bool((o > given).any()) for o in log_prob[:, 3:].T if not (np.isnan(o[-1]) or o[-1] > given[-1])]
            control.append(np.mean(others) if others else np.nan)
        assert each.n == len(own)
        assert each.share.value == pytest.approx(np.mean(own))
        assert each.control.value == pytest.approx(np.nanmean(control))
        assert each.difference.value == pytest.approx(np.nanmean(np.array(own, dtype=float) - np.array(control)))


def test_the_layer_that_differs_is_found_after_correction(reader: SetReader) -> None:
    found = reader.found("made")
    p = np.array([each.p for each in found.statistics], dtype=float)
    q = np.array([each.q for each in found.statistics], dtype=float)
    np.testing.assert_allclose(q, false_discovery_control(p))
    clear = [(each.statistic, each.layer) for each in found.statistics if each.q is not None and each.q < 0.05]
    assert ("FFN norm", 2) in clear
    assert len(clear) <= 3
    for each in found.statistics:
        if (each.statistic, each.layer) == ("FFN norm", 2):
            values = reader.read["statistics"][:, 2, 1].astype(float)
            i, j = reader.pairs.hallucinated, reader.pairs.faithful
            assert each.gap.value == pytest.approx((values[i] - values[j]).mean() / values.std(), rel=1e-5)
            assert each.hallucinated.value == pytest.approx(values[reader.hallucinated].mean())


def test_answers_of_one_kind_are_not_compared() -> None:
    found = made_set(20, one_kind=True).found("made", n_unplaced=3)
    assert found.reason
    assert found.gaps == found.statistics == ()
    assert {each.verdict for each in found.decisions} == {"hallucinated"}
    assert found.n_unplaced == 3
