"""Which answers are ablated, and which runs are unrelated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.layers.causality.given import given_answer

from hneurons.layers.answered import Answered
from hneurons.layers.causality.choosing import balanced, contrasts
from hneurons.layers.causality.pairs import Pair, groups_of


def answered(key: str, kind: str, hallucinated: bool, correct: int | None = 9, length: int = 6) -> Answered:
    made = given_answer(
        list(range(20, 20 + length)),
        [50, 60, 70],
        1,
        correct if hallucinated else None,
        key=key,
        hallucinated=hallucinated,
    )
    return replace(made, kind=kind)


def test_either_verdict_is_as_frequent_for_every_kind_of_question() -> None:
    answers = [answered(f"h{i}#0", "land" if i < 9 else "time", True) for i in range(12)]
    answers += [answered(f"f{i}#0", "land" if i < 4 else "time", False) for i in range(20)]
    found = balanced(answers, 100)
    assert Counter((each.kind, each.hallucinated) for each in found) == {
        ("land", True): 4,
        ("land", False): 4,
        ("time", True): 3,
        ("time", False): 3,
    }
    few = balanced(answers, 3)
    assert [each.hallucinated for each in few] == [True, False] * 3
    assert Counter(each.kind for each in few) == {"land": 4, "time": 2}  # kinds take turns
    assert balanced(answers, 100, seed=1) != found
    assert balanced(answers[:12], 5) == []


def test_answers_that_part_from_nothing_are_not_ablated() -> None:
    answers = [answered("h0#0", "", True, None), answered("h1#0", "", True), answered("f0#0", "", False)]
    assert {each.key for each in balanced(answers, 5)} == {"h1#0", "f0#0"}
    assert balanced([replace(each, fork=None) for each in answers], 5) == []


def pair(number: int, token: int, length: int = 6, kind: str = "") -> Pair:
    """Clean answers with `token`; position 2 is the subject, 3 of the response repeats nothing."""
    segments = ("first", "question", "subject", *["question"] * (length - 3))
    prompt = list(range(20, 20 + length))
    clean = replace(given_answer(prompt, [50, token], 1, key=f"c{number}#0"), segments=segments, kind=kind)
    prompt[2] = 90 + number
    corrupt = replace(given_answer(prompt, [50, 3], 1, 9, key=f"k{number}#0"), segments=segments, kind=kind)
    return Pair(clean, corrupt, groups_of(clean, corrupt))


def test_an_unrelated_run_says_neither_answer_and_is_as_long() -> None:
    pairs = [pair(0, 60), pair(1, 60), pair(2, 61, 7), pair(3, 62, kind="other"), pair(4, 63), pair(5, 3)]
    found = contrasts(pairs)
    assert found[0].unrelated is not None
    assert found[0].unrelated == pairs[4].clean_input  # not 1 (same answer), 2 (longer), 3 (other kind), 5 (corrupt's)
    assert contrasts(pairs[:4])[0].unrelated == pairs[3].clean_input
    assert contrasts(pairs[:3])[0].unrelated is None
    assert found[0].answers == (60, 3)
    assert found[0].group == "k0#0"


def test_the_tokens_of_a_contrast_stand_for_each_other() -> None:
    (found,) = contrasts([pair(0, 60)])
    assert found.clean.token_ids == (20, 21, 22, 23, 24, 25, 50)
    assert found.corrupt.token_ids == (20, 21, 90, 23, 24, 25, 50)
    assert {where: spots.clean for where, spots in found.spots.items()} == {
        "all": tuple(range(7)),
        "subject": (2,),
        "last": (6,),
    }
    assert all(spots.clean == spots.corrupt == spots.unrelated for spots in found.spots.values())
