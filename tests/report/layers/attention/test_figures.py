"""The figures of attention: bars are the shares, maps the differences, marks the heads that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.report.artists import marks, only
from tests.report.layers.attention.made import HEADS, LAYERS, made

from hneurons.layers.attention.record import agree
from hneurons.report.layers.attention.figures import draw_heads, draw_shares, illustrations
from hneurons.report.layers.attention.reading import NAMES, contrasts, measured, share
from hneurons.report.look import LIGHT


def test_bars_stack_the_shares_of_either_kind() -> None:
    found = made()
    figure = draw_shares(found, LIGHT)
    for contrast in contrasts(found):
        panel: Any = only(figure, f"panel:{contrast.name}")
        for layer in (*contrast.layers, None):
            own = contrast.whole if layer is None else layer
            for side in (0, 1):
                top = 0.0
                for name in NAMES:
                    part = share(own, name)
                    if part is None:
                        continue
                    height = (part.first, part.second)[side]
                    if layer is None:
                        height = (part.first_uniform, part.second_uniform)[side]
                    bar: Any = only(panel, f"{'uniform' if layer is None else layer.layer}:{name}:{side}")
                    assert bar.get_y() == pytest.approx(top)
                    assert bar.get_height() == pytest.approx(height)
                    top += height
                assert top == pytest.approx(1)
    right: Any = only(figure, "difference:atlas/context")
    for layer in found.contexts[0].layers:
        own_share = share(layer, "context")
        assert own_share is not None
        dot: Any = only(right, f"dot:{layer.layer}")
        assert dot.get_ydata()[0] == pytest.approx(100 * (own_share.lift.value or 0))
        line: Any = only(right, f"interval:{layer.layer}")
        assert list(line.get_ydata()) == pytest.approx(
            [100 * (own_share.lift.low or 0), 100 * (own_share.lift.high or 0)]
        )


def test_maps_are_the_differences_and_mark_the_heads_that_differ() -> None:
    found = made()
    figure = draw_heads(found, LIGHT)
    assert not marks(figure, "map:answers:context")
    for contrast in contrasts(found):
        differences = {each.segment: np.array(each.difference) for each in measured(contrast, "lift").differences}
        most = max(np.abs(values).max() for values in differences.values())
        for name, values in differences.items():
            axes: Any = only(figure, f"map:{contrast.name}:{name}")
            pixels = axes.images[0].get_array()
            np.testing.assert_allclose(pixels[..., 3], np.abs(values) / most)
            flagged = np.allclose(pixels[values > 0][:, 0].astype(float), int(LIGHT.signal[1:3], 16) / 255)
            assert flagged or not (values > 0).any()
            dots: Any = only(axes, f"both:{contrast.name}:{name}")
            layers, heads = np.nonzero(agree(contrast, name, found.level))
            assert list(dots.get_xdata()) == list(heads)
            assert list(dots.get_ydata()) == list(layers)
    planted: Any = only(figure, "both:answers:subject")
    assert (1, 2) in list(zip(planted.get_xdata(), planted.get_ydata(), strict=True))


def test_figures_say_what_they_show_and_fit_a_page() -> None:
    shares, heads = illustrations(made())
    assert (shares.name, heads.name) == ("layers-attention-shares", "layers-attention-heads")
    assert "60 faithful and 60 hallucinated answers" in shares.sentence
    assert f"of {LAYERS * HEADS * 5} differ in lift and in share" in heads.sentence
    for each in (shares, heads):
        written = each.svg()
        assert len(written) < 120_000
        assert "False &lt;context" in written
    assert illustrations(made().model_copy(update={"answers": None, "contexts": ()})) == []
