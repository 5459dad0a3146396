"""Accuracy and confidence by familiarity, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.layers.confidence.boundary import AskedQuestion, boundary
from hneurons.probes.answers import Answers


def answers(sure: list[float], hallucinated: list[bool]) -> Answers:
    """Answers of one token each, of these probabilities."""
    return Answers(
        name="set",
        hallucinated=np.array(hallucinated),
        groups=np.arange(len(sure)),
        contributions=np.zeros((len(sure), 1), dtype=np.float32),
        n_answer=np.ones(len(sure), dtype=np.int64),
        log_prob=np.log(sure),
    )


def test_every_question_counts_for_accuracy_and_every_used_answer_for_confidence() -> None:
    asked = [
        AskedQuestion("0", "a", "incorrect"),
        AskedQuestion("0", "b", "refusal"),
        AskedQuestion("0", "c", "correct"),
        AskedQuestion("0", "d", "incorrect"),
        AskedQuestion("5-10", "e", "correct"),
        AskedQuestion("5-10", "f", "correct"),
        AskedQuestion("20-50", "g", "correct"),
    ]
    used = answers([0.9, 0.3, 0.5, 0.8], [True, True, False, False])
    found = boundary("set", "read", asked, used, ["0", "0", "0", "5-10"], resamples=20)
    assert found is not None
    assert [each.value for each in found.levels] == ["0", "5-10", "20-50"]  # by number, not by letter
    first, second, last = found.levels
    assert [each.value for each in (first.right, first.wrong, first.declined)] == [0.25, 0.5, 0.25]
    assert (first.n_right, first.n_wrong) == (1, 2)
    assert first.sure_wrong.value == pytest.approx(0.6)
    assert first.sure_right.value == pytest.approx(0.5)
    assert first.auroc.value == pytest.approx(0.5)  # one of two hallucinated answers is less sure than the right one
    assert (second.auroc.value, second.sure_wrong.value) == (None, None)
    assert last.sure_right.value is None
    assert last.right.value == 1


def test_one_level_is_no_boundary() -> None:
    assert boundary("set", "read", [AskedQuestion("0", "a", "correct")], answers([0.5], [True]), ["0"]) is None
