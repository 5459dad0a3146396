"""Figures, words and tables of patching: what is drawn and said is what is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from tests.report.layers.causality.traced import COLUMNS, LAYERS, STREAM, about, effect_map, grid, make_causality

from hneurons.layers.causality.record import Causality, Tracing
from hneurons.probes.controls import band
from hneurons.report.layers.causality.carried import neuron_rows
from hneurons.report.layers.causality.figures import illustrations
from hneurons.report.layers.causality.maps import draw_maps, shaded
from hneurons.report.layers.causality.reading import arrival, find_map, largest
from hneurons.report.layers.causality.sentences import headlines, sentences
from hneurons.report.layers.causality.views import attribution_lines, head_lines
from hneurons.report.look import DARK, LIGHT


@pytest.fixture(scope="module")
def found() -> Causality:
    return make_causality()


def axes_of(figure: object) -> dict[str, object]:
    return {axes.get_gid(): axes for axes in figure.axes if axes.get_gid()}  # type: ignore[attr-defined]


def test_every_cell_has_the_colour_of_its_share_and_its_number(found: Causality) -> None:
    panels = axes_of(draw_maps(found, LIGHT))
    assert list(panels) == [
        f"map:{row}:{site}" for row in ("question", "noise", "control") for site in ("residual", "attention", "ffn")
    ]
    axes = panels["map:question:residual"]
    (picture,) = axes.images  # type: ignore[attr-defined]
    np.testing.assert_allclose(picture.get_array()[..., 3], STREAM, atol=1e-9)
    assert picture.origin == "lower"
    written = {(text.get_position()): text.get_text() for text in axes.texts}  # type: ignore[attr-defined]
    shares = np.array(STREAM)
    assert written == {
        (column, layer): f"{100 * shares[layer, column]:.0f}"
        for layer in range(LAYERS)
        for column in range(len(COLUMNS))
        if shares[layer, column] >= 0.05
    }
    bold = {text.get_text() for text in axes.texts if text.get_fontweight() == "bold"}  # type: ignore[attr-defined]
    assert bold == {"30", "60", "50", "20", "62", "100"}  # 10 has an interval from 0 on
    control = panels["map:control:residual"].images[0].get_array()  # type: ignore[attr-defined]
    np.testing.assert_allclose(control[..., 3], shares / 5, atol=1e-9)


def test_less_than_nothing_is_grey_and_nothing_is_transparent() -> None:
    colours = shaded(np.array([[0.5, -0.5, np.nan, 3.0]]), LIGHT)
    np.testing.assert_allclose(colours[0, 0], [*to_rgb(LIGHT.data), 0.5])
    np.testing.assert_allclose(colours[0, 1], [*to_rgb(LIGHT.soft), 0.5])
    assert colours[0, 2, 3] == 0
    assert colours[0, 3, 3] == 1


def test_many_layers_are_drawn_without_numbers() -> None:
    rows = [[0.3, 0.2, 0.1]] * 40
    made = make_causality(
        tracing=Tracing(
            pairs=make_causality().tracing.pairs,
            maps=tuple(effect_map("question", site, rows) for site in ("residual", "attention", "ffn")),
        )
    )
    panels = axes_of(draw_maps(made, LIGHT))
    assert list(panels) == ["map:question:residual", "map:question:attention", "map:question:ffn"]
    assert not panels["map:question:ffn"].texts  # type: ignore[attr-defined]


def test_lines_and_rows_are_those_of_the_record(found: Causality) -> None:
    shown = {each.name: each for each in illustrations(found)}
    assert list(shown) == ["layers-causality-maps", "layers-causality-carried", "layers-causality-attribution"]
    axes = axes_of(shown["layers-causality-carried"].figure())["carried:question"]
    lines = {line.get_gid(): line for line in axes.lines if line.get_gid()}  # type: ignore[attr-defined]
    for place, column in enumerate(COLUMNS):
        np.testing.assert_allclose(lines[f"line:{column}"].get_ydata(), [row[place] for row in STREAM])
        np.testing.assert_allclose(lines[f"control:{column}"].get_ydata(), [row[place] / 5 for row in STREAM])
    ours, random, _ = neuron_rows(found)
    assert (ours.value, ours.low, ours.high) == pytest.approx((0.4, 0.2, 0.6))  # type: ignore[union-attr]
    assert random.values == pytest.approx((0.0, 1.0, 2.0))  # type: ignore[union-attr]
    dots = axes_of(shown["layers-causality-attribution"].figure())["scatter:ffn"].lines[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(dots.get_xdata(), [0.1 * k for k in range(20)])
    np.testing.assert_allclose(dots.get_ydata(), [0.1 * k + 0.02 for k in range(20)])


def test_figures_are_small_and_in_the_colours_of_the_page(found: Causality, tmp_path: Path) -> None:
    shown = illustrations(found)
    assert all(len(each.svg()) < 100_000 for each in shown)
    shown[1].write_png(tmp_path / "carried.png", DARK, dpi=30)
    assert (tmp_path / "carried.png").stat().st_size > 1000


def test_sentences_say_the_numbers_with_their_intervals_and_controls(found: Causality) -> None:
    said = " ".join(sentences(found))
    for words in (
        "9 pairs of a faithful",
        "5 of <b>in</b> and 4 of invented, of 31",
        "11.500 [11.400, 11.600] nats",
        "3 draws a pair",
        "from layer 2 on half of it or more comes from the last token: 62.0% [52.0, 72.0] there, 4.0% [−6.0, 14.0]",
        "correlate with r = 1.00",
        "attention of layer 2 at the last token 41.0% [31.0, 51.0]",
        "at most 20.0% [15.0, 25.0] (after layer 3, the last token): any value",
        "The 7 H-Neurons together",
        "0.4% [0.2, 0.6] of the gap",
        "not go through them more than through other neurons",
        "of the FFN worst, 0.350 [0.250, 0.450], there least in layer 0 (0.20)",
        "In 1 of the runs",
    ):
        assert words in said, words


def test_sentences_follow_what_is_found() -> None:
    assert largest(find_map(make_causality(), "question", "residual")) == (3, 2)  # type: ignore[arg-type]
    beaten = make_causality().neurons
    assert beaten is not None
    more = make_causality(neurons=beaten.model_copy(update={"effect": about(0.2), "matched": band([0.01, 0.02])}))
    assert "more than 2 random sets of the same layers" in " ".join(sentences(more))
    without = make_causality(neurons=None, attribution=(), missing={"neurons": "the probe has no H-Neuron"})
    said = " ".join(sentences(without))
    assert "Neurons is left out: the probe has no H-Neuron." in said
    assert "Attribution" not in said
    assert len(illustrations(without)) == 2
    apart = make_causality()
    rows = [[0.0, 0.1, 0.3], [0.2, 0, 0], [0, 0, 0], [0, 0.4, 0]]
    maps = tuple(
        own if own.corruption == "question" else effect_map("noise", own.site, rows) for own in apart.tracing.maps
    )
    other = apart.model_copy(update={"tracing": apart.tracing.model_copy(update={"maps": maps})})
    assert "disagree on where" in " ".join(sentences(other))
    never = effect_map("question", "residual", [[0.1, 0.2, 0.3]] * 2)
    assert arrival(never) is None


def test_tables_list_the_strongest_heads_and_every_site(found: Causality) -> None:
    heads = head_lines(found)
    assert [line.name for line in heads[:3]] == ["L1 · head 1", "L2 · head 0", "L0 · head 1"]
    assert str(heads[0].effect) == "45.0% [35.0, 55.0]"
    assert str(heads[0].probability).startswith("22.5%")
    lines = attribution_lines(found)
    assert [line.site for line in lines] == ["Residual stream", "FFN", "Single neurons"]
    assert lines[1].least == "0.20 (layer 0)"
    assert str(lines[1].spearman) == "0.350 [0.250, 0.450]"


def test_the_record_survives_json(found: Causality) -> None:
    read = Causality.model_validate(json.loads(json.dumps(found.model_dump(mode="json"), sort_keys=True)))
    assert read == found
    assert [each[:12] for each in sentences(read)] == [each[:12] for each in sentences(found)]
    assert grid([[1.0]]).value == ((1.0,),)


def test_an_answer_that_arrives_after_the_last_layer_is_no_finding() -> None:
    made = make_causality()
    cut = [
        each.model_copy(
            update={
                "effect": each.effect.model_copy(
                    update={name: getattr(each.effect, name)[:3] for name in ("value", "low", "high")}
                )
            }
        )
        for each in made.tracing.maps
    ]
    found = made.model_copy(update={"tracing": made.tracing.model_copy(update={"maps": tuple(cut)})})
    said = headlines(found)[0]
    assert "half of it or more lies at the last token only after the last layer, 4.0% [−6.0, 14.0] one layer" in said
    assert "from layer 2 on" in headlines(made)[0]
