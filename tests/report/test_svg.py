from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.figure import Figure

from hneurons.report.figures import illustrations
from hneurons.report.look import LIGHT, MONO, styled
from hneurons.report.svg import SVG, _style, to_svg
from hneurons.study.results import Results


def plot(colour: str, text: str = "words") -> Figure:
    figure = Figure(facecolor="none")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=colour)
    axes.set_axis_off()
    axes.set_facecolor("none")
    axes.text(0, 0, text, color=colour)
    return figure


def test_every_figure_is_valid_svg_in_the_colours_of_the_page(results: Results) -> None:
    ids: list[str] = []
    for name, each in illustrations(results).items():
        root = ET.fromstring(each.svg())
        assert root.tag == f"{{{SVG}}}svg"
        assert root.get("role") == "img"
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        own = [element.get("id", "") for element in root.iter() if "id" in element.attrib]
        assert all(identifier.startswith(f"{name}-") for identifier in own)
        ids += own
        named = root.get("aria-labelledby", "").split()
        words = {element.get("id"): element.text for element in root.iter()}
        assert [words[key] for key in named] == [each.title, f"{each.alt} {each.sentence}"]
        for element in root.iter():
            for key, value in element.attrib.items():
                assert not re.search(r"(?<![,(] )#[0-9a-f]{6}\b(?!\))", value.lower()) or key in ("id", "href"), value
                assert "DejaVu" not in value
            if (target := element.get("href")) is not None:
                assert target.removeprefix("#") in own
        assert any(element.tag == f"{{{SVG}}}text" for element in root.iter())
    assert len(ids) == len(set(ids))


def test_a_colour_outside_the_palette_is_refused() -> None:
    with styled():
        assert f"var(--signal, {LIGHT.signal})" in to_svg(plot(LIGHT.signal), "x", "t", "d")
        with pytest.raises(ValueError, match="#123456 is no colour of the palette"):
            to_svg(plot("#123456"), "x", "t", "d")


def test_a_picture_stays_in_the_page() -> None:
    figure = plot(LIGHT.data)
    figure.axes[0].imshow([[0.0, 1.0]], cmap="gray")
    (picture,) = ET.fromstring(to_svg(figure, "name", "title", "words")).iter(f"{{{SVG}}}image")
    assert picture.get("href", "").startswith("data:image/png;base64,")


def test_text_is_text_and_escaped() -> None:
    with styled():
        written = to_svg(plot(LIGHT.ink, "<script>&"), "x", "<t>", "d & e")
    assert "<script" not in written
    words = [element.text for element in ET.fromstring(written).iter()]
    assert "<script>&" in words
    assert "<t>" in words


@pytest.mark.parametrize(
    ("style", "written"),
    [
        ("font: 9px 'DejaVu Sans'", "font-size: 9px; font-weight: 400; font-family: var(--sans, sans-serif)"),
        (f"font: bold 8.5px '{MONO}'", "font-size: 8.5px; font-weight: bold; font-family: var(--mono, monospace)"),
        ("font-family: 'DejaVu Sans'; x: y", "font-family: var(--sans, sans-serif); x: y"),
        ("fill: #1d1f24; stroke: none", "fill: var(--ink, #1d1f24); stroke: none"),
    ],
)
def test_styles_of_older_and_newer_matplotlib(style: str, written: str) -> None:
    assert _style(style) == written


def test_the_same_results_give_the_same_svg(results: Results) -> None:
    assert illustrations(results)["depth"].svg() == illustrations(results)["depth"].svg()
