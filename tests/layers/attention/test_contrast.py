"""A planted difference is found, chosen and confirmed; permuted labels and differences of kinds of question are not."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.errors import NotEnoughDataError
from hneurons.layers.attention.contrast import LEVEL, Draws, contrast, halves_of
from hneurons.layers.attention.handing import Implementation
from hneurons.layers.attention.record import Contrast, agree, differs
from hneurons.layers.attention.weights import ATTENDED, Shares

N, LAYERS, HEADS = 240, 3, 2
DRAWS = Draws(bootstrap=100, permutations=100)
TEMPLATE, SUBJECT, CONTEXT = (ATTENDED.index(name) for name in ("template", "subject", "context"))
RANDOM = np.random.default_rng(0)
SECOND = np.arange(N) % 2 == 1
GROUPS = np.array([f"g{i // 2}" for i in range(N)])  # one of either kind in each
STRATA = np.array(["a", "b"])[RANDOM.integers(0, 2, N)]


def shares(effect: float = 0.0, seed: int = 0) -> Shares:
    """Random shares on all segments but the context; head 1 of layer 2 looks more at the subject in the second kind."""
    random = np.random.default_rng(seed)
    share = random.dirichlet(np.full(len(ATTENDED), 5.0), (N, LAYERS, HEADS))
    share[SECOND, 2, 1, SUBJECT] += effect
    share[SECOND, 2, 1, TEMPLATE] -= effect
    share[..., 0] += share[..., CONTEXT]
    share[..., CONTEXT] = 0
    uniform = random.dirichlet(np.full(len(ATTENDED), 50.0), (N, LAYERS))
    uniform[..., 0] += uniform[..., CONTEXT]
    uniform[..., CONTEXT] = 0
    entropy = random.random((N, LAYERS, HEADS))
    return Shares((0, 1, 2), Implementation("sdpa", "eager"), share, uniform, entropy, np.full((N, LAYERS), 2.0))


def found(given: Shares, second: np.ndarray = SECOND, strata: np.ndarray = STRATA, **more: object) -> Contrast:
    names = {"name": "answers", "title": "Answers", "kinds": ("faithful", "hallucinated")}
    return contrast(given, second, strata, GROUPS, draws=DRAWS, **names, **more)  # type: ignore[arg-type]


def test_a_planted_head_is_found_and_confirmed_on_other_groups() -> None:
    given = shares(effect=0.12)
    made = found(given, sets=np.array(["one", "two"])[(np.arange(N) // 2) % 2])
    lift, share, entropy = made.tests
    assert (lift.measure, share.measure, entropy.measure) == ("lift", "share", "entropy")
    assert [each.segment for each in lift.differences] == ["first", "template", "question", "subject", "response"]
    assert lift.n_tests == LAYERS * HEADS * 5
    assert entropy.n_tests == LAYERS * HEADS
    assert agree(made, "subject", LEVEL) == ((0, 0), (0, 0), (0, 1))
    assert agree(made, "template", LEVEL) == ((0, 0), (0, 0), (0, -1))
    assert made.n_both >= 2
    assert sum(map(abs, sum(differs(entropy, "", LEVEL), ()))) == entropy.n_different == 0
    assert lift.permuted.mean < 0.5 < lift.n_different
    halves = lift.halves
    assert halves is not None
    assert halves.n_choose + halves.n_measure == N
    strongest = halves.heads[0]
    assert (strongest.layer, strongest.head) == (2, 1)
    assert strongest.segment in ("subject", "template")
    assert strongest.confirmed
    assert halves.kept == pytest.approx(1, abs=0.4)
    # the held-out difference is that of the other half alone
    mine = ~halves_of(GROUPS, 0)
    place = ATTENDED.index(strongest.segment)
    rows = given.lift[:, 2, 1, place]
    weighted, weights = 0.0, 0.0
    for name in "ab":
        own = mine & (name == STRATA)
        n1, n0 = (own & SECOND).sum(), (own & ~SECOND).sum()
        weighted += n1 * n0 / (n1 + n0) * (rows[own & SECOND].mean() - rows[own & ~SECOND].mean())
        weights += n1 * n0 / (n1 + n0)
    assert strongest.held_out.value == pytest.approx(weighted / weights)
    assert [(each.eval_set, each.n_first, each.n_second) for each in made.sets] == [("one", 60, 60), ("two", 60, 60)]
    mean = given.lift[..., SUBJECT].mean(axis=(1, 2))
    assert made.whole.shares[3].lift.value == pytest.approx(float(_stratified(mean)))
    assert made.layers[2].shares[3].lift.value == pytest.approx(
        float(_stratified(given.lift[:, 2, :, SUBJECT].mean(axis=1)))
    )
    for each in (made.whole, *made.layers):
        assert sum(own.first for own in each.shares) == pytest.approx(1)
        assert sum(own.second_uniform for own in each.shares) == pytest.approx(1)
        for own in each.shares:
            assert own.second - own.first == pytest.approx(own.share.value)
            assert own.second - own.second_uniform - own.first + own.first_uniform == pytest.approx(own.lift.value)


def _stratified(values: np.ndarray) -> float:
    dummies = (STRATA[:, None] == np.array(["a", "b"])).astype(float)
    return float(np.linalg.lstsq(np.column_stack([SECOND, dummies]), values, rcond=None)[0][0])


def test_nothing_is_found_where_nothing_is() -> None:
    made = found(shares(seed=1))
    assert [tests.n_different for tests in made.tests] == [0, 0, 0]
    assert all(tests.halves is not None and tests.halves.n_chosen == 0 for tests in made.tests)
    assert all(tests.halves.kept is None for tests in made.tests if tests.halves)


def test_a_difference_of_kinds_of_question_is_none_of_answers() -> None:
    random = np.random.default_rng(2)
    given = shares(seed=2)
    second = random.random(N) < np.where(STRATA == "a", 0.2, 0.8)
    given.share[STRATA == "a", 0, 0, SUBJECT] += 0.2
    assert found(given, second).n_both == 0
    without = found(given, second, np.array(["all"] * N))
    assert agree(without, "subject", LEVEL)[0][0] == -1  # the wrong comparison finds it


def test_a_stratum_of_one_kind_is_left_out_and_counted() -> None:
    strata = STRATA.astype("<U5")
    strata[SECOND & (np.arange(N) < 40)] = "alone"
    made = found(shares(), strata=strata, left_out={"refusal": 3})
    assert made.left_out == {"refusal": 3, "one_kind_in_its_stratum": 20}
    assert (made.n_first, made.n_second) == (120, 100)
    assert made.strata == ("a", "b")
    with pytest.raises(NotEnoughDataError, match="Answers: 0 and 0 that can be compared"):
        found(shares(), strata=SECOND.astype(str))


def test_a_half_may_be_too_small() -> None:
    few = np.flatnonzero(~SECOND | (np.arange(N) < 30))
    given = shares()
    own = Shares(given.layers, given.implementation, given.share[few], given.uniform[few], given.entropy[few],
                 given.uniform_entropy[few])  # fmt: skip
    made = contrast(own, SECOND[few], STRATA[few], GROUPS[few], name="x", title="X", kinds=("a", "b"), draws=DRAWS)
    assert all(tests.halves is None and "fewer than 10" in tests.reason for tests in made.tests)
