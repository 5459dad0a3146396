"""What is drawn is what was found; a figure stays small in the page."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage
from tests.report.artists import marks, only
from tests.report.layers.concepts.synthetic import LAYERS, make_concepts

from hneurons.layers.concepts.record import Concepts
from hneurons.report.layers.concepts.angles import draw_angles
from hneurons.report.layers.concepts.figures import illustrations
from hneurons.report.layers.concepts.probes import draw_probes, shown_sets
from hneurons.report.layers.concepts.reading import readings
from hneurons.report.layers.concepts.scatter import _dots, draw_scatter
from hneurons.report.look import LIGHT, styled


@pytest.fixture(scope="module")
def found() -> Concepts:
    return make_concepts()


@pytest.fixture(scope="module")
def probes(found: Concepts) -> Figure:
    with styled():
        return draw_probes(found, LIGHT)


def test_lines_are_the_figures_of_the_record(probes: Figure, found: Concepts) -> None:
    for concept in ("factuality", "uncertainty"):
        line = only(probes, f"line:logistic:{concept}:in-domain")
        own = [each.auroc.value for each in readings(found, concept, "logistic", "in-domain")]
        np.testing.assert_allclose(line.get_ydata(), own)
        np.testing.assert_allclose(line.get_xdata(), range(LAYERS))
        means = only(probes, f"line:means:{concept}:in-domain").get_ydata()
        assert not np.allclose(means, own)
    band = only(probes, "interval:logistic:factuality:in-domain").get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.575 - 0.03)
    assert only(probes, "control:in-domain").get_ydata() == pytest.approx([0.75] * LAYERS)
    assert only(probes, "baseline:factuality:in-domain").get_ydata() == pytest.approx([0.58, 0.58])


def test_what_is_not_defined_says_why(probes: Figure, found: Concepts) -> None:
    said = " ".join(each.get_text().replace("\n", " ") for each in marks(probes, "reason"))
    assert "all 60 answers are hallucinated" in said
    assert "no answer is of a type that was trained on" in said
    assert shown_sets(found) == ["in-domain", "long-tail", "invented"]
    assert not marks(probes, "line:logistic:factuality:invented")


def test_points_are_painted_by_kind(found: Concepts) -> None:
    with styled():
        figure = draw_scatter(found, LIGHT)
    dots = only(figure, "dots:umap:2:True")
    own = next(each for each in found.pictures if (each.how, each.layer) == ("umap", 2))
    expected = np.array([(x, y) for x, y, kind in own.points if kind])
    np.testing.assert_allclose(dots.get_path().vertices[::2], expected)
    rgb = tuple(int(LIGHT.signal[at : at + 2], 16) / 255 for at in (1, 3, 5))
    assert dots.get_edgecolor()[:3] == pytest.approx(rgb)
    assert len(marks(figure, "dots:pca:0:False")) == 1
    assert len(figure.axes) == 6


def test_no_dot_is_lost_on_the_way_to_a_picture() -> None:
    with styled():
        figure = Figure(figsize=(2, 2), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1))
        x, y = np.meshgrid(np.arange(10) + 0.37, np.arange(10) + 0.61)
        axes.add_patch(_dots(np.column_stack([x.ravel(), y.ravel()]), "#000000"))
        axes.set(xlim=(0, 11), ylim=(0, 11))
        axes.axis("off")
        drawn = FigureCanvasAgg(figure)
        drawn.draw()
        dark = np.asarray(drawn.buffer_rgba())[..., 0] < 200
    assert ndimage.label(dark)[1] == 100


def test_angles_and_their_nulls(found: Concepts) -> None:
    with styled():
        figure = draw_angles(found, LIGHT)
    assert only(figure, "line:cosine").get_ydata() == pytest.approx([-0.8] * LAYERS)
    assert only(figure, "together:low").get_ydata() == pytest.approx([-0.6] * LAYERS)
    assert only(figure, "line:refit").get_ydata() == pytest.approx([0.66, 0.68, 0.70, 0.72])
    taken = only(figure, "band:refit").get_paths()[0].vertices[:, 1]
    assert (taken.min(), taken.max()) == pytest.approx((0.7, 0.74))
    assert only(figure, "line:within").get_ydata() == pytest.approx([0.62] * LAYERS)


def test_each_is_an_illustration_of_little_weight(found: Concepts) -> None:
    shown = illustrations(found)
    assert [each.name for each in shown] == [
        "layers-concepts-probes", "layers-concepts-pictures", "layers-concepts-angles",
    ]  # fmt: skip
    for each in shown:
        svg = each.svg()
        assert each.title in svg
        assert len(svg) < 120_000


def test_without_pictures_there_are_two(found: Concepts) -> None:
    bare = make_concepts(pictures=(), steering=None, missing={"pictures": "there is one kind only"})
    assert [each.name for each in illustrations(bare)] == ["layers-concepts-probes", "layers-concepts-angles"]
    for each in illustrations(bare):
        each.figure()
