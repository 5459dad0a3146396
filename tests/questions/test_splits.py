"""Splits keep groups whole, keep their promises about fractions, and do not move when questions are added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hneurons.errors import QuestionSetError
from hneurons.questions import Question, assert_disjoint, split_by_group

FRACTIONS = {"train": 0.6, "choice": 0.2, "test": 0.2}

groups = st.lists(st.one_of(st.just(""), st.text(min_size=1, max_size=3)), max_size=60)
seeds = st.integers(-5, 5)


def questions(names: list[str]) -> tuple[Question, ...]:
    return tuple(Question(id=f"q{n}", text=f"{n}?", aliases=("x",), group=name) for n, name in enumerate(names))


@given(groups, seeds)
def test_no_group_is_in_two_parts_and_no_question_is_lost(names: list[str], seed: int) -> None:
    whole = questions(names)
    parts = split_by_group(whole, FRACTIONS, seed)
    assert list(parts) == list(FRACTIONS)
    assert_disjoint(parts)
    part_of = {question.id: name for name, part in parts.items() for question in part}
    assert sorted(part_of) == sorted(question.id for question in whole)
    assert sum(map(len, parts.values())) == len(whole)
    for one in whole:
        for other in whole:
            assert one.split_key != other.split_key or part_of[one.id] == part_of[other.id]
    for part in parts.values():
        assert list(part) == [question for question in whole if question in part], "the order is kept"


@given(groups, seeds, st.data())
def test_adding_removing_and_reordering_move_nothing(names: list[str], seed: int, data: st.DataObject) -> None:
    whole = questions(names)
    some = data.draw(
        st.permutations(data.draw(st.lists(st.sampled_from(whole), unique_by=id) if whole else st.just([])))
    )
    of_whole = {question.id: name for name, part in split_by_group(whole, FRACTIONS, seed).items() for question in part}
    of_some = {question.id: name for name, part in split_by_group(some, FRACTIONS, seed).items() for question in part}
    assert of_some.items() <= of_whole.items()


def test_fractions_hold_for_many_groups() -> None:
    """Within four standard deviations of a binomial, for several seeds."""
    n = 4000
    whole = questions([""] * n)
    for seed in range(5):
        parts = split_by_group(whole, FRACTIONS, seed)
        for name, fraction in FRACTIONS.items():
            deviation = (n * fraction * (1 - fraction)) ** 0.5
            assert abs(len(parts[name]) - n * fraction) < 4 * deviation


def test_seeds_split_independently() -> None:
    """Two seeds agree on a half by chance only: on a quarter of the questions in both trains, and so on."""
    whole = questions([""] * 4000)
    one, other = (
        {question.id for question in split_by_group(whole, {"a": 0.5, "b": 0.5}, seed)["a"]} for seed in (0, 1)
    )
    assert abs(len(one & other) - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5


def test_the_split_of_a_seed_never_changes() -> None:
    """Written down, for a run must find the same parts with a later version."""
    parts = split_by_group(questions([""] * 12), FRACTIONS, seed=0)
    assert {name: [question.id for question in part] for name, part in parts.items()} == EXPECTED


EXPECTED = {
    "train": ["q0", "q3", "q5", "q6", "q7", "q8", "q9", "q10", "q11"],
    "choice": [],
    "test": ["q1", "q2", "q4"],
}


@pytest.mark.parametrize(
    "fractions",
    [{}, {"a": 0.5}, {"a": 0.5, "b": 0.6}, {"a": 1.0, "b": 0.0}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}],
)
def test_fractions_that_are_none_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(QuestionSetError, match="must be positive and add up to 1"):
        split_by_group(questions(["a"]), fractions)


def test_fractions_may_miss_1_by_rounding() -> None:
    parts = split_by_group(questions([""] * 300), {str(n): 0.1 for n in range(10)})
    assert sum(map(len, parts.values())) == 300


def test_shared_groups_are_found() -> None:
    a, b, c = questions(["x", "y", "x"])
    assert_disjoint({"train": [a, c], "test": [b]})
    with pytest.raises(QuestionSetError, match=r"more than one part: 1 \('x' is in train and test\); split by group"):
        assert_disjoint({"train": [a], "test": [b, c]})
    with pytest.raises(QuestionSetError, match="part: 2"):
        assert_disjoint({"train": [a, b], "choice": [], "test": [a, b]})
