"""Thresholds: the bound against scipy, the promise by simulation, and what an abstention says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest

from hneurons.errors import CorruptRunError, ProbeError
from hneurons.layers.confidence.abstaining import (
    Abstention,
    choose_threshold,
    clopper_pearson,
    one_each,
    outcome,
    verdict,
)
from hneurons.probes.bootstrap import Estimate


def test_the_bound_is_clopper_and_pearsons() -> None:
    for wrong, n in ((0, 10), (3, 40), (9, 10), (20, 434)):
        bound = clopper_pearson(wrong, n, 0.95)
        two_sided = binomtest(wrong, n).proportion_ci(0.9, method="exact").high
        assert bound == pytest.approx(two_sided)
        assert bound == pytest.approx(beta.ppf(0.95, wrong + 1, n - wrong))
        assert binom.cdf(wrong, n, bound) == pytest.approx(0.05)
    assert clopper_pearson(10, 10, 0.95) == 1.0
    assert clopper_pearson(3, 40, 0.95) != pytest.approx(binomtest(3, 40).proportion_ci(0.95, method="exact").high)


def broken(guaranteed: bool, repetitions: int = 100, n: int = 150, risk: float = 0.2) -> float:
    """How often the true risk at the threshold is above the target, where answers of score s are wrong with s."""
    count = 0
    for seed in range(repetitions):
        random = np.random.default_rng(seed)
        scores = random.random(n)
        found = choose_threshold(scores, random.random(n) < scores, risk, confidence=0.9, guaranteed=guaranteed)
        count += found.threshold is not None and found.threshold / 2 > risk  # the mean of s below the threshold
    return count / repetitions


def test_the_promise_is_kept_and_a_threshold_without_bound_breaks_it() -> None:
    assert broken(True) <= 0.1
    assert broken(False) > 0.3


def test_a_promise_of_noise_is_not_given() -> None:
    """Of 50 draws of scores that say nothing, on answers of which 30% are wrong, hardly one is promised 20%."""
    given = 0
    for seed in range(50):
        random = np.random.default_rng(seed)
        given += choose_threshold(random.random(200), random.random(200) < 0.3, 0.2).threshold is not None
    assert given <= 2


def test_thresholds_give_the_most_that_they_may() -> None:
    scores, wrong = np.arange(200) / 200, np.arange(200) >= 150
    found = choose_threshold(scores, wrong, 0.1, detector="d")
    given = round(found.coverage * 200)
    assert found.threshold == pytest.approx(scores[given])  # the next answer is the first that is held back
    assert found.bound is not None
    assert found.bound <= 0.1
    level = 1 - 0.05 / 5
    assert clopper_pearson(max(0, given - 150), given, level) == pytest.approx(found.bound)
    assert clopper_pearson(max(0, given + 1 - 150), given + 1, level) > 0.1
    plain = choose_threshold(scores, wrong, 0.1, guaranteed=False)
    assert round(plain.coverage * 200) == 166  # 16 of 166 are wrong, and 17 of 167 are more than a tenth
    assert plain.bound is None


def test_tied_scores_are_given_or_held_back_together() -> None:
    scores, wrong = np.repeat([0.1, 0.5, 0.9], 100), np.repeat([False, False, True], 100)
    found = choose_threshold(scores, wrong, 0.1)
    assert found.threshold == 0.9
    assert found.coverage == pytest.approx(2 / 3)
    none = choose_threshold(np.zeros(50), np.zeros(50, dtype=bool), 0.1)
    assert none.threshold is None  # nothing sets one answer apart from another


def test_what_a_threshold_does() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    y = np.array([False, False, True, False, True, True, False, True])
    choice = choose_threshold(np.arange(100) / 100, np.arange(100) >= 50, 0.2, detector="d", guaranteed=False)
    choice = choice.model_copy(update={"threshold": 0.5})
    done = outcome("set", choice, scores, y, np.arange(8), resamples=50)
    found = [each.value for each in (done.coverage, done.risk, done.stopped, done.lost)]
    assert found == pytest.approx([4 / 8, 1 / 4, 3 / 4, 1 / 4])
    silent = outcome("set", choice.model_copy(update={"threshold": None}), scores, y, np.arange(8), resamples=50)
    assert (silent.met, silent.risk.value, silent.coverage.value) == ("silent", None, 0.0)


def test_the_half_that_a_threshold_comes_from_is_not_the_one_it_is_tried_on() -> None:
    """Scores that are right about every answer, but for groups whose members are wrong the other way: no leak helps."""
    random = np.random.default_rng(0)
    y = random.random(2000) < 0.5
    choice = choose_threshold(random.random(100), random.random(100) < 0.5, 0.2, guaranteed=False)
    risks = []
    for seed in range(5):
        done = outcome("set", choice, random.random(2000), y, np.arange(2000) // 2, resamples=10, seed=seed)
        risks.append(done.own_risk.value)
    known = [risk for risk in risks if risk is not None]
    assert not known or np.mean(known) > 0.3  # chosen and tried on the same answers, it would be 0.2 or less


def test_verdicts() -> None:
    def estimate(low: float, high: float) -> Estimate:
        return Estimate(value=(low + high) / 2, low=low, high=high)

    assert verdict(estimate(0.05, 0.2), 0.2) == "met"
    assert verdict(estimate(0.1, 0.21), 0.2) == "open"
    assert verdict(estimate(0.21, 0.3), 0.2) == "missed"
    assert verdict(Estimate(value=None, low=None, high=None), 0.2) == "silent"


def test_one_answer_of_each_group() -> None:
    groups = np.array(["a", "a", "b", "c", "c", "c"])
    chosen = one_each(groups, 3)
    assert sorted(groups[chosen]) == ["a", "b", "c"]
    assert len({tuple(one_each(groups, seed)) for seed in range(20)}) > 1


def test_an_abstention_holds_back_what_reaches_its_threshold(tmp_path: Path) -> None:
    made = Abstention(detector="entropy", threshold=0.4, risk=0.1, confidence=0.95)
    assert made.replace("Paris.", 0.39) == "Paris."
    assert made.replace("Paris.", 0.4) == "I don't know."
    assert made.replace("Paris.", float("nan")) == "I don't know."
    made.save(tmp_path / "abstention.json")
    assert Abstention.load(tmp_path / "abstention.json") == made
    silent = made.model_copy(update={"threshold": None, "says": "Not sure."})
    assert silent.replace("Paris.", 0.0) == "Not sure."
    (tmp_path / "abstention.json").write_text('{"threshold": 0.4}')
    with pytest.raises(CorruptRunError, match="no abstention"):
        Abstention.load(tmp_path / "abstention.json")


def test_what_cannot_be_chosen_from_is_refused() -> None:
    with pytest.raises(ProbeError, match="finite score"):
        choose_threshold(np.array([0.1, np.nan]), np.array([True, False]), 0.1)
    with pytest.raises(ProbeError, match="between 0 and 1"):
        choose_threshold(np.array([0.1]), np.array([True]), 1.5)
