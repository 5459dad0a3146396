"""How far misleading prompts move the state that a reply begins from, and whether that tells who complies."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hneurons.layers.tracking.record import Distance, Drift, Measure, Tracking
from hneurons.report.forest import Dot, forest
from hneurons.report.layers.tracking.depths import Style, below_heading, depth_axis, draw_curve
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import percent

BENCHMARKS = 4
"""Benchmarks that are drawn side by side, at most; the others are in results.json."""
CHANCE = 0.5
LINES: tuple[tuple[str, str, str, Style], ...] = (
    ("case", "misleading against neutral", "data", "-"),
    ("reworded", "two neutral wordings (control)", "ink", "--"),
    ("other", "two neutral questions (control)", "soft", ":"),
)


def distance(found: Drift, measure: Measure = "cosine") -> Distance:
    """The distances of a benchmark by one measure."""
    return next(each for each in found.distances if each.measure == measure)


def draw_drift(found: Tracking, palette: Palette) -> Figure:
    """Above, distances over layers; below, how well early drift and its rivals tell who complies."""
    shown = found.drifts[:BENCHMARKS]
    figure = sheet(4.6, pad=GRID)
    grid = figure.subplots(2, len(shown), squeeze=False, height_ratios=(2.3, 1))
    drawn = [
        figure.high or figure.value or 0.0
        for each in shown
        for name, *_ in LINES
        for figure in getattr(distance(each), name)
    ]
    top = 1.05 * max(drawn, default=1.0)
    for column, each in enumerate(shown):
        above, below = grid[0, column], grid[1, column]
        above.set_gid(f"panel:{each.name}")
        quiet(above, palette, grid="y")
        above.axvspan(0.5, each.early + 0.5, color=palette.line, alpha=0.5, linewidth=0).set_gid("early")
        own = distance(each)
        for name, _, colour, style in LINES:
            curve = getattr(own, name)
            if curve:
                draw_curve(above, curve, name, getattr(palette, colour), linestyle=style)
        depth_axis(above, found.n_layers + 1, palette)
        above.set_ylim(0, top)
        head(above, f"{each.title}\n", palette)
        below_heading(above, f"{each.n} cases, {percent(each.complied.value, 0)} comply", palette)
        if column == 0:
            above.set_ylabel("cosine distance of states, centred")
        else:
            above.tick_params(labelleft=False)
        _predictors(below, each, palette, labels=column == 0)
    keys = [
        Line2D([], [], color=getattr(palette, colour), linestyle=style, linewidth=1.6, label=label)
        for _, label, colour, style in LINES
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, labelcolor=palette.ink)
    return figure


def _predictors(axes: Axes, found: Drift, palette: Palette, *, labels: bool) -> None:
    quiet(axes, palette, grid="x")
    axes.set_gid(f"predictors:{found.name}")
    axes.axvline(CHANCE, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
    rows = [
        Dot(each.name, each.auroc.value, each.auroc.low, each.auroc.high, "", emphasis=each.difference is None)
        for each in found.predictors
    ]
    forest(axes, rows, palette, labels=labels, texts=False)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("AUROC: complies")
    if all(each.auroc.value is None for each in found.predictors):
        axes.text(0.5, 0.5, "all end\nthe same way", transform=axes.transAxes, ha="center", va="center",
                  fontsize=7.5, color=palette.soft)  # fmt: skip
