"""What linear probes tell by layer, before permuted labels, control tasks, and what the question gives away."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hneurons.layers.concepts.labels import CONCEPTS
from hneurons.layers.concepts.record import Band, Concept, Concepts
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.concepts.reading import baseline_of, readings, selectivities, set_names
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import count, signed
from hneurons.report.origin.reading import cut
from hneurons.report.sweep.alpha import DASHED, DOTTED

ACROSS = 4
"""Sets side by side; more are in the table."""
CHANCE = 0.5


def draw_probes(found: Concepts, palette: Palette) -> Figure:
    """A column for every set: AUROC for factuality, for uncertainty, and accuracy beside control tasks."""
    names = shown_sets(found)
    figure = sheet(6.6, pad=GRID)
    grid = figure.subplots(3, len(names), squeeze=False, sharex=True, sharey="row")
    for column, name in enumerate(names):
        for row, concept in enumerate(CONCEPTS):
            axes = grid[row, column]
            _aurocs(axes, found, concept, name, palette)
            if column == 0:
                axes.set_ylabel(f"{concept}\nAUROC")
        _control(grid[2, column], found, name, palette)
        n = next(each.n for each in found.sets if each.name == name)
        head(grid[0, column], f"{cut(name, 18)}, n = {count(n)}", palette)
        grid[2, column].set_xlabel("layer")
    grid[2, 0].set_ylabel("factuality\naccuracy")
    _key(figure, palette)
    return figure


def shown_sets(found: Concepts) -> list[str]:
    """The sets that have a column: those with both kinds first, at most `ACROSS`."""
    both = [each.name for each in found.sets if 0 < each.factual < 1]
    return [*both, *(name for name in set_names(found) if name not in both)][:ACROSS]


def _aurocs(axes: Axes, found: Concepts, concept: Concept, name: str, palette: Palette) -> None:
    _panel(axes, found, palette)
    axes.axhline(CHANCE, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
    fits = {how: readings(found, concept, how, name) for how in ("logistic", "means")}
    if all(each.auroc.value is None for each in fits["logistic"]):
        _reason(axes, fits["logistic"][0].auroc.reason, palette)
        return
    _band(axes, [each.permuted for each in fits["logistic"]], "permuted", palette)
    outside = baseline_of(found, concept, name).auroc.value
    if outside is not None:
        line = axes.axhline(outside, color=palette.soft, linewidth=1.2, linestyle=DOTTED)
        line.set_gid(f"baseline:{concept}:{name}")
    _line(axes, [each.auroc for each in fits["logistic"]], f"logistic:{concept}:{name}", palette.data, "-", fill=True)
    _line(axes, [each.auroc for each in fits["means"]], f"means:{concept}:{name}", palette.ink, DASHED, fill=False)


def _control(axes: Axes, found: Concepts, name: str, palette: Palette) -> None:
    _panel(axes, found, palette)
    axes.axhline(CHANCE, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
    own = selectivities(found, "factuality", name)
    if all(each.accuracy.value is None for each in own):
        _reason(axes, own[0].accuracy.reason, palette)
        return
    _band(axes, [each.control for each in own], "control", palette)
    means = [float("nan") if each.control is None else each.control.mean for each in own]
    axes.plot(range(len(own)), means, color=palette.soft, linewidth=1.4)[0].set_gid(f"control:{name}")
    _line(axes, [each.accuracy for each in own], f"accuracy:{name}", palette.data, "-", fill=True)
    best = own[found.best["factuality"]].selectivity
    axes.text(
        0.97, 0.04, f"selectivity in layer {found.best['factuality']}: {signed(best.value, 2)}",
        transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5, color=palette.soft,
    )  # fmt: skip


def _panel(axes: Axes, found: Concepts, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    axes.set_xlim(-0.3, found.n_layers - 0.7)
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.locator_params(axis="y", nbins=5)


def _line(axes: Axes, figures: Sequence[Estimate], name: str, colour: str, style: Any, *, fill: bool) -> None:
    nan = float("nan")
    values = [nan if each.value is None else each.value for each in figures]
    (line,) = axes.plot(
        range(len(figures)), values, color=colour, linestyle=style, linewidth=1.8 if fill else 1.3,
        marker="o" if fill else None, markersize=3 if len(figures) < 20 else 0,
    )  # fmt: skip
    line.set_gid(f"line:{name}")
    if fill:
        low = [nan if each.low is None else each.low for each in figures]
        high = [nan if each.high is None else each.high for each in figures]
        axes.fill_between(range(len(figures)), low, high, color=colour, alpha=0.2, linewidth=0).set_gid(
            f"interval:{name}"
        )


def _band(axes: Axes, bands: Sequence[Band | None], name: str, palette: Palette) -> None:
    nan = float("nan")
    low = [nan if each is None else each.low for each in bands]
    high = [nan if each is None else each.high for each in bands]
    axes.fill_between(range(len(bands)), low, high, color=palette.line, linewidth=0).set_gid(f"band:{name}")


def _reason(axes: Axes, why: str, palette: Palette) -> None:
    words = axes.text(
        0.5, 0.5, "\n".join(textwrap.wrap(why, 22)), transform=axes.transAxes, ha="center", va="center", fontsize=7.5,
        color=palette.soft, parse_math=False,
    )  # fmt: skip
    words.set_gid("reason")


def _key(figure: Figure, palette: Palette) -> None:
    handles = [
        Line2D(
            [], [], color=palette.data, linewidth=1.8, marker="o", markersize=3, label="logistic probe, 95% interval"
        ),
        Line2D([], [], color=palette.ink, linewidth=1.3, linestyle=DASHED, label="difference of means"),
        Line2D([], [], color=palette.soft, linewidth=1.2, linestyle=DOTTED, label="question kind and lengths"),
        Patch(facecolor=palette.line, linewidth=0, label="permuted labels; below: control tasks, 95% of draws"),
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=2, borderpad=0, borderaxespad=0.4, handlelength=2.2,
        columnspacing=1.6, labelcolor=palette.ink,
    )  # fmt: skip
