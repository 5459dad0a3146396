"""Words and tables follow the numbers, also where they turn."""

from __future__ import annotations

import pytest
from tests.report.layers.concepts.synthetic import about, make_concepts, make_steering, spread

from hneurons.layers.concepts.record import Concepts
from hneurons.report.layers.concepts.sentences import (
    angle_sentence,
    means_sentence,
    outside_sentence,
    picture_sentence,
    probe_sentence,
    removal_sentence,
    selectivity_sentence,
    sentences,
    steering_sentence,
)
from hneurons.report.layers.concepts.views import move_lines, probe_lines, transfer_rows


@pytest.fixture(scope="module")
def found() -> Concepts:
    return make_concepts()


def test_probes_are_named_with_their_layer_and_control(found: Concepts) -> None:
    said = probe_sentence(found)
    assert "read after layer 3" in said
    assert "0.800 [0.770, 0.830] on in-domain (permuted labels 0.43 to 0.57)" in said
    assert "On invented all answers are of one kind." in said


def test_selectivity_turns(found: Concepts) -> None:
    assert "BETTER than factuality" in selectivity_sentence(found)
    turned = tuple(
        each if each.selectivity.value is None else each.model_copy(update={"selectivity": about(0.2)})
        for each in found.selectivity
    )
    said = selectivity_sentence(make_concepts(selectivity=turned))
    assert "does better on factuality" in said
    assert "+0.200 [0.170, 0.230] on in-domain" in said
    unsure = tuple(
        each if each.selectivity.value is None else each.model_copy(update={"selectivity": about(0.01)})
        for each in found.selectivity
    )
    assert "does not do better everywhere" in selectivity_sentence(make_concepts(selectivity=unsure))
    never = tuple(each for each in found.selectivity if each.eval_set == "long-tail")
    sets = ("in-domain", "long-tail", "invented")
    none = tuple(each.model_copy(update={"eval_set": name}) for name in sets for each in never)
    assert "could not be asked" in selectivity_sentence(make_concepts(selectivity=none))


def test_the_angle_is_held_against_the_overlap(found: Concepts) -> None:
    assert "more opposed than the overlap" in angle_sentence(found)
    wide = tuple(each.model_copy(update={"together": spread(-0.9, -0.3)}) for each in found.angles)
    assert "no more than the overlap" in angle_sentence(make_concepts(angles=wide))
    low = tuple(each.model_copy(update={"together": spread(-0.95, -0.9)}) for each in found.angles)
    assert "less opposed" in angle_sentence(make_concepts(angles=low))


def test_like_entropy_decides_what_is_said(found: Concepts) -> None:
    assert "so it tells something that entropy and question" in removal_sentence(found)
    none = tuple(each.model_copy(update={"within_gain": about(0.01)}) for each in found.removed)
    assert "NOT shown to tell anything" in removal_sentence(make_concepts(removed=none))


def test_steering_says_whether_the_sign_holds_and_whether_it_helps(found: Concepts) -> None:
    said = steering_sentence(found)
    assert "moves its own reading after the last layer as the sign says, from every layer" in said
    assert "above 0 in no layer and above those directions in no layer" in said
    assert "does NOT move its own reading" in steering_sentence(make_concepts(steering=make_steering(sign=-1)))
    helps = steering_sentence(make_concepts(steering=make_steering(gain=0.4)))
    assert "above 0 in layers 0, 1, 2 and 3" in helps
    assert steering_sentence(make_concepts(steering=None)) == ""


def test_all_sentences_stand(found: Concepts) -> None:
    told = sentences(make_concepts(steering=None, missing={"steering": "there is no faithful answer"}))
    assert told[-1] == "Steering left out: there is no faithful answer."
    assert all(each.endswith(".") and "None" not in each for each in [*sentences(found), picture_sentence(found)])
    assert "0.580 on in-domain (the probe's gain +0.220" in outside_sentence(found)
    assert "held-out training questions" in means_sentence(found)


def test_tables(found: Concepts) -> None:
    lines = probe_lines(found)
    assert len(lines) == 6
    assert (lines[0].concept, lines[0].eval_set, lines[0].layer) == ("factuality", "in-domain", 3)
    assert str(lines[0].logistic) == "0.800 [0.770, 0.830]"
    assert lines[0].control == "75.0%"
    assert lines[2].logistic.why == "all 60 answers are hallucinated"
    names, rows = transfer_rows(found)
    assert names == ["train", "in-domain", "long-tail"]
    assert rows[1][0] == "in-domain"
    assert str(rows[1][1][1]) == "0.700 [0.670, 0.730]"
    moved = move_lines(found)
    assert len(moved) == 8
    assert (moved[0].way, moved[1].way) == ("towards factual", "away")
    assert moved[-1].reading.startswith("−2.000")
