"""The choice of C."""

from __future__ import annotations

import numpy as np
import pytest

from hneurons.errors import ProbeError
from hneurons.probes.path import c_grid, fit_path
from hneurons.probes.rows import dense
from hneurons.probes.select import choose
from hneurons.probes.solution import Solution


def solution(C, weights, intercept=0.0, violation=0.0):
    indices = np.flatnonzero(weights)
    return Solution(C, indices, np.asarray(weights, dtype=float)[indices], intercept, violation, 1)


X = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32)
Y = np.array([True, True, False, False])
ONE = solution(1.0, [1, 0, -1, 0], -0.5)  # right on three of four
TWO = solution(2.0, [1, 1, 0, 0], -0.5)  # right on all
MORE = solution(3.0, [1, 1, 0.1, 0], -0.5)  # right on all, with one neuron more


def test_held_out_accuracy_decides_alone_where_nothing_else_is_asked():
    choice = choose([ONE, TWO, MORE], X, Y, 2, max_ratio=1.0)
    assert choice.index == 1  # ties go to the fewest neurons
    assert choice.neurons == ((0, 0), (0, 1))
    assert [point.heldout_accuracy for point in choice.curve] == [0.75, 1.0, 1.0]
    assert [point.n_hneurons for point in choice.curve] == [1, 2, 3]
    assert [point.per_mille for point in choice.curve] == [250, 500, 750]
    assert choice.curve[0].known_accuracy is None
    assert choose([MORE, TWO], X, Y, 2, max_ratio=1.0).index == 1


def test_what_the_model_still_knows_counts_as_much():
    asked = []

    def known(neurons):
        asked.append(neurons)
        return {1: 0.9, 2: 0.5, 3: 0.5}[len(neurons)]

    choice = choose([ONE, TWO, MORE, TWO], X, Y, 2, known, max_ratio=1.0)
    assert choice.index == 0
    assert [point.score for point in choice.curve] == [1.65, 1.5, 1.5, 1.5]
    assert asked == [((0, 0),), ((0, 0), (0, 1)), ((0, 0), (0, 1), (1, 0))]  # once for every distinct set


def test_the_cap_excludes_and_says_so():
    asked = []
    choice = choose([ONE, TWO], X, Y, 2, lambda n: asked.append(n) or 1.0, max_ratio=0.25)
    assert choice.index == 0
    assert choice.max_ratio == 0.25
    assert choice.curve[1].excluded == "more than 25.00% of all neurons"
    assert choice.curve[1].score is None
    assert len(asked) == 1


@pytest.mark.usefixtures("as_a_user_calls")
def test_empty_and_unconverged_solutions_cannot_be_chosen():
    empty, negative = solution(0.1, [0, 0, 0, 0]), solution(0.2, [-1, 0, 0, 0])
    unconverged = solution(4.0, [1, 1, 0, 0], -0.5, violation=0.5)
    choice = choose([empty, negative, ONE, unconverged], X, Y, 2, max_ratio=1.0)
    assert choice.index == 2
    assert [point.excluded for point in choice.curve[:2]] == ["no neuron of positive weight"] * 2
    assert "not converged" in choice.curve[3].excluded
    with pytest.raises(ProbeError, match="no C can be chosen: no neuron of positive weight"):
        choose([empty, negative], X, Y, 2)
    with pytest.raises(ProbeError, match="do not fit"):
        choose([ONE], X, Y[:3], 2)


def test_held_out_accuracy_is_that_of_the_probabilities(world, dev):
    X, y = world.answers.contributions, world.answers.hallucinated
    path = fit_path(X, y, c_grid(X, y, 5, 30.0))
    choice = choose(path.solutions, dev.contributions, dev.hallucinated, world.n_neurons, max_ratio=0.2)
    for point, s in zip(choice.curve, path.solutions, strict=True):
        naive = []
        for row, label in zip(dense(dev.contributions), dev.hallucinated, strict=True):
            z = s.intercept + sum(w * float(row[j]) for j, w in zip(s.indices, s.weights, strict=True))
            naive.append((1 / (1 + np.exp(-z)) >= 0.5) == label)
        assert point.heldout_accuracy == pytest.approx(np.mean(naive))
    best = [point.heldout_accuracy for point in choice.curve if not point.excluded]
    assert choice.curve[choice.index].heldout_accuracy == max(best)
