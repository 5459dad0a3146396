"""Decisions and what came before them, against loops over depths."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.layers.tracking.decision import (
    decided_at,
    last_ahead,
    leads_all,
    leads_rivals,
    other_answers,
    was_ahead,
)


def naive_decided(leads: list[bool]) -> int:
    for depth in range(len(leads)):
        if all(leads[depth:]):
            return depth
    return -1


def test_the_decision_is_the_start_of_the_last_lead() -> None:
    random = np.random.default_rng(0)
    leads = random.random((200, 6)) < 0.6
    found = decided_at(leads)
    assert found.tolist() == [naive_decided(row.tolist()) for row in leads]
    assert found.tolist() != [
        int(row.argmax()) if row.any() else -1 for row in leads
    ]  # the first lead is another thing
    assert decided_at(np.array([[True, True], [False, True], [True, False]])).tolist() == [0, 1, -1]


def test_leads() -> None:
    assert leads_all(np.array([[1, 2], [3, 1]])).tolist() == [[True, False], [False, True]]
    given = np.array([[-1.0, -2.0]])
    rivals = np.array([[[-2.0, np.nan], [-1.5, np.nan]]])
    assert leads_rivals(given, rivals).tolist() == [[True, False]]


def test_ahead_counts_only_those_that_end_behind() -> None:
    random = np.random.default_rng(1)
    given, others = random.normal(size=(100, 5)), random.normal(size=(100, 5, 3))
    others[:5, :, 0] = np.nan
    found = was_ahead(given, others)
    for row in range(100):
        for other in range(3):
            path = others[row, :, other]
            if np.isnan(path[-1]) or path[-1] > given[row, -1]:
                assert np.isnan(found[row, other])
            else:
                assert found[row, other] == any(path[d] > given[row, d] for d in range(5))
    last = last_ahead(given, others[:, :, 1])
    for row in range(100):
        before = [d for d in range(5) if others[row, d, 1] > given[row, d]]
        assert last[row] == (before[-1] if before else -1)


def test_controls_are_right_answers_to_other_questions_of_the_kind() -> None:
    keys = [f"q{i}" for i in range(40)]
    kinds = ["city" if i % 2 else "coin" for i in range(40)]
    correct: list[int | None] = [None if i % 5 == 0 else 100 + i % 4 + 10 * (i % 2) for i in range(40)]
    given = [100 + i % 3 + 10 * (i % 2) for i in range(40)]
    found = other_answers(keys, kinds, given, correct, draws=4)
    for i in range(40):
        drawn = set(found[i].tolist()) - {-1}
        assert correct[i] is not None or not drawn
        assert not drawn & {given[i], correct[i]}
        assert drawn <= {correct[j] for j in range(40) if kinds[j] == kinds[i] and j != i}
    assert (found[1] >= 0).all()
    assert np.array_equal(found, other_answers(keys, kinds, given, correct, draws=4))
    alone = other_answers(["a"], ["x"], [1], [2])
    assert (alone == -1).all()


@pytest.mark.parametrize("depths", [1, 2])
def test_one_or_two_depths(depths: int) -> None:
    assert decided_at(np.ones((1, depths), dtype=bool)).tolist() == [0]
