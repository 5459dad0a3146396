"""Pairs: alike but for their subject, no question twice, and who has none is counted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.layers.causality.alike import SEGMENTS, made

from hneurons.layers.answered import Fork
from hneurons.layers.causality.pairs import GROUPS, Pair, chosen, find_pairs, groups_of


def test_a_pair_is_alike_but_for_its_subject_and_says_two_things() -> None:
    (pair,), unpaired = find_pairs([made(0, True)], [made(1, False)])
    assert unpaired == {}
    assert pair.answers == (8, 7)
    assert pair.clean_input.token_ids == (1, 50, 110, 111, 112, 113, 51, 90, 70, 111, 112, 80, 81)
    assert pair.corrupt_input.token_ids == (1, 50, 100, 101, 102, 103, 51, 90, 70, 101, 102, 80, 81)
    assert pair.groups == {
        "subject first": (2,),
        "subject middle": (3, 4),
        "subject last": (5,),
        "question": (6,),
        "template": (7,),
        "name": (9, 10),
        "said": (8, 11),
        "last": (12,),
    }
    assert pair.mentions == (2, 3, 4, 5, 9, 10)
    noisy = pair.noisy_input(0.5, 2, 3)
    assert noisy.token_ids == pair.clean_input.token_ids
    assert noisy.noise is not None
    assert (noisy.noise.positions, noisy.noise.draw, noisy.noise.seed) == (pair.mentions, 2, 3)


def test_groups_cover_every_token_from_the_subject_on_once() -> None:
    groups = groups_of(made(1, False), made(0, True))
    assert sorted(position for own in groups.values() for position in own) == list(range(2, 13))
    one = dataclasses.replace(
        made(0, True),
        segments=("first", "question", *["template"] * 3, "subject", "question", "template"),
        fork=Fork(0, 70, 3),
    )
    assert groups_of(one, one) == {"subject last": (5,), "question": (6,), "last": (7,)}
    assert set(groups) <= set(GROUPS)


ALONE = "no faithful answer of this wording and length"
TAKEN = "every such answer says the same or is taken"


@pytest.mark.parametrize(
    ("partner", "reason"),
    [
        ({"kind": "river"}, ALONE),
        ({"prompt_ids": (1, 55, 110, 111, 112, 113, 51, 90)}, ALONE),
        ({"prompt_ids": (1, 50, 110, 111, 112, 113, 51, 90, 90), "segments": (*SEGMENTS, "template")}, ALONE),
        ({"fork": Fork(4, 81, None)}, ALONE),
        ({"fork": None}, ALONE),
        ({"response_ids": (70, 111, 112, 80, 81, 7, 9)}, TAKEN),
        ({"group": "g0"}, TAKEN),
    ],
)
def test_what_differs_in_more_than_its_subject_is_no_partner(partner: dict[str, Any], reason: str) -> None:
    pairs, unpaired = find_pairs([made(0, True)], [made(1, False, **partner)])
    assert pairs == []
    assert unpaired == {reason: 1}


def test_who_cannot_be_paired_is_counted_by_reason_and_no_question_is_used_twice() -> None:
    hallucinated = [made(n, True) for n in range(4)]
    hallucinated += [
        made(4, True, fork=None),
        made(5, True, segments=tuple("question" if each == "subject" else each for each in SEGMENTS)),
        made(6, True, group="g0"),
    ]
    faithful = [made(10, False), made(11, False), made(12, False, group="g10")]
    pairs, unpaired = find_pairs(hallucinated, faithful, seed=1)
    assert len(pairs) == 2
    groups = [group for pair in pairs for group in (pair.clean.group, pair.corrupt.group)]
    assert len(set(groups)) == 4
    assert unpaired["given and right answer part nowhere"] == 1
    assert unpaired["no subject is known"] == 1
    assert sum(unpaired.values()) + len(pairs) == len(hallucinated)
    again = find_pairs(hallucinated[::-1], faithful[::-1], seed=1)
    assert [pair.key for pair in again[0]] == [pair.key for pair in pairs]
    assert {find_pairs(hallucinated, faithful, seed=s)[0][0].key for s in range(8)} != {pairs[0].key}
    used = {"g10"}
    assert len(find_pairs(hallucinated, faithful, seed=1, used=used)[0]) == 1
    assert len(used) == 3


def test_sets_take_turns() -> None:
    def pair(n: int) -> Pair:
        return find_pairs([made(n, True)], [made(n + 50, False)])[0][0]

    many, few = [pair(n) for n in range(5)], [pair(10)]
    found = chosen({"a": many, "b": few, "c": []}, 4)
    assert [name for name, _ in found] == ["a", "b", "a", "a"]
    assert [own.key for name, own in chosen({"a": many}, 2)] == [own.key for name, own in found if name == "a"][:2]
