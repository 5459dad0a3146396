"""What the figures of the comparison draw is what the record says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from tests.report.artists import marks, only
from tests.report.layers.comparison.made import made

from hneurons.report.layers.comparison.figures import illustrations
from hneurons.report.layers.comparison.reading import of_read


def line(artist: object) -> Line2D:
    assert isinstance(artist, Line2D)
    return artist


def test_effect_sizes_stand_at_their_layers_and_full_where_they_differ() -> None:
    found = made()
    figure = illustrations(found)[0].figure()
    panels = figure.axes
    assert len(panels) == 2 * len(found.sets)
    matched = found.sets[0].matched
    assert matched is not None
    own = of_read(matched.levels, "ffn")
    curve = line(only(panels[0], "curve:g:ffn"))
    np.testing.assert_allclose(curve.get_ydata(), [each.effect.value for each in own])
    np.testing.assert_allclose(np.round(curve.get_xdata()), [0, 1, 2, 3])  # type: ignore[arg-type]
    full = line(only(panels[0], "full:g:ffn"))
    assert len(np.asarray(full.get_xdata())) == sum(each.effect_against.q < 0.05 for each in own) == 3
    assert len(np.asarray(line(only(panels[0], "hollow:g:ffn")).get_xdata())) == 1
    before = line(only(panels[0], "before:ffn"))
    np.testing.assert_allclose(
        before.get_ydata(), [each.effect.value for each in of_read(found.sets[0].every.levels, "ffn")]
    )


def test_both_baselines_and_chance_are_drawn() -> None:
    figure = illustrations(made())[0].figure()
    lower = figure.axes[3]
    assert line(only(lower, "baseline")).get_ydata()[0] == 0.5  # type: ignore[index]
    assert line(only(lower, "said")).get_ydata()[0] == 0.56  # type: ignore[index]
    assert len(marks(figure, "chance")) == 6


def test_a_set_that_is_not_matched_says_so_and_has_no_line_before() -> None:
    figure = illustrations(made())[0].figure()
    panel = figure.axes[1]
    assert "n = 250 + 250, not matched" in [text.get_text() for text in panel.texts]
    assert not marks(panel, "before:ffn")


def test_similarity_is_drawn_for_matched_sets_alone() -> None:
    found = made()
    figure = illustrations(found)[1].figure()
    assert len(figure.axes) == 4 * 2
    panel = next(axes for axes in figure.axes if marks(axes, "curve:hallucinated:attention"))
    own = [each for each in found.sets[0].adjacent if each.read == "attention"]
    curve = line(only(panel, "curve:hallucinated:attention"))
    np.testing.assert_allclose(curve.get_ydata(), [each.hallucinated.value for each in own])
    assert np.asarray(line(only(panel, "full:hallucinated:attention")).get_xdata()).tolist() == pytest.approx([2.1])
    lowest = next(axes for axes in figure.axes if marks(axes, "curve:across:residual"))
    drawn = line(only(lowest, "exchanged:residual")).get_ydata()
    expected = [each.exchanged.null.mean for each in found.sets[0].across if each.read == "residual"]
    np.testing.assert_allclose(drawn, expected)


def test_without_pairs_there_is_one_figure() -> None:
    found = made()
    assert len(illustrations(found)) == 2
    assert len(illustrations(found.model_copy(update={"sets": (found.sets[1],)}))) == 1


def test_many_layers_have_bands_in_place_of_intervals() -> None:
    found = made(n_layers=20)
    figure = illustrations(found.model_copy(update={"sets": found.sets[:1]}))[0].figure()
    assert isinstance(only(figure, "interval:g:ffn"), PolyCollection)
    few = illustrations(made())[0].figure().axes[0]
    assert isinstance(only(few, "interval:g:ffn"), LineCollection)
