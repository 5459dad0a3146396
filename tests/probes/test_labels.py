"""Rows and labels of both schemes."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.errors import ProbeError
from hneurons.probes.labels import flat, neurons, refuse_shared_groups, training_rows
from hneurons.probes.rows import dense

HALLUCINATED = np.array([True, False, True, False])
GROUPS = np.array(["a", "b", "a", "c"])
HAS_OTHER = np.array([True, True, False, True])
ANSWER = np.arange(8, dtype=np.float32).reshape(4, 2)
OTHER = np.where(HAS_OTHER[:, None], ANSWER + 100, np.nan).astype(np.float32)


def test_three_against_one():
    rows = training_rows("3-vs-1", HALLUCINATED, GROUPS, HAS_OTHER)
    expected = [(x, bool(h), g) for x, h, g in zip(ANSWER, HALLUCINATED, GROUPS, strict=True)]
    expected += [(OTHER[i], False, GROUPS[i]) for i in range(4) if HAS_OTHER[i]]
    X = dense(rows.matrix(ANSWER, OTHER))
    assert len(X) == len(expected) == 7
    for row, y, group, (x, label, key) in zip(X, rows.y, rows.groups, expected, strict=True):
        np.testing.assert_array_equal(row, x)
        assert (y, group) == (label, key)
    assert rows.left_out == {
        "hallucinated responses without other tokens": 1,
        "faithful responses without other tokens": 0,
    }


def test_one_against_one_takes_answers_only():
    rows = training_rows("1-vs-1", HALLUCINATED, GROUPS, HAS_OTHER)
    np.testing.assert_array_equal(dense(rows.matrix(ANSWER)), ANSWER)
    np.testing.assert_array_equal(rows.y, HALLUCINATED)
    assert rows.left_out == {"other-token vectors, by the scheme": 3}


def test_relabelled_responses_keep_their_other_vectors_at_zero():
    rows = training_rows("3-vs-1", HALLUCINATED, GROUPS, HAS_OTHER)
    np.testing.assert_array_equal(rows.labels(HALLUCINATED), rows.y)
    np.testing.assert_array_equal(rows.labels(~HALLUCINATED), [False, True, False, True, False, False, False])


@pytest.mark.usefixtures("as_a_user_calls")
def test_what_does_not_fit_is_refused():
    rows = training_rows("3-vs-1", HALLUCINATED, GROUPS, HAS_OTHER)
    with pytest.raises(ProbeError, match="missing"):
        rows.matrix(ANSWER)
    with pytest.raises(ProbeError, match="shape"):
        rows.matrix(ANSWER, OTHER[:3])
    with pytest.raises(ProbeError, match="negative or not finite"):
        rows.matrix(ANSWER - 1, OTHER)
    with pytest.raises(ProbeError, match="negative or not finite"):
        training_rows("3-vs-1", HALLUCINATED, GROUPS, np.ones(4, dtype=bool)).matrix(ANSWER, OTHER)
    with pytest.raises(ProbeError, match="both kinds"):
        training_rows("1-vs-1", np.ones(4, dtype=bool), GROUPS)
    with pytest.raises(ProbeError, match="has_other"):
        training_rows("3-vs-1", HALLUCINATED, GROUPS)
    with pytest.raises(ProbeError, match="one entry a response"):
        training_rows("1-vs-1", HALLUCINATED, GROUPS[:3])


def test_shared_groups_are_refused():
    refuse_shared_groups({"train": ["a", "b"], "dev": ["c"], "test": np.array(["d"])})
    with pytest.raises(ProbeError, match="1 groups are in both dev and test, such as 'c'"):
        refuse_shared_groups({"train": ["a", "b"], "dev": ["c"], "test": ["c", "d"]})


def test_neurons_are_layer_and_index():
    assert neurons([0, 63, 64, 200], 64) == ((0, 0), (0, 63), (1, 0), (3, 8))
    np.testing.assert_array_equal(flat(neurons([0, 63, 64, 200], 64), 64), [0, 63, 64, 200])
