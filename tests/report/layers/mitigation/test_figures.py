"""What is drawn is what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.report.artists import marks, only
from tests.report.layers.mitigation.synthetic_mitigation import make_mitigation

from hneurons.report.layers.mitigation.figures import illustrations
from hneurons.report.layers.mitigation.pareto import gains, in_points, manners
from hneurons.report.look import DARK


@pytest.fixture(scope="module")
def found() -> Any:
    return make_mitigation()


def test_every_method_stands_where_it_was_measured(found: Any) -> None:
    drawn, _ = illustrations(found)
    figure = drawn.figure()
    left, right, _ = figure.axes
    for each in found.methods[1:]:
        (spot,) = only(left, f"spot:{each.name}").get_xydata()
        assert tuple(spot) == (each.hallucinated.change.value, each.correct.change.value)
        ends = {tuple(end) for bar in marks(left, f"interval:{each.name}") for end in bar.get_xydata()}
        assert (each.hallucinated.change.low, each.correct.change.value) in ends
        assert (each.hallucinated.change.value, each.correct.change.high) in ends
        shown = marks(right, f"spot:{each.name}")
        assert bool(shown) == (each.perplexity.value is not None)
        if shown:
            (spot,) = shown[0].get_xydata()
            assert tuple(spot) == (each.compliance.change.value, each.perplexity.value)
    assert not marks(left, "spot:Unchanged")
    line = only(left, "frontier").get_xydata()
    np.testing.assert_allclose(line, [[-0.1, 0.01]])
    dots = only(left, "control:Helper").get_offsets()
    np.testing.assert_allclose(dots, [[-0.02, 0.0], [0.01, -0.01]])
    low, high = left.get_xlim()
    assert low < -0.121
    assert high > 0.1
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"1 2", "Helper", "Nothing <b>"} <= texts  # two that lie on each other are numbered together


def test_steering_is_drawn_by_layer(found: Any) -> None:
    _, drawn = illustrations(found)
    left, right = drawn.figure().axes
    for axes, name in ((left, "hallucinated"), (right, "correct")):
        values = [getattr(each, name).value for each in found.steering]
        np.testing.assert_allclose(only(axes, f"steered:{name}").get_xydata(), np.c_[range(6), values])
        own = [value for each in found.steering for value in getattr(each, f"random_{name}")]
        np.testing.assert_allclose(only(axes, f"random:{name}").get_offsets()[:, 1], own)
        assert len([mark for layer in range(6) for mark in marks(axes, f"interval:{name}:{layer}")]) == 6
        assert only(axes, "middle").get_x() == 1.55
    assert "40 questions" in drawn.sentence
    assert "0.2 of the stream's length" in drawn.sentence


def test_what_is_not_there_is_not_drawn(found: Any) -> None:
    (drawn,) = illustrations(make_mitigation(steering=(), depths=None))
    assert drawn.name == "layers-mitigation-pareto"
    bare = make_mitigation(methods=found.methods[:1], controls=(), steering=found.steering[:2], depths=None)
    for each in illustrations(bare):
        assert each.figure(DARK)
    nothing = [each.model_copy(update={"compliance": None}) for each in found.methods]
    assert manners(make_mitigation(methods=tuple(nothing))) == []
    assert [spot.number for spot in gains(found)] == [1, 2, 3, 4]


def test_svg_is_small_and_escapes(found: Any) -> None:
    for each in illustrations(found):
        made = each.svg()
        assert len(made) < 60_000
        assert "Nothing <b>" not in made


def test_axis_labels() -> None:
    assert [in_points(value) for value in (0.05, -0.025, 0.0)] == ["+5", "−2.5", "0"]
