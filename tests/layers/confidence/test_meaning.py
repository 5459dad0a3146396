"""Meanings, and semantic entropy by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.errors import ResponseError
from hneurons.layers.confidence.meaning import (
    AGREEMENT,
    DECLINED,
    LIKENESS,
    MAJORITY,
    SEMANTIC,
    WORDINGS,
    cluster,
    figures,
    likeness,
    same_meaning,
    semantic_entropy,
)

ASKED = "In which country is Aalborg?"
SAID = [
    "Aalborg is in Denmark.",
    "It is in Denmark.",
    "Denmark",
    "Aalborg is in Norway.",
    "I don't know.",
    "I do not know where Aalborg is.",
]


def test_wordings_of_one_answer_are_one_meaning() -> None:
    found = cluster(ASKED, SAID)
    assert found.meanings.tolist() == [0, 0, 0, 1, 2, 2]
    assert found.wordings.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.declined == 2


def test_semantic_entropy_by_hand() -> None:
    shares = np.array([3, 1, 2]) / 6
    by_hand = float(-(shares * np.log(shares)).sum())
    found = cluster(ASKED, SAID)
    assert semantic_entropy(found) == pytest.approx(by_hand)
    assert semantic_entropy(found) != pytest.approx(np.log(6))  # the entropy of wordings is another
    assert semantic_entropy(cluster(ASKED, ["Denmark", "It is in Denmark."])) == 0
    assert semantic_entropy(cluster(ASKED, ["Denmark", "Norway", "Denmark", "Norway"])) == pytest.approx(np.log(2))


def test_the_other_figures_by_hand() -> None:
    found = figures(cluster(ASKED, ["Norway", *SAID[:3], SAID[4]]))
    assert found[AGREEMENT] == pytest.approx(4 / 5)  # the first answer stands alone
    assert found[MAJORITY] == pytest.approx(2 / 5)
    assert found[WORDINGS] == pytest.approx(4 / 5)
    assert found[DECLINED] == pytest.approx(1 / 5)
    assert set(figures(cluster(ASKED, SAID), SEMANTIC)) == {SEMANTIC}


def test_meaning_is_given_in_both_directions() -> None:
    assert same_meaning("Aalborg is in Denmark.", "DENMARK!", ASKED)
    assert not same_meaning("Aalborg is in Denmark.", "Aalborg is in Sweden.", ASKED)
    assert not same_meaning("It is not Denmark.", "Denmark", ASKED)  # names it, only to rule it out
    assert not same_meaning("Denmark", "", ASKED)
    assert not same_meaning("Denmark", "I don't know.", ASKED)


def test_fewer_samples_are_the_first_ones() -> None:
    found = cluster(ASKED, SAID)
    for k in range(1, 7):
        short = cluster(ASKED, SAID[:k])
        assert figures(found.first(k)) == pytest.approx(figures(short))
        assert found.first(k).declined == short.declined


def test_likeness_is_rouge_l() -> None:
    assert likeness("big cat sat", "big cat ran") == pytest.approx(2 / 3)
    assert likeness("w x y z", "z y x w") == pytest.approx(1 / 4)  # a subsequence keeps the order
    assert likeness("Denmark", "denmark") == 1
    texts = ["one two", "one two", "one three"]
    assert 1 - figures(cluster("Which?", texts))[LIKENESS] == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_no_sample_is_refused() -> None:
    with pytest.raises(ResponseError, match="no sample"):
        cluster(ASKED, [])
