"""Figures, words and tables of tracking: what is drawn and said is what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.report.artists import marks, only
from tests.report.layers.tracking.made import made

from hneurons.layers.tracking.record import Tracking
from hneurons.report.layers.tracking.decisions import APART, decisions, draw_decisions, gap_text
from hneurons.report.layers.tracking.drifts import distance, draw_drift
from hneurons.report.layers.tracking.figures import illustrations
from hneurons.report.layers.tracking.sentences import sentences
from hneurons.report.layers.tracking.trajectories import LINES, draw_trajectories, trajectory
from hneurons.report.layers.tracking.views import depth_lines, statistic_lines
from hneurons.report.look import LIGHT
from hneurons.report.page import make_environment


@pytest.fixture(scope="module")
def found() -> Tracking:
    return made()


def test_lines_are_the_trajectories(found: Tracking) -> None:
    figure = draw_trajectories(found, LIGHT)
    for each in found.sets:
        for lens in ("logit", "tuned"):
            panel: Any = only(figure, f"panel:{lens}:{each.name}")
            for verdict, token, *_ in LINES:
                own = trajectory(each, lens, verdict, token)  # type: ignore[arg-type]
                drawn = marks(panel, f"line:{verdict}:{token}")
                assert bool(drawn) == (own is not None)
                if own is not None:
                    line: Any = drawn[0]
                    assert list(line.get_ydata()) == pytest.approx([p.value for p in own.probability])
                    assert (line.get_color() == LIGHT.signal) == ((verdict, token) == ("hallucinated", "given"))


def test_bars_are_the_shares_and_squares_the_control(found: Tracking) -> None:
    figure = draw_decisions(found, LIGHT)
    for each in found.sets:
        for lens in ("logit", "tuned"):
            panel: Any = only(figure, f"panel:{lens}:{each.name}")
            for verdict, own in decisions(each, lens).items():  # type: ignore[arg-type]
                for depth, share in enumerate(own.shares):
                    bar: Any = only(panel, f"{verdict}:{depth}")
                    assert bar.get_height() == pytest.approx(share)
                    assert round(bar.get_x() + bar.get_width() / 2) == depth
                never: Any = only(panel, f"{verdict}:never")
                assert never.get_height() == pytest.approx(own.never.value)
                assert abs(never.get_x() - 7 - APART) < 1
        for own_ in each.overtaken:
            square: Any = only(figure, f"control:{each.name}:{own_.lens}")
            assert square.get_xdata()[0] == pytest.approx(own_.control.value)
            dot: Any = only(figure, f"dot:{each.name}, {own_.lens} lens")
            assert dot.get_xdata()[0] == pytest.approx(own_.share.value)
    assert "p " in gap_text(found.sets[0], "logit")
    assert gap_text(found.sets[2], "logit") == "only one kind of answer"


def test_drift_with_its_controls_and_predictors(found: Tracking) -> None:
    figure = draw_drift(found, LIGHT)
    panels: list[Any] = marks(figure, "panel:made")
    for each, panel in zip(found.drifts, panels, strict=True):
        own = distance(each)
        for name in ("case", "reworded", "other"):
            drawn: list[Any] = marks(panel, f"line:{name}")
            assert bool(drawn) == bool(getattr(own, name))
            if drawn:
                expected = [np.nan if p.value is None else p.value for p in getattr(own, name)]
                np.testing.assert_allclose(drawn[0].get_ydata(), expected)
    below: list[Any] = marks(figure, "predictors:made")
    for each, axes in zip(found.drifts, below, strict=True):
        for predictor in each.predictors:
            dot: Any = only(axes, f"dot:{predictor.name}")
            assert dot.get_xdata()[0] == pytest.approx(predictor.auroc.value)
    assert [label.get_text() for label in below[0].get_yticklabels()][-1] == "early drift"


def test_illustrations_are_small(found: Tracking) -> None:
    drawn = illustrations(found)
    assert [each.name for each in drawn] == [
        "layers-tracking-trajectories", "layers-tracking-decisions", "layers-tracking-drift",
    ]  # fmt: skip
    assert len(drawn[2].svg()) < 150_000
    assert len(illustrations(found.model_copy(update={"drifts": ()}))) == 2


def test_words_hold_the_numbers(found: Tracking) -> None:
    said = "\n".join(sentences(found))
    (gap,) = [each for each in found.sets[0].gaps if (each.lens, each.rule) == ("tuned", "all")]
    assert f"{gap.n_pairs} pairs" in said
    assert found.sets[2].reason in said
    assert "0 of its cases have a neutral twin" in said
    own = distance(found.drifts[0])
    assert own.undone_gap is not None
    assert f"{own.undone.value:.1%}" in said
    assert said.count("AUROC") == 2
    assert "nowhere" in said or "only under" in said


def test_verdicts_follow_the_intervals(found: Tracking) -> None:
    first = found.drifts[0]
    own = distance(first)

    def with_gap(low: float, high: float) -> str:
        changed = own.model_copy(update={"undone_gap": own.peak.model_copy(update={"low": low, "high": high})})
        drift = first.model_copy(update={"distances": (changed, *first.distances[1:])})
        return sentences(found.model_copy(update={"drifts": (drift,), "missing": {}}))[-1]

    assert "more than a change of wording only under Made up" in with_gap(0.1, 0.3)
    assert "nowhere do later layers undo misleading drift more" in with_gap(-0.1, 0.3)
    assert "less under Made up" in with_gap(-0.3, -0.1)


def test_tables(found: Tracking) -> None:
    assert [line.depth for line in depth_lines(found)] == list(range(6))
    assert len(depth_lines(made(32))) <= 13
    lines = statistic_lines(found)
    assert 0 < len(lines) <= 12
    assert lines[0].statistic == "FFN norm"
    assert lines[0].layer == 2
    assert statistic_lines(found.model_copy(update={"sets": (found.sets[2],)})) == []


def test_names_are_escaped_on_the_page(found: Tracking) -> None:
    from types import SimpleNamespace

    from hneurons.report import numbers
    from hneurons.report.layers.tracking import views

    environment = make_environment()
    environment.globals.update(counted=numbers.counted, tracking_views=views)
    page = environment.get_template("layers/tracking.html").render(part=SimpleNamespace(found=found), figures={})
    assert "second <b>" not in page
    assert "KL divergence" in page
