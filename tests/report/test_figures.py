from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure
from PIL import Image
from tests.report.artists import marks, only

from hneurons.probes.bootstrap import Estimate
from hneurons.report.figures import illustrations
from hneurons.report.look import DARK, LIGHT
from hneurons.report.reading import frequencies
from hneurons.study.evaluating import MATCHED, PERMUTED, RANDOM
from hneurons.study.results import Results


def check_detection(figure: Figure, results: Results, eval_set: str) -> None:
    """Every dot, interval and spread of a figure is where the results say."""
    by_auroc = eval_set != "invented"
    for row in results.evaluation.detection:
        if row.eval_set == eval_set:
            found = row.auroc if by_auroc else row.flagged
            assert only(figure, f"dot:{row.detector}").get_xdata() == pytest.approx([found.value])
            assert only(figure, f"interval:{row.detector}").get_xdata() == pytest.approx([found.low, found.high])
    for control in results.evaluation.controls:
        if control.eval_set == eval_set:
            band = control.auroc if by_auroc else control.flagged
            label = f"{control.control} ({control.draws})"
            box = only(figure, f"spread:{label}").get_bbox()
            assert (box.x0, box.x1) == pytest.approx((band.low, band.high))
            assert only(figure, f"draws:{label}").get_xdata() == pytest.approx(band.values)
            assert only(figure, f"mean:{label}").get_xdata() == pytest.approx([band.mean] * 2)
            if control.control == RANDOM:
                behind = only(figure, "random band").get_bbox()
                assert (behind.x0, behind.x1) == pytest.approx((band.low, band.high))


@pytest.mark.parametrize("eval_set", ["in-domain", "invented"])
def test_detection_shows_the_numbers(results: Results, eval_set: str) -> None:
    figure = illustrations(results)[f"detection-{eval_set}"].figure()
    check_detection(figure, results, eval_set)
    heights = {
        row.detector: only(figure, f"dot:{row.detector}").get_ydata()[0]
        for row in results.evaluation.detection
        if row.eval_set == eval_set
    }
    by_auroc = eval_set != "invented"
    figures = {
        row.detector: row.auroc.value if by_auroc else row.flagged.value
        for row in results.evaluation.detection
        if row.eval_set == eval_set
    }
    ordered = sorted(heights, key=lambda name: -heights[name])
    assert [figures[name] for name in ordered] == sorted(figures.values(), reverse=True)


def test_the_check_sees_swapped_bands(results: Results) -> None:
    other = {RANDOM: MATCHED, MATCHED: RANDOM}
    swapped = tuple(
        each.model_copy(update={"control": other.get(each.control, each.control)})
        for each in results.evaluation.controls
    )
    evaluation = results.evaluation.model_copy(update={"controls": swapped})
    figure = illustrations(results.model_copy(update={"evaluation": evaluation}))["detection-in-domain"].figure()
    with pytest.raises(AssertionError):
        check_detection(figure, results, "in-domain")


def test_overview_has_every_set_in_one_order_and_on_one_scale(results: Results) -> None:
    figure = illustrations(results)["overview"].figure()
    panels = figure.axes
    heads = [axes.get_title(loc="left").strip() for axes in panels]
    assert heads == ["in-domain", "long-tail", "cross-domain", "invented"]
    assert len({axes.get_xlim() for axes in panels[:3]}) == 1
    for row in results.evaluation.detection:
        dots = marks(figure, f"dot:{row.detector}")
        assert len({mark.get_ydata()[0] for mark in dots}) == 1
        values = [mark.get_xdata()[0] for mark in dots]
        assert (row.flagged.value if row.eval_set == "invented" else row.auroc.value) in values


def test_a_detector_without_an_interval_is_a_dot_alone(results: Results) -> None:
    bare = Estimate(value=0.7, low=None, high=None, reason="undefined in 1 of 2 resamples; no interval")
    changed = tuple(
        row.model_copy(update={"auroc": bare}) if row.detector == "length" else row
        for row in results.evaluation.detection
    )
    evaluation = results.evaluation.model_copy(update={"detection": changed})
    figure = illustrations(results.model_copy(update={"evaluation": evaluation}))["detection-in-domain"].figure()
    assert only(figure, "dot:length").get_xdata() == pytest.approx([0.7])
    assert marks(figure, "interval:length") == []


def test_a_control_without_draws_is_an_empty_row(results: Results) -> None:
    changed = []
    for control in results.evaluation.controls:
        none = control.auroc.model_copy(
            update={"mean": None, "low": None, "high": None, "values": (), "reason": "no draws"}
        )
        gone = {"draws": 0, "auroc": none, "accuracy": none, "accuracy_at_threshold": none, "flagged": none}
        changed.append(control.model_copy(update=gone) if control.control == PERMUTED else control)
    evaluation = results.evaluation.model_copy(update={"controls": tuple(changed)})
    figure = illustrations(results.model_copy(update={"evaluation": evaluation}))["detection-in-domain"].figure()
    assert marks(figure, f"spread:{PERMUTED} (0)") == []
    assert len(marks(figure, f"spread:{RANDOM} (20)")) == 1


def test_depth_has_a_stem_for_every_neuron_as_tall_as_its_weight(results: Results) -> None:
    figure = illustrations(results)["depth"].figure()
    heaviest = max(results.probe.weights)
    for (layer, index), weight in zip(results.probe.neurons, results.probe.weights, strict=True):
        stem = only(figure, f"neuron:{layer}:{index}")
        bottom, top = stem.get_ydata()
        assert list(stem.get_xdata()) == [index, index]
        assert (bottom, (top - bottom) / 0.74) == pytest.approx((layer, weight / heaviest))
    counted = [only(figure, f"count:{layer}").get_width() for layer in range(6)]
    assert counted == list(np.bincount([layer for layer, _ in results.probe.neurons], minlength=6))
    assert only(figure, "even").get_xdata() == pytest.approx([22 / 6] * 2)


def test_path_marks_the_chosen_c_and_what_could_not_be_chosen(results: Results) -> None:
    figure = illustrations(results)["path"].figure()
    curve = results.fit.curve
    above, below = figure.axes
    label = "held-out answers on the right side"
    for axes, name, values in (
        (above, label, [point.heldout_accuracy for point in curve]),
        (above, "known questions still right at alpha 0", [point.known_accuracy for point in curve]),
        (below, "", [point.n_hneurons for point in curve]),
    ):
        line = only(axes, f"line:{name}")
        assert list(line.get_xdata()) == [point.C for point in curve]
        np.testing.assert_allclose(line.get_ydata(), [np.nan if value is None else value for value in values])
    excluded = [k for k, point in enumerate(curve) if point.excluded]
    assert excluded == [0, 9, 10, 11]
    assert [k for k in range(len(curve)) if marks(figure, f"excluded:{k}")] == excluded
    hollow = only(figure, f"excluded:{label}")
    assert list(hollow.get_xdata()) == [curve[k].C for k in excluded]
    assert hollow.get_markerfacecolor() == LIGHT.panel
    assert {float(line.get_xdata()[0]) for line in marks(figure, "chosen")} == {curve[results.fit.chosen].C}
    assert only(figure, "intact").get_ydata()[0] == results.fit.known_intact
    assert only(figure, "cap").get_ydata()[0] == pytest.approx(0.01 * 6144)


def test_stability_shows_every_share(results: Results) -> None:
    figure = illustrations(results)["stability"].figure()
    found = frequencies(results)
    assert len(found) == 22
    for place, each in enumerate(found):
        label = f"L{each.neuron[0]} · {each.neuron[1]}"
        dot = only(figure, f"dot:{label}")
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == pytest.approx((each.share, 21 - place))
        assert only(figure, f"interval:{label}").get_xdata() == pytest.approx([each.low, each.high])
    overlap = only(figure, "jaccard")
    points = [(point.C, point.jaccard) for point in results.fit.stability if point.jaccard is not None]
    np.testing.assert_allclose(overlap.get_xydata(), points)


def test_every_figure_has_words_and_both_renderings(results: Results, tmp_path: Path) -> None:
    before = dict(rcParams)
    found = illustrations(results)
    assert set(found) >= {"depth", "path", "overview", "stability", "detection-invented", "calibration-in-domain"}
    assert "calibration-invented" not in found
    for each in found.values():
        assert each.sentence.endswith(".")
        assert each.alt.endswith(".")
    found["depth"].write_png(tmp_path / "light.png", dpi=40)
    found["depth"].write_png(tmp_path / "dark.png", DARK, dpi=40)
    light, dark = (np.asarray(Image.open(tmp_path / name).convert("L")) for name in ("light.png", "dark.png"))
    assert light.mean() > 200
    assert dark.mean() < 80
    assert dict(rcParams) == before
