"""What the report says of confidence, draws of it, and lists."""

from __future__ import annotations

import pytest
from matplotlib.lines import Line2D
from tests.report.artists import marks, only
from tests.report.layers.confidence.made import ENTROPY, SETS, make_confidence

from hneurons.layers.confidence.meaning import SEMANTIC
from hneurons.layers.confidence.record import Abstaining, Confidence
from hneurons.probes.names import H_NEURONS
from hneurons.report.html import _environment
from hneurons.report.layers.confidence.figures import illustrations
from hneurons.report.layers.confidence.reading import best_rival, curve_of, outcome_of, signal_of, target
from hneurons.report.layers.confidence.sentences import sentences
from hneurons.report.layers.confidence.views import abstention_lines, signal_lines
from hneurons.report.layers.parts import PartShown
from hneurons.report.numbers import decimal, estimate, percent_estimate


@pytest.fixture(scope="module")
def found() -> Confidence:
    """An invented study."""
    return make_confidence()


def test_every_curve_and_area_is_the_recorded_one(found: Confidence) -> None:
    drawn = {each.name: each for each in illustrations(found)}
    figure = drawn["layers-confidence-coverage"].figure()
    for place, name in enumerate(SETS):
        curve = curve_of(found, name, H_NEURONS)
        assert curve is not None
        above, below = figure.axes[place], figure.axes[len(SETS) + place]
        line = only(above, f"curve:{H_NEURONS}")
        assert isinstance(line, Line2D)
        kept = [risk for coverage, risk in zip(curve.coverage, curve.risk, strict=True) if coverage >= 0.1]
        assert list(line.get_ydata()) == pytest.approx(kept)
        dot = only(below, f"dot:{H_NEURONS}")
        assert isinstance(dot, Line2D)
        assert list(dot.get_xdata()) == [curve.aurc.value]
        assert marks(above, "random band")
        assert marks(above, "base")


def test_every_bin_of_a_panel_is_drawn_and_the_error_beside_chance(found: Confidence) -> None:
    drawn = {each.name: each for each in illustrations(found)}
    figure = drawn["layers-confidence-reliability"].figure()
    own = next(each for each in found.calibration if (each.eval_set, each.source) == (SETS[0], H_NEURONS))
    axes = figure.axes[0]
    dots = [(each.get_xdata()[0], each.get_ydata()[0]) for each in marks(axes, "bin")]  # type: ignore[attr-defined]
    assert dots == [(each.probability, each.hallucinated.value) for each in own.bins]
    text = only(axes, "error").get_text()  # type: ignore[attr-defined]
    assert decimal(own.ece, 2) in text
    assert decimal(own.perfect.high, 2) in text


def test_the_risk_that_is_reached_is_drawn_beside_its_target(found: Confidence) -> None:
    drawn = {each.name: each for each in illustrations(found)}
    figure = drawn["layers-confidence-trade"].figure()
    done = outcome_of(found, SETS[0], ENTROPY, target(found), False)
    assert done is not None
    at = [each.get_xdata()[0] for each in marks(figure.axes[0], f"risk:{ENTROPY}")]  # type: ignore[attr-defined]
    assert done.risk.value in at
    stopped = only(figure.axes[len(SETS)], f"stopped:{ENTROPY}")
    assert list(stopped.get_xdata()) == [done.stopped.value]  # type: ignore[attr-defined]
    assert list(only(figure.axes[0], "target").get_xdata()) == [target(found)] * 2  # type: ignore[attr-defined]


def test_words_give_the_numbers_with_their_controls(found: Confidence) -> None:
    said = " ".join(sentences(found))
    ours, rival = curve_of(found, SETS[0], H_NEURONS), best_rival(found, SETS[0])
    assert ours is not None
    assert rival is not None
    assert estimate(ours.aurc) in said
    assert decimal(rival.aurc.value) in said
    assert "as many faithful as hallucinated answers by selection" in said
    semantic = signal_of(found, 0, SEMANTIC)
    assert semantic is not None
    assert estimate(semantic.auroc) in said
    done = outcome_of(found, SETS[1], H_NEURONS, target(found), False)
    assert done is not None
    assert percent_estimate(done.risk) in said


def test_who_leaves_less_risk_follows_the_paired_interval(found: Confidence) -> None:
    worse = [each for each in sentences(found) if "leaves less risk than by H-Neurons" in each]
    assert len(worse) == 1
    assert SETS[1] in worse[0]
    swapped = found.model_copy(
        update={
            "curves": tuple(
                each.model_copy(
                    update={"over_entropy": each.over_entropy.model_copy(update={"low": -0.3, "high": -0.1})}
                )
                for each in found.curves
            )
        }
    )
    assert not [each for each in sentences(swapped) if "leaves less risk than by H-Neurons" in each]
    assert [each for each in sentences(swapped) if "leaves less risk than by token entropy" in each]


def test_a_part_that_is_missing_is_not_spoken_of(found: Confidence) -> None:
    bare = found.model_copy(
        update={
            "sampled": None,
            "p_true": None,
            "boundary": (),
            "confident": (),
            "abstaining": Abstaining(choices=(), outcomes=()),
        }
    )
    said = " ".join(sentences(bare))
    assert "semantic entropy" not in said
    assert "whether its own answer is true" not in said
    assert [each.name for each in illustrations(bare)] == [
        "layers-confidence-reliability",
        "layers-confidence-coverage",
    ]
    assert signal_lines(bare) == []


def test_tables_hold_what_was_found(found: Confidence) -> None:
    lines = abstention_lines(found, SETS[0])
    done = outcome_of(found, SETS[0], H_NEURONS, target(found), True)
    assert done is not None
    assert str(lines[0].coverage) == percent_estimate(done.coverage)
    names = [each.name for each in signal_lines(found)]
    assert SEMANTIC in names
    values = [float(each.auroc.value) for each in signal_lines(found)]
    assert values == sorted(values, reverse=True)


def test_a_figure_is_small_and_names_in_it_are_text(found: Confidence) -> None:
    svg = illustrations(found)[0].svg()
    assert len(svg) < 200_000
    assert "far <b>" not in svg


def test_the_page_lists_both_tables_and_escapes_names(found: Confidence) -> None:
    template = _environment().from_string(
        '{% from "macros.html" import figure, cell with context %}{% include "layers/confidence.html" %}'
    )
    page = template.render(part=PartShown("confidence", "", found, (), (), (), ""), figures={})
    assert page.count("<table") == 1 + len(SETS)
    assert "far &lt;b&gt;" in page
    assert "far <b>" not in page
