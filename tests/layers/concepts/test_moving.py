"""Steering along a direction: its reading moves as the sign says, and effects are means of differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from hneurons.contributions import Item, Recording
from hneurons.contributions.recording import record
from hneurons.errors import NotEnoughDataError, ProbeMismatchError
from hneurons.interventions.steering import steer
from hneurons.layers.answered import Answered, Fork
from hneurons.layers.concepts.cases import Cases, Reader, make_cases
from hneurons.layers.concepts.directions import Directions, fit_directions
from hneurons.layers.concepts.moving import N_DRAWS, control_directions, move_layer, moved, steering
from hneurons.models.language_model import LanguageModel
from hneurons.probes.answers import Answers
from hneurons.questions.question import Question


class Hidden:
    """A sink that keeps mean states."""

    def __init__(self) -> None:
        self.layers: list[np.ndarray] = []

    def contributions(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
        pass

    def hidden(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
        self.layers.append(answer.double().numpy())


def items(n: int, seed: int) -> list[Item]:
    random = np.random.default_rng(seed)
    return [
        Item(f"i{row}", tuple(random.integers(8, 200, 5).tolist()), tuple(random.integers(8, 200, 3).tolist()), (1, 2))
        for row in range(n)
    ]


def answers(model: LanguageModel, n: int, seed: int) -> Answers:
    """Random answers of a model; those whose first token is high are called hallucinated."""
    sink, made = Hidden(), items(n, seed)
    rows = record(model, made, Recording(hidden=True, positions="before"), sink)[:n]
    return Answers(
        name="made",
        hallucinated=np.array([item.response_ids[0] > 100 for item in made]),
        groups=np.array([item.key for item in made]),
        contributions=np.zeros((n, 1)),
        hidden=np.stack(sink.layers, axis=1),
        log_prob=np.array([row.logprob for row in rows]),
        entropy=np.array([row.entropy for row in rows]),
    )


@pytest.fixture(scope="module")
def directions(tiny_llama: LanguageModel) -> Directions:
    return fit_directions(answers(tiny_llama, 80, 0), answers(tiny_llama, 40, 1), tiny_llama.fingerprint)


@pytest.fixture(scope="module")
def cases() -> Cases:
    made = items(12, 2)
    return Cases(tuple(made), tuple(item.key for item in made), ("right",) * 8 + ("correct", "given") * 2)


def test_what_is_read_is_what_a_study_records(tiny_llama: LanguageModel, cases: Cases) -> None:
    axes = np.random.default_rng(0).normal(size=(3, 32))
    for positions in ("before", "at"):
        sink = Hidden()
        rows = record(tiny_llama, cases.items, Recording(hidden=True, positions=positions), sink)
        found = Reader(tiny_llama, cases, axes, positions=positions).read()
        np.testing.assert_allclose(found["along"], np.einsum("lrh,lh->rl", sink.layers, axes), atol=1e-4)
        np.testing.assert_allclose(found["log_prob"], [row.logprob for row in rows[:12]], atol=1e-4)
        np.testing.assert_allclose(found["entropy"], [row.entropy for row in rows[:12]], atol=1e-4)


def test_readings_move_as_the_sign_says(tiny_llama: LanguageModel, directions: Directions, cases: Cases) -> None:
    reader = Reader(tiny_llama, cases, directions.vectors["factuality", "means"])
    controls = control_directions(directions, np.ones((2, 32)), 0)
    read = move_layer(reader, directions, 0, controls, strength=3.0)
    counts = {"random": N_DRAWS, "permuted": 2}
    found = moved(cases, directions, 0, reader.read(), read, counts, strength=3.0, resamples=50)
    forward, _, backward, _ = found
    assert [(each.strength, each.control) for each in found] == [
        (3.0, "random"), (3.0, "permuted"), (-3.0, "random"), (-3.0, "permuted"),
    ]  # fmt: skip
    assert forward.reading[0].value.value == pytest.approx(3, abs=1e-4)  # in deviations, where it is added
    assert backward.reading[0].value.value == pytest.approx(-3, abs=1e-4)
    for later in (1, 2):
        assert forward.reading[later].value.low > 0 > backward.reading[later].value.high
        assert forward.reading[later].value.value > forward.reading[later].control.high


def test_effects_are_means_of_differences(tiny_llama: LanguageModel, directions: Directions, cases: Cases) -> None:
    reader = Reader(tiny_llama, cases, directions.vectors["factuality", "means"])
    before = reader.read()
    controls = control_directions(directions, np.random.default_rng(0).normal(size=(2, 32)), 1)
    read = move_layer(reader, directions, 1, controls)
    forward = moved(cases, directions, 1, before, read, {"random": N_DRAWS, "permuted": 2}, resamples=50)[1]
    unit, length = directions.direction("factuality", 1), 2 * directions.scale("factuality", 1)
    changes = []
    for added in (unit, *torch.from_numpy(controls["permuted"])):
        own = []
        for row in range(8):
            item = cases.items[row]
            first = len(item.prompt_ids) + item.answer[0] - 1
            with steer(tiny_llama, 1, length * added, positions=[list(range(first, len(item)))]):
                (after, *_) = record(tiny_llama, [item], Recording(positions="before"), Hidden())
            own.append(after.logprob - before["log_prob"][row])
        changes.append(np.array(own))
    assert forward.log_prob.value.value == pytest.approx(changes[0].mean(), abs=1e-4)
    assert forward.log_prob.control.mean == pytest.approx(np.mean(changes[1:]), abs=1e-4)
    assert forward.log_prob.difference.value == pytest.approx(changes[0].mean() - np.mean(changes[1:]), abs=1e-4)
    assert forward.correct is not None
    assert sorted(forward.reading) == [1, 2]
    shown = steering("some", cases, [forward])
    assert (shown.n_faithful, shown.n_forks) == (8, 2)


def test_controls_have_the_same_length_and_no_meaning(directions: Directions) -> None:
    found = control_directions(directions, np.full((3, 32), 2.0), 1)
    for draws in found.values():
        np.testing.assert_allclose(np.linalg.norm(draws, axis=1), 1)
    assert len({row.tobytes() for row in found["random"]}) == N_DRAWS
    again = control_directions(directions, np.full((3, 32), 2.0), 1)
    np.testing.assert_array_equal(found["random"], again["random"])


def test_another_model_is_refused(directions: Directions, tiny_model: Callable[..., LanguageModel]) -> None:
    with pytest.raises(ProbeMismatchError):
        directions.require(tiny_model("llama", layers=3, seed=1).fingerprint)


def test_cases_are_right_answers_and_forks() -> None:
    made = Answered(
        key="q#0", eval_set="s", kind="", group="g", prompt_ids=(1, 2), response_ids=(3, 4, 5), answer=(1, 2),
        hallucinated=False, segments=("first", "question"), fork=None, question=Question(id="q", text="?"), text="",
    )  # fmt: skip
    wrong = replace(made, hallucinated=True, fork=Fork(1, 4, 9))
    found = make_cases([made, wrong, replace(wrong, fork=Fork(1, 4, None)), replace(wrong, fork=None)])
    assert found.roles == ("right", "correct", "given")
    assert [item.response_ids for item in found.items] == [(3, 4, 5), (3, 9), (3, 4)]
    assert [item.answer for item in found.items] == [(1, 2), (1,), (1,)]
    assert found.rows("given").tolist() == [2]
    with pytest.raises(NotEnoughDataError, match="faithful"):
        make_cases([wrong])
