"""What is drawn is what the runs found, at the places that their sizes say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from tests.report.artists import marks, only
from tests.report.synthetic_compare import LAYERS, NEURONS, PARAMETERS, compared, make_run, make_three

from hneurons.report.comparison.figures import comparison_illustrations
from hneurons.report.comparison.places import places, shortened
from hneurons.report.comparison.profile import profile_scale
from hneurons.report.look import DARK
from hneurons.study.results import Results
from hneurons.study.side_by_side import SideBySide

BAD = "$x$ <b>&\nlong" + "g" * 60


def drawn(found: SideBySide, name: str) -> Figure:
    return comparison_illustrations(found)[name].figure()


def at(place: Axes, name: str) -> tuple[list[float], list[float]]:
    line = only(place, name)
    return [float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()]


def check_auroc(figure: Figure, runs: Sequence[Results]) -> None:
    for axes, eval_set in zip(figure.axes, ("in-domain", "long-tail", "cross-domain"), strict=True):
        assert axes.get_title(loc="left") == eval_set
        assert axes.get_xscale() == "log"
        for name, results in zip(NEURONS, runs, strict=True):
            rows = {row.detector: row for row in results.evaluation.detection if row.eval_set == eval_set}
            for kind, detector in (("", "H-Neurons"), ("second ", "H-Neurons, refit")):
                found = rows[detector].auroc
                assert at(axes, f"{kind}dot:{name}") == ([results.parameters], [found.value])
                assert at(axes, f"{kind}interval:{name}") == ([results.parameters] * 2, [found.low, found.high])
            (band,) = [
                each.auroc
                for each in results.evaluation.controls
                if (each.eval_set, each.control) == (eval_set, "random neurons")
            ]
            assert at(axes, f"band:{name}") == ([results.parameters] * 2, [band.low, band.high])
        xs, ys = at(axes, "join")
        assert xs == sorted(xs)
        assert ys == [at(axes, f"dot:{name}")[1][0] for name in NEURONS]
        low, high = axes.get_ylim()
        assert low < 0.5 < high


def test_auroc_stands_over_parameters() -> None:
    runs = make_three()
    check_auroc(drawn(compared(runs), "auroc"), runs)


@pytest.mark.parametrize("wrong", ["parameters", "refit"])
def test_the_check_sees_other_places_and_figures(wrong: str) -> None:
    runs = make_three()
    changed = list(runs)
    if wrong == "parameters":
        changed[1] = runs[1].model_copy(update={"parameters": 3_000_000})
    else:
        rows = tuple(
            row.model_copy(update={"auroc": row.brier}) if row.detector == "H-Neurons, refit" else row
            for row in runs[1].evaluation.detection
        )
        changed[1] = runs[1].model_copy(
            update={"evaluation": runs[1].evaluation.model_copy(update={"detection": rows})}
        )
    with pytest.raises(AssertionError):
        check_auroc(drawn(compared(changed), "auroc"), runs)


def test_slopes_stand_over_parameters_before_their_controls() -> None:
    runs = make_three()
    figure = drawn(compared(runs), "slopes")
    sweep = runs[0].sweep
    assert sweep is not None
    heads = [axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes[:5]]
    assert heads == ["average over the benchmarks", *(each.title for each in sweep.benchmarks)]
    for name, results in zip(NEURONS, runs, strict=True):
        swept, size = results.sweep, results.parameters
        assert swept is not None
        average = swept.average_slope["H-Neurons"]
        assert at(figure.axes[0], f"dot:{name}") == ([size], [average.value])
        assert at(figure.axes[0], f"interval:{name}") == ([size] * 2, [average.low, average.high])
        held = [each.value for key, each in swept.average_slope.items() if not key.startswith("H-Neurons")]
        assert len(held) == 12
        assert at(figure.axes[0], f"band:{name}") == ([size] * 2, [min(held), max(held)])
        for axes, benchmark in zip(figure.axes[1:5], swept.benchmarks, strict=True):
            curves = [each for each in swept.curves if each.benchmark == benchmark.name]
            (ours,) = [each.slope for each in curves if each.kind == "hneurons"]
            controls = [each.slope.value for each in curves if each.kind in ("random", "layer-matched")]
            assert at(axes, f"dot:{name}")[1] == [ours.value]
            assert at(axes, f"band:{name}")[1] == [min(controls), max(controls)]
    assert len({axes.get_ylim() for axes in figure.axes[:5]}) == 1


def test_the_share_of_h_neurons_stands_over_parameters() -> None:
    runs = make_three()
    left, right = drawn(compared(runs), "ratio").axes
    for name in NEURONS:
        ratio = 1000 * len(NEURONS[name]) / (LAYERS[name] * 1024)
        assert at(left, f"dot:{name}")[0] == [PARAMETERS[name]]
        assert at(left, f"dot:{name}")[1] == pytest.approx([ratio])
        fit = runs[0].fit
        assert at(right, f"dot:{name}")[1] == [fit.stability[fit.chosen].jaccard]
    assert [label.get_text() for label in left.get_xticklabels()] == [
        "1.1M\none", "3.5M\ntwo", "7.1M\nthree",
    ]  # fmt: skip


def test_the_profile_shows_every_layer_and_mean() -> None:
    found = compared(make_three())
    figure = drawn(found, "profile")
    (axes,) = figure.axes
    scale = profile_scale(found)
    for place, name in enumerate(NEURONS):
        base = 2 - place  # smallest on top
        layers, n = LAYERS[name], len(NEURONS[name])
        for layer in range(layers):
            bar = only(figure, f"bar:{name}:{layer}")
            count = sum(each == layer for each, _ in NEURONS[name])
            assert bar.get_x() + bar.get_width() / 2 == pytest.approx((layer + 0.5) / layers)
            assert bar.get_y() == base
            assert bar.get_height() / scale == pytest.approx(count / n * layers)
            shown = found.runs[place].layers[layer]
            ends = [(y - base) / scale / layers for y in at(axes, f"interval:{name}:{layer}")[1]]
            assert ends == pytest.approx([shown.low, shown.high])
        assert at(axes, f"even:{name}")[1] == pytest.approx([base + scale] * 2)
        mean = found.runs[place].mean_depth
        assert at(axes, f"mean:{name}")[0] == [mean.value]
        assert at(axes, f"mean interval:{name}")[0] == [mean.low, mean.high]
    assert scale * 4 * max(each.high for each in found.runs[1].layers) < 1  # no row reaches the next


def many(n: int, **changes: object) -> SideBySide:
    runs = [
        make_run(f"model-{k}-of-some-length", int(1e9 * 1.6**k), neurons=((k % 9, 1), (8, k), (3, 3)), layers=9 + 3 * k)
        for k in range(n)
    ]
    return compared([each.model_copy(update=changes) for each in runs])


def test_twelve_runs_have_numbers_and_a_key() -> None:
    found = many(12)
    assert "slopes" not in comparison_illustrations(found)
    figure = drawn(found, "auroc")
    for k, run in enumerate(found.runs):
        for axes in figure.axes[:3]:
            assert only(axes, f"number:{run.label}").get_text() == str(k + 1)
    key = figure.legends[0].get_texts()
    assert [text.get_text() for text in key] == [f"{k + 1}  model-{k}-of-some-length" for k in range(12)]
    assert len(marks(drawn(found, "profile"), "mean:model-11-of-some-length")) == 1


def test_runs_of_unknown_size_stand_beyond_a_line() -> None:
    runs = make_three()
    runs[1] = runs[1].model_copy(update={"parameters": None})
    axes = drawn(compared(runs), "ratio").axes[0]
    edge = float(only(axes, "edge").get_xdata()[0])
    assert PARAMETERS["three"] < edge < at(axes, "dot:two")[0][0]
    assert at(axes, "dot:three")[0] == [PARAMETERS["three"]]
    assert "?" in axes.get_xticklabels()[-1].get_text()
    assert not marks(axes, "join")


@pytest.mark.parametrize("parameters", [None, 7_000_000])
def test_runs_of_one_size_stand_side_by_side(parameters: int | None) -> None:
    figure = drawn(compared(make_three(parameters=parameters)), "ratio")
    axes = figure.axes[0]
    assert axes.get_xscale() == "linear"
    assert [at(axes, f"dot:{name}")[0] for name in NEURONS] == [[0.0], [1.0], [2.0]]
    names = [label.get_text().split("\n")[-1] for label in axes.get_xticklabels()]
    assert names == ["one", "two", "three"]
    assert not marks(axes, "join")


def test_runs_that_would_cover_each_other_are_moved_aside_and_not_joined() -> None:
    runs = make_three()
    runs[1] = runs[1].model_copy(update={"parameters": PARAMETERS["one"]})
    where = places(compared(runs).runs, 2.5)
    assert where.aside["one"] == -where.aside["two"] != 0
    assert where.aside["three"] == 0
    assert where.x["one"] == where.x["two"]
    assert not marks(drawn(compared(runs), "ratio"), "join")


def test_models_of_other_kinds_are_not_joined() -> None:
    runs = make_three()
    assert marks(drawn(compared(runs), "ratio"), "join")
    runs[2] = runs[2].model_copy(update={"model": runs[2].model.model_copy(update={"model_type": "gpt2"})})
    assert not marks(drawn(compared(runs), "ratio"), "join")


def test_other_questions_are_said_in_the_panel() -> None:
    runs = make_three()
    sets = {**runs[1].sets, "long-tail": {**runs[1].sets["long-tail"], "digest": "other"}}
    runs[1] = runs[1].model_copy(update={"sets": sets})
    heads = [axes.get_title(loc="left") for axes in drawn(compared(runs), "auroc").axes]
    assert heads == ["in-domain", "long-tail\n(other questions in some runs)", "cross-domain"]


@pytest.mark.parametrize("name", ["ratio", "auroc", "slopes", "profile"])
def test_figures_become_svg_and_pictures(name: str, tmp_path: Path) -> None:
    """Every colour is one of the palette's, or `svg` fails; names are text whatever they hold."""
    found = compared(make_three(), [BAD, "b", "c"])
    each = comparison_illustrations(found)[name]
    text = each.svg()
    assert "var(--data" in text
    assert "<b>" not in text
    if name == "profile":
        assert shortened(BAD).startswith("$x$ <b>& long")
        assert "$x$ &lt;b&gt;&amp; long" in text
    each.write_png(tmp_path / "dark.png", DARK, dpi=40)
    with Image.open(tmp_path / "dark.png") as picture:
        assert picture.getpixel((0, 0))[:3] == tuple(bytes.fromhex(DARK.panel[1:]))
