from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image
from tests.report.artists import marks, only

from hneurons.compliance.record import Curve, Sweep
from hneurons.probes.bootstrap import Estimate
from hneurons.report.figures import illustrations
from hneurons.report.look import DARK
from hneurons.report.sweep.alpha import spaced, wrapped
from hneurons.report.sweep.compliance import scales
from hneurons.report.sweep.figures import sweep_illustrations
from hneurons.study.results import Results

KINDS = {"hneurons": "H-Neurons", "gated": "H-Neurons, gated"}
UNDEFINED = Estimate(value=None, low=None, high=None, reason="no case counts at this alpha")


def drawn(sweep: Sweep, name: str) -> Figure:
    return next(each for each in sweep_illustrations(sweep) if each.name == name).figure()


def corners(band: Artist) -> set[tuple[float, float]]:
    (path,) = band.get_paths()
    return {(round(float(x), 9), round(float(y), 9)) for x, y in path.vertices}


def check_compliance(figure: Figure, sweep: Sweep) -> None:
    """Every rate, interval, band and bound is where the sweep says, in the panel of its benchmark."""
    for benchmark, axes in zip(sweep.benchmarks, figure.axes, strict=False):
        assert axes.get_title(loc="left").replace("\n", " ") == benchmark.title
        here = [each for each in sweep.curves if each.benchmark == benchmark.name]
        for each in here:
            if each.kind not in KINDS:
                continue
            line = only(axes, f"line:{each.kind}")
            np.testing.assert_allclose(line.get_xdata(), [point.alpha for point in each.points])
            np.testing.assert_allclose(line.get_ydata(), [point.rate.value for point in each.points])
            for point in each.points:
                bar = only(axes, f"interval:{each.kind}:{point.alpha:g}")
                np.testing.assert_allclose(bar.get_ydata(), [point.rate.low, point.rate.high])
            bounds = {(point.alpha, round(point.high_bound, 9)) for point in each.points if point.unparsed}
            assert bool(marks(axes, f"bound:{each.kind}")) == bool(bounds)
            assert not bounds or bounds <= corners(only(axes, f"bound:{each.kind}"))
        for kind in ("random", "layer-matched"):
            rates = np.array([[point.rate.value for point in each.points] for each in here if each.kind == kind])
            expected = {(alpha, round(float(low), 9)) for alpha, low in zip(sweep.alphas, rates.min(0), strict=True)}
            expected |= {(alpha, round(float(high), 9)) for alpha, high in zip(sweep.alphas, rates.max(0), strict=True)}
            assert corners(only(axes, f"band:{kind}")) == expected
        assert set(only(axes, "intact").get_xdata()) == {1.0}


def test_compliance_shows_every_rate_and_band(sweep: Sweep) -> None:
    check_compliance(drawn(sweep, "compliance"), sweep)


@pytest.mark.parametrize("field", ["benchmark", "kind"])
def test_the_check_sees_swapped_curves(sweep: Sweep, field: str) -> None:
    swap = {"atlas/premise": "atlas/context", "atlas/context": "atlas/premise", "random": "layer-matched"}
    swap["layer-matched"] = "random"
    swapped = tuple(
        each.model_copy(update={field: swap.get(getattr(each, field), getattr(each, field))}) for each in sweep.curves
    )
    with pytest.raises(AssertionError):
        check_compliance(drawn(sweep, "compliance"), sweep.model_copy(update={"curves": swapped}))


def test_panels_of_compliance_have_one_scale_and_hide_nothing(sweep: Sweep) -> None:
    panels = drawn(sweep, "compliance").axes
    assert len({round(high - low, 9) for low, high in (axes.get_ylim() for axes in panels)}) == 1
    for benchmark, axes in zip(sweep.benchmarks, panels, strict=True):
        low, high = axes.get_ylim()
        for each in sweep.curves:
            if each.benchmark == benchmark.name:
                assert all(low <= (point.rate.value or 0) <= high for point in each.points)


def test_scales_are_equally_long_and_shared_where_that_wastes_little() -> None:
    near = scales([(0.1, 0.5), (0.2, 0.6)])
    assert near[0] == near[1]
    assert near[0][0] <= 0.1
    assert near[0][1] >= 0.6
    apart = scales([(0.0, 0.2), (0.8, 0.95)])
    assert apart[0] != apart[1]
    assert apart[0][1] - apart[0][0] == pytest.approx(apart[1][1] - apart[1][0])
    assert apart[1][1] <= 1.1
    (flat,) = scales([(0.5, 0.5)])
    assert flat[1] - flat[0] > 0.2


def test_slopes_show_every_set(sweep: Sweep) -> None:
    figure = drawn(sweep, "slopes")
    assert len(figure.axes) == len(sweep.benchmarks) + 1
    for benchmark, axes in zip(sweep.benchmarks, figure.axes, strict=False):
        here: list[Curve] = [each for each in sweep.curves if each.benchmark == benchmark.name]
        for each in here:
            if each.kind in KINDS:
                assert only(axes, f"dot:{KINDS[each.kind]}").get_xdata() == pytest.approx([each.slope.value])
                ends = [each.slope.low, each.slope.high]
                assert only(axes, f"interval:{KINDS[each.kind]}").get_xdata() == pytest.approx(ends)
        controls = [each.slope.value for each in here if each.kind not in KINDS]
        random = [each.slope.value for each in here if each.kind == "random"]
        assert only(axes, "draws:random neurons (8)").get_xdata() == pytest.approx(random)
        box = only(axes, "controls").get_bbox()
        assert (box.x0, box.x1) == pytest.approx((min(controls), max(controls)))
    average = figure.axes[-1]
    assert only(average, "dot:H-Neurons").get_xdata() == pytest.approx([sweep.average_slope["H-Neurons"].value])


def test_costs_show_every_cost(sweep: Sweep) -> None:
    figure = drawn(sweep, "costs")
    for axes, field in zip(figure.axes, ("known_accuracy", "perplexity_ratio"), strict=True):
        for each in sweep.costs:
            if each.kind in KINDS:
                values = [getattr(point, field).value for point in each.points]
                np.testing.assert_allclose(only(axes, f"line:{each.kind}").get_ydata(), values)
        drawn_values = np.array(
            [[getattr(p, field).value for p in each.points] for each in sweep.costs if each.kind == "random"]
        )
        heights = {y for _, y in corners(only(axes, "band:random"))}
        assert {round(float(y), 9) for y in (*drawn_values.min(0), *drawn_values.max(0))} == heights


@pytest.mark.parametrize("name", ["equal-cost-known", "equal-cost-perplexity"])
def test_ways_lead_through_cost_and_change(sweep: Sweep, name: str) -> None:
    paid = {each.kind: each for each in sweep.costs}
    for benchmark, axes in zip(sweep.benchmarks, drawn(sweep, name).axes, strict=True):
        for kind in KINDS:
            curve = next(each for each in sweep.curves if (each.benchmark, each.kind) == (benchmark.name, kind))
            costs = [
                -point.known_difference.value if name == "equal-cost-known" else point.perplexity_ratio.value
                for point in paid[kind].points
            ]
            way = only(axes, f"way:{kind}")
            np.testing.assert_allclose(way.get_xdata(), costs)
            np.testing.assert_allclose(way.get_ydata(), [point.difference.value for point in curve.points])


def test_alphas_beside_points_do_not_lie_on_each_other(sweep: Sweep) -> None:
    figure = drawn(sweep, "equal-cost-perplexity")
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [
            text.get_window_extent()
            for text in axes.texts
            if (text.get_gid() or "").startswith("alpha:") and text.get_visible()
        ]
        assert boxes
        assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_health_shows_every_measure(sweep: Sweep) -> None:
    figure = drawn(sweep, "health")
    grid = np.array(figure.axes).reshape(len(sweep.benchmarks), 4)
    for row, benchmark in zip(grid, sweep.benchmarks, strict=True):
        curve = next(each for each in sweep.curves if (each.benchmark, each.kind) == (benchmark.name, "gated"))
        for axes, values in zip(
            row,
            (
                [point.unparsed / point.eligible for point in curve.points],
                [point.cut_off for point in curve.points],
                [point.length for point in curve.points],
                [point.repetition for point in curve.points],
            ),
            strict=True,
        ):
            np.testing.assert_allclose(only(axes, "line:gated").get_ydata(), values)


def labels_apart(figure: Figure) -> bool:
    """Whether no two names at the ends of lines lie on each other."""
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [t.get_window_extent() for t in axes.texts if (t.get_gid() or "").startswith("label:")]
        if any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]):
            return False
    return True


def test_names_at_line_ends_are_pushed_apart(sweep: Sweep) -> None:
    assert labels_apart(drawn(sweep, "compliance"))
    assert spaced([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spaced([0.9, 0.1], 0.1) == pytest.approx([0.9, 0.1])
    assert spaced([], 0.1) == []
    assert wrapped("a b", 1) == "a b"


SHAPES: dict[str, dict[str, object]] = {
    "one benchmark": {"titles": {"atlas/premise": "False premises"}},
    "six benchmarks": {"titles": {f"b{k}": f"Costs ${k} and $9 <b> " + "long words " * 6 for k in range(6)}},
    "two alphas": {"alphas": (1.0, 3.0)},
    "twenty alphas": {"alphas": tuple(round(0.15 * k, 2) if k != 7 else 1.0 for k in range(20))},
    "no gate": {"gated": False},
    "no controls": {"random_sets": 0, "matched_sets": 0},
    "one control": {"random_sets": 1, "matched_sets": 0},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_sweeps_of_every_shape_are_drawn(make_sweep: Callable[..., Sweep], shape: str) -> None:
    sweep = make_sweep(**SHAPES[shape])
    found = {each.name: each for each in sweep_illustrations(sweep)}
    assert set(found) >= {"compliance", "slopes", "costs", "health"}
    assert ("equal-cost-known" in found) == ("equal-cost-perplexity" in found) == (shape != "no gate")
    for each in found.values():
        assert each.sentence.endswith(".")
        assert each.alt.endswith(".")
        assert "None" not in each.sentence
        assert each.figure().axes


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_sweeps_of_every_shape_are_laid_out(make_sweep: Callable[..., Sweep], shape: str) -> None:
    for each in sweep_illustrations(make_sweep(**SHAPES[shape])):
        assert each.svg().startswith("<svg")


def without(sweep: Sweep, alpha: float) -> Sweep:
    """No case counts at one alpha of the H-Neurons, so no slope of theirs is defined."""
    curves = []
    for each in sweep.curves:
        if each.kind == "hneurons":
            points = tuple(
                p.model_copy(
                    update={"eligible": 0, "complied": 0, "unparsed": 0, "rate": UNDEFINED, "difference": UNDEFINED}
                    | {"high_bound": None}
                )
                if p.alpha == alpha
                else p
                for p in each.points
            )
            each = each.model_copy(update={"points": points, "slope": UNDEFINED, "p_value": None})
        curves.append(each)
    findings = tuple(
        each.model_copy(update={"slope": UNDEFINED, "p_value": None, "control_p": None, "beyond": None})
        for each in sweep.findings
    )
    average = {**sweep.average_slope, "H-Neurons": UNDEFINED}
    return sweep.model_copy(update={"curves": tuple(curves), "findings": findings, "average_slope": average})


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_what_is_not_defined_is_a_gap(sweep: Sweep, alpha: float) -> None:
    gone = without(sweep, alpha)
    figure = drawn(gone, "compliance")
    values = only(figure.axes[0], "line:hneurons").get_ydata()
    assert [bool(np.isnan(value)) for value in values] == [each == alpha for each in sweep.alphas]
    assert all(each.figure().axes for each in sweep_illustrations(gone))
    assert marks(drawn(gone, "slopes").axes[0], "dot:H-Neurons") == []


def test_a_study_has_them_only_when_it_was_swept(results: Results, swept: Results, tmp_path: Path) -> None:
    names = {"compliance", "slopes", "costs", "equal-cost-known", "equal-cost-perplexity", "health"}
    assert names.isdisjoint(illustrations(results))
    found = illustrations(swept)
    assert names <= set(found)
    found["compliance"].write_png(tmp_path / "dark.png", DARK, dpi=40)
    assert np.asarray(Image.open(tmp_path / "dark.png").convert("L")).mean() < 80
