from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from tests.report.artists import marks, only
from tests.report.synthetic_origin import make_growth, make_origin

from hneurons.origins.record import Growth, Origin, TransferControl, Transferred
from hneurons.probes.bootstrap import Estimate
from hneurons.report.figures import illustrations
from hneurons.report.look import DARK
from hneurons.report.origin.drift import shares
from hneurons.report.origin.figures import origin_illustrations
from hneurons.report.origin.growth import step_axis
from hneurons.study.results import Results

SHOWN = ("H-Neurons, refit", "H-Neurons", "token entropy", "token log-probability", "hidden state, best layer")


def drawn(results: Results, name: str) -> Figure:
    return next(each for each in origin_illustrations(results) if each.name == name).figure()


def corners(band: Artist) -> set[tuple[float, float]]:
    return {(round(float(x), 9), round(float(y), 9)) for path in band.get_paths() for x, y in path.vertices}


def check_panel(axes: Axes, figures: dict[str, Estimate], controls: dict[str, TransferControl]) -> None:
    """Every dot, interval, spread and draw of a panel is where the record says."""
    for name in SHOWN:
        if figures[name].value is None:
            assert not marks(axes, f"dot:{name}")
            continue
        assert only(axes, f"dot:{name}").get_xdata() == pytest.approx([figures[name].value])
        ends = [figures[name].low, figures[name].high]
        assert only(axes, f"interval:{name}").get_xdata() == pytest.approx(ends)
    for name, control in controls.items():
        if control.auroc.low is None:
            assert not marks(axes, f"spread:{name}")
            continue
        box = only(axes, f"spread:{name}").get_bbox()
        assert (box.x0, box.x1) == pytest.approx((control.auroc.low, control.auroc.high))
        assert only(axes, f"draws:{name}").get_xdata() == pytest.approx(control.auroc.values)
        assert only(axes, f"mean:{name}").get_xdata()[0] == pytest.approx(control.auroc.mean)
    random = controls["random neurons"].auroc
    if random.low is not None:
        band = only(axes, "random band").get_bbox()
        assert (band.x0, band.x1) == pytest.approx((random.low, random.high))
        assert set(only(axes, "chance").get_xdata()) == {0.5}


def check_transfer(figure: Figure, results: Results) -> None:
    assert results.origin is not None
    for direction in ("backward", "forward"):
        transfer = getattr(results.origin, direction)
        for name in ("in-domain", "long-tail", "cross-domain", "invented"):
            figures = {each.detector: each.auroc for each in transfer.figures if each.eval_set == name}
            controls = {each.control: each for each in transfer.controls if each.eval_set == name}
            check_panel(only(figure, f"panel:{direction}:{name}"), figures, controls)
    for name in ("in-domain", "long-tail", "cross-domain"):
        figures = {each.detector: each.auroc for each in results.evaluation.detection if each.eval_set == name}
        native = {each.control: each for each in results.evaluation.controls if each.eval_set == name}
        check_panel(only(figure, f"panel:native:{name}"), figures, native)


def test_transfer_shows_every_figure_before_its_controls(traced: Results) -> None:
    check_transfer(drawn(traced, "transfer"), traced)


@pytest.mark.parametrize("swap", ["direction", "detector", "control", "set"])
def test_the_check_sees_what_is_swapped(traced: Results, origin: Origin, swap: str) -> None:
    assert origin.backward is not None

    def other(each: Transferred | TransferControl) -> Transferred | TransferControl:
        names = {
            "detector": ("detector", "H-Neurons", "H-Neurons, refit"),
            "control": ("control", "random neurons", "random neurons, layer-matched"),
            "set": ("eval_set", "in-domain", "long-tail"),
        }
        field, one, two = names[swap]
        value = getattr(each, field, None)
        return each.model_copy(update={field: {one: two, two: one}[value]} if value in (one, two) else {})

    if swap == "direction":
        changed = origin.model_copy(update={"backward": origin.forward, "forward": origin.backward})
    else:
        parts = {part: tuple(map(other, getattr(origin.backward, part))) for part in ("figures", "controls")}
        changed = origin.model_copy(update={"backward": origin.backward.model_copy(update=parts)})
    with pytest.raises(AssertionError):
        check_transfer(drawn(traced, "transfer"), traced.model_copy(update={"origin": changed}))


def test_a_set_without_both_kinds_shows_why(traced: Results) -> None:
    figure = drawn(traced, "transfer")
    words = only(only(figure, "panel:backward:invented"), "reason").get_text()
    assert " ".join(words.split()) == "not defined: all 90 answers are hallucinated"
    assert not marks(only(figure, "panel:backward:in-domain"), "reason")
    assert not marks(only(figure, "panel:backward:invented"), "chance")


def test_panels_of_transfer_have_one_scale_that_hides_nothing(traced: Results, origin: Origin) -> None:
    panels = [axes for axes in drawn(traced, "transfer").axes if (axes.get_gid() or "").startswith("panel:")]
    assert len(panels) == 12
    (limits,) = {axes.get_xlim() for axes in panels}
    for transfer in (origin.backward, origin.forward):
        assert transfer is not None
        for each in transfer.figures:
            if each.detector in SHOWN and each.auroc.low is not None:
                assert limits[0] <= each.auroc.low
        assert all(limits[0] <= value for each in transfer.controls for value in each.auroc.values)


def test_what_was_not_transferred_is_not_drawn(results: Results) -> None:
    alone = results.model_copy(update={"origin": make_origin(forward=False, drift=False)})
    assert {each.name for each in origin_illustrations(alone)} == {"transfer"}
    assert not [axes for axes in drawn(alone, "transfer").axes if "forward" in (axes.get_gid() or "")]
    nothing = results.model_copy(update={"origin": make_origin(backward=False, forward=False, drift=False)})
    assert origin_illustrations(nothing) == []
    assert origin_illustrations(results) == []


def check_drift(figure: Figure, origin: Origin) -> None:
    drift = origin.drift
    assert drift is not None
    n = len(drift.hneurons)
    for name, ranks in (
        ("all", [each.rank for each in drift.hneurons]),
        ("layer", [each.layer_rank for each in drift.hneurons]),
    ):
        line = only(figure, f"shares:{name}")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
            if 0 < x < 1:
                assert y == pytest.approx(sum(rank <= x for rank in ranks) / n)
        assert set(ranks) <= set(line.get_xdata())
        assert line.get_drawstyle() == "steps-post"
    for test in drift.tests:
        assert only(figure, f"dot:{test.score}").get_xdata() == pytest.approx([test.mean_rank.value])
        ends = [test.mean_rank.low, test.mean_rank.high]
        assert only(figure, f"interval:{test.score}").get_xdata() == pytest.approx(ends)
        for kind, band in (("random", test.random), ("matched", test.matched)):
            box = only(figure, f"{kind}:{test.score}").get_bbox()
            assert (box.x0, box.x1) == pytest.approx((band.low, band.high))
    for projection in ("up", "gate", "down"):
        line = only(figure, f"layers:{projection}")
        np.testing.assert_allclose(line.get_xdata(), [each.layer for each in drift.layers])
        np.testing.assert_allclose(line.get_ydata(), [getattr(each, projection) for each in drift.layers])
        dots = only(figure, f"hneurons:{projection}")
        np.testing.assert_allclose(dots.get_xdata(), [each.neuron[0] for each in drift.hneurons])
        np.testing.assert_allclose(dots.get_ydata(), [getattr(each, projection) for each in drift.hneurons])


def test_drift_shows_ranks_tests_and_layers(traced: Results, origin: Origin) -> None:
    check_drift(drawn(traced, "drift"), origin)


@pytest.mark.parametrize("field", ["rank", "layer_rank", "up", "random", "mean_rank"])
def test_the_check_sees_another_drift(traced: Results, origin: Origin, field: str) -> None:
    assert origin.drift is not None
    if field in ("random", "mean_rank"):
        first, second, *rest = origin.drift.tests
        changed = first.model_copy(update={field: getattr(second, field)})
        update: dict[str, object] = {"tests": (changed, second, *rest)}
    else:
        first_, second_, *rest_ = origin.drift.hneurons
        update = {"hneurons": (first_.model_copy(update={field: getattr(second_, field)}), second_, *rest_)}
    other = origin.model_copy(update={"drift": origin.drift.model_copy(update=update)})
    with pytest.raises(AssertionError):
        check_drift(drawn(traced, "drift"), other)


def test_the_band_of_even_ranks_holds_as_many_uniform_draws(traced: Results, origin: Origin) -> None:
    assert origin.drift is not None
    n = len(origin.drift.hneurons)
    (path,) = only(drawn(traced, "drift"), "band:even").get_paths()
    at = np.array([y for x, y in path.vertices if abs(x - 0.3) < 1e-9])
    counts = (np.random.default_rng(0).random((20_000, n)) <= 0.3).mean(axis=1)
    assert (at.min(), at.max()) == pytest.approx(tuple(np.percentile(counts, [2.5, 97.5])))


def test_shares_step_at_every_rank() -> None:
    x, y = shares([0.5, 0.25, 0.5, 1.0])
    assert list(x) == [0.0, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert list(y) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_drift_without_gate_or_hneurons_is_drawn(results: Results, origin: Origin) -> None:
    assert origin.drift is not None
    layers = tuple(each.model_copy(update={"gate": None}) for each in origin.drift.layers)
    tests = tuple(each for each in origin.drift.tests if "gate" not in each.score)
    bare = origin.drift.model_copy(update={"layers": layers, "tests": tests, "hneurons": ()})
    figure = drawn(results.model_copy(update={"origin": origin.model_copy(update={"drift": bare})}), "drift")
    assert not marks(figure, "layers:gate")
    assert not marks(figure, "shares:all")
    assert marks(figure, "layers:down")


def check_growth(figure: Figure, growth: Growth) -> None:
    steps = [each.step for each in growth.checkpoints]

    def figures(detector: str) -> list[Estimate]:
        held = [f for each in growth.checkpoints for f in each.figures]
        return [f.auroc for f in held if (f.eval_set, f.detector) == ("in-domain", detector)]

    lines = {name: figures(name) for name in ("H-Neurons, refit", "H-Neurons")}
    for name in ("frequent", "rare", "never"):
        lines[name] = [part.accuracy for each in growth.checkpoints for part in each.strata if part.value == name]
    lines["distance"] = [each.drift.hneurons for each in growth.checkpoints if each.drift]
    for name, found in lines.items():
        line = only(figure, f"line:{name}")
        np.testing.assert_allclose(line.get_xdata(), steps)
        values = [np.nan if each.value is None else each.value for each in found]
        np.testing.assert_allclose(line.get_ydata(), values)
        for step, each in zip(steps, found, strict=True):
            if each.low != each.high:
                bar = only(figure, f"interval:{name}:{step}")
                np.testing.assert_allclose(bar.get_ydata(), [each.low, each.high])
    above, _, below = figure.axes
    for kind, moved in (("random neurons", "random"), ("random neurons, layer-matched", "matched")):
        expected = set()
        for each in growth.checkpoints:
            for found in each.controls:
                if (found.eval_set, found.control) == ("in-domain", kind) and found.auroc.low is not None:
                    expected |= {(each.step, round(found.auroc.low, 9)), (each.step, round(found.auroc.high or 0, 9))}
        assert corners(only(above, f"band:{kind}")) == expected
        ends = {
            (each.step, round(value, 9))
            for each in growth.checkpoints
            for value in (getattr(each.drift, moved).low, getattr(each.drift, moved).high)
        }
        assert corners(only(below, f"band:{kind}")) == ends
    assert list(only(above, "undefined").get_xdata()) == [0]


def test_growth_shows_every_checkpoint(traced: Results, growth: Growth) -> None:
    figure = drawn(traced, "growth")
    check_growth(figure, growth)
    (limits,) = {axes.get_xlim() for axes in figure.axes}
    assert limits[0] < 0
    assert limits[1] > 20000
    with pytest.raises(AssertionError):
        check_growth(figure, make_growth(seed=1))
    with pytest.raises(AssertionError):
        check_growth(figure, make_growth(strength=1.0))


def test_growth_set_by_set_has_a_panel_for_each(traced: Results, growth: Growth) -> None:
    figure = drawn(traced, "growth-sets")
    for name, axes in zip(("in-domain", "long-tail"), figure.axes, strict=True):
        assert axes.get_title(loc="left") == name
        held = [f for each in growth.checkpoints for f in each.figures]
        values = [f.auroc.value for f in held if (f.eval_set, f.detector) == (name, "H-Neurons, refit")]
        np.testing.assert_allclose(only(axes, "line:H-Neurons, refit").get_ydata()[1:], values[1:])


def test_growth_without_strata_shows_sets_and_names_do_not_overlap(results: Results) -> None:
    figure = drawn(results.model_copy(update={"growth": make_growth(by=None)}), "growth")
    figure.canvas.draw()
    labels = [text for axes in figure.axes for text in axes.texts if (text.get_gid() or "").startswith("label:")]
    assert [text.get_text() for text in labels] == ["in-domain", "long-tail"]
    one, two = (text.get_window_extent() for text in labels)
    assert not one.overlaps(two)


@pytest.mark.parametrize("steps", [(0,), (500,), (0, 1000, 2000), (0, 10, 20, 30, 40, 50, 100, 10_000)])
def test_the_axis_of_steps_takes_any_steps(steps: tuple[int, ...]) -> None:
    axes = Figure().add_subplot()
    step_axis(axes, steps)
    low, high = axes.get_xlim()
    assert low < min(steps) <= max(steps) < high
    assert set(axes.get_xticks()) <= set(steps)
    assert {min(steps), max(steps)} <= set(axes.get_xticks())
    assert (axes.get_xscale() == "symlog") == (10 in steps)


def test_they_are_among_the_figures_of_the_report_in_its_colours(traced: Results, tmp_path: Path) -> None:
    found = illustrations(traced)
    assert {"transfer", "drift", "growth", "growth-sets"} <= set(found)
    for name in ("drift", "growth-sets"):  # the page's test of hostile text draws the others, too
        written = found[name].svg()  # refuses colours outside the palette
        assert "var(--data" in written
        assert "var(--signal" not in written
    found["drift"].write_png(tmp_path / "drift.png", DARK, dpi=40)
    with Image.open(tmp_path / "drift.png") as image:
        assert image.width > 300
