"""Pairs: what agrees exactly, what within the caliper, which pairing is taken, and what the balance says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hneurons.layers.comparison.matching import CALIPER, describe, match
from hneurons.layers.comparison.rows import Rows


def rows_of(
    hallucinated: list[int], n_response: list[int], n_answer: list[int] | None = None, kinds: list[str] | None = None
) -> Rows:
    n = len(hallucinated)
    return Rows(
        hallucinated=np.array(hallucinated, dtype=bool),
        groups=np.array([f"q{row}" for row in range(n)]),
        kinds=np.array(kinds or ["k"] * n),
        n_answer=np.array(n_answer or [1] * n),
        n_response=np.array(n_response),
        said=np.zeros(n, dtype=np.int64),
    )


def random_rows(n: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    hallucinated = random.random(n) < 0.5
    return Rows(
        hallucinated=hallucinated,
        groups=random.integers(0, 2 * n, n),
        kinds=np.where(random.random(n) < 0.3 + 0.4 * hallucinated, "a", "b"),
        n_answer=random.integers(1, 4, n) + hallucinated,
        n_response=random.integers(5, 20, n),
        said=random.integers(0, 9, n),
    )


def test_pairs_agree_in_all_that_is_matched_and_use_no_row_twice() -> None:
    rows = random_rows(300, 0)
    pairs = match(rows)
    assert len(pairs) > 30
    assert len(set(rows.groups[pairs.ravel()].tolist())) == pairs.size
    assert not rows.hallucinated[pairs[:, 0]].any()
    assert rows.hallucinated[pairs[:, 1]].all()
    for faithful, hallucinated in pairs:
        assert rows.kinds[faithful] == rows.kinds[hallucinated]
        assert rows.n_answer[faithful] == rows.n_answer[hallucinated]
        lengths = sorted([rows.n_response[faithful], rows.n_response[hallucinated]])
        assert lengths[1] / lengths[0] <= CALIPER + 1e-9
    loose = np.column_stack([np.flatnonzero(~rows.hallucinated)[:40], np.flatnonzero(rows.hallucinated)[:40]])
    assert (rows.kinds[loose[:, 0]] != rows.kinds[loose[:, 1]]).any()  # without matching, these would not agree


@pytest.mark.parametrize("seed", range(6))
def test_most_pairs_and_least_difference(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = rows_of([0] * 4 + [1] * 5, [int(n) for n in random.integers(8, 14, 9)])
    best: list[tuple[int, float]] = []
    for order in itertools.permutations(range(4, 9), 4):
        gaps = [abs(np.log(rows.n_response[a] / rows.n_response[b])) for a, b in enumerate(order)]
        allowed = [gap for gap in gaps if gap <= np.log(CALIPER)]
        best.append((-len(allowed), sum(allowed)))
    pairs = match(rows, seed)
    reached = np.abs(np.log(rows.n_response[pairs[:, 0]] / rows.n_response[pairs[:, 1]])).sum()
    assert -len(pairs) == min(best)[0]
    assert reached == pytest.approx(min(best)[1])


def test_the_seed_decides_among_equals() -> None:
    rows = rows_of([0] * 3 + [1] * 30, [9] * 33)
    assert np.array_equal(match(rows, 1), match(rows, 1))
    assert len({match(rows, seed).tobytes() for seed in range(5)}) > 1


def test_nothing_in_common_gives_no_pair() -> None:
    rows = rows_of([0, 0, 1, 1], [9, 9, 9, 9], kinds=["a", "a", "b", "b"])
    assert match(rows).shape == (0, 2)
    found = describe(rows, match(rows))
    assert (found.n_pairs, found.n_strata, found.after) == (0, 0, ())


def test_balance_by_hand() -> None:
    rows = rows_of([0, 0, 0, 1, 1], [8, 8, 10, 8, 20], [1, 1, 2, 1, 2], ["a", "a", "b", "a", "a"])
    pairs = match(rows)
    assert len(pairs) == 1
    found = describe(rows, pairs)
    before = {each.name: each for each in found.before}
    assert before["response tokens"].faithful == pytest.approx(26 / 3)
    assert before["response tokens"].hallucinated == 14
    variances = np.var([8, 8, 10]), np.var([8, 20])
    assert before["response tokens"].smd == pytest.approx((14 - 26 / 3) / np.sqrt(sum(variances) / 2))
    assert before["kind: b"].faithful == pytest.approx(1 / 3)
    after = {each.name: each for each in found.after}
    assert after["response tokens"].smd is None  # one answer of either kind: nothing varies
    assert after["answer tokens"].faithful == after["answer tokens"].hallucinated == 1
    assert (found.n_strata, found.same_length) == (1, 1)


def test_of_a_group_one_answer_is_used() -> None:
    rows = rows_of([0, 1] * 20, [9] * 40)
    rows.groups[:] = np.repeat([f"q{i:02d}" for i in range(10)], 4)
    pairs = match(rows)
    assert 1 <= len(pairs) <= 5
    assert len(set(rows.groups[pairs.ravel()])) == pairs.size
