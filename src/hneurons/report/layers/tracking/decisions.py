"""The layer from which the given answer leads for good, and how often the right one was ahead before."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hneurons.layers.tracking.record import Decisions, LensName, Overtaken, Rule, SetTracking, Tracking
from hneurons.probes.bootstrap import Estimate
from hneurons.report.forest import Dot, forest
from hneurons.report.layers.tracking.depths import below_heading, depth_axis
from hneurons.report.layers.tracking.trajectories import LENSES, SETS
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import p_value, percent_estimate, signed

BAR = 0.38
APART = 0.5
"""How much further from the last depth the bars of those that are never decided stand."""
RULE: Rule = "all"


def decisions(found: SetTracking, lens: LensName, rule: Rule = RULE) -> dict[str, Decisions]:
    """Of a set, by verdict."""
    return {each.verdict: each for each in found.decisions if (each.lens, each.rule) == (lens, rule)}


def draw_decisions(found: Tracking, palette: Palette) -> Figure:
    """Bars by depth for each set and lens; below, how often the right answer led before it was overtaken."""
    sets = found.sets[:SETS]
    asked = [(each, own) for each in sets for own in each.overtaken]
    heights = (3.9, 0.7 + 0.2 * max(2, len(asked)))
    figure = sheet(sum(heights), pad=GRID)
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    above.set_facecolor("none")
    below.set_facecolor("none")
    grid = above.subplots(len(LENSES), len(sets), squeeze=False, sharey=True)
    for row, lens in enumerate(LENSES):
        for column, each in enumerate(sets):
            axes = grid[row, column]
            axes.set_gid(f"panel:{lens}:{each.name}")
            _bars(axes, each, lens, found.n_layers + 1, palette)
            head(axes, f"{each.name}\n" if row == 0 else " ", palette)
            below_heading(axes, gap_text(each, lens), palette)
            if column == 0:
                axes.set_ylabel(f"{lens} lens:\nshare of answers")
    keys = [Patch(color=palette.data, label="faithful"), Patch(color=palette.signal, label="hallucinated")]
    above.legend(handles=keys, loc="outside lower center", ncols=2, labelcolor=palette.ink)
    last = below.subplots()
    last.set_gid("overtaken")
    _overtaken(last, asked, palette)
    return figure


def gap_text(found: SetTracking, lens: LensName, rule: Rule = RULE) -> str:
    """How many layers later hallucinated answers are decided than faithful ones of the same kind: +0.6 [+0.1, +1.1]."""
    for each in found.gaps:
        if (each.lens, each.rule) == (lens, rule):
            return f"{later(each.matched)}, p {p_value(each.p)}" if each.matched.value is not None else "too few pairs"
    return "only one kind of answer"


def later(figure: Estimate) -> str:
    """+0.6 [+0.1, +1.1], in layers."""
    if figure.low is None or figure.high is None:
        return signed(figure.value, 1)
    return f"{signed(figure.value, 1)} [{signed(figure.low, 1)}, {signed(figure.high, 1)}]"


def _bars(axes: Axes, found: SetTracking, lens: LensName, n_depths: int, palette: Palette) -> None:
    quiet(axes, palette, grid="y")
    places = np.array([*range(n_depths), n_depths + APART])
    for side, verdict, colour in ((-1, "faithful", palette.data), (1, "hallucinated", palette.signal)):
        own = decisions(found, lens).get(verdict)
        if own is not None:
            heights = [*own.shares, own.never.value or 0.0]
            bars = axes.bar(places + side * BAR / 2, heights, BAR, color=colour, linewidth=0)
            for place, bar in enumerate(bars.patches):
                bar.set_gid(f"{verdict}:{place if place < n_depths else 'never'}")
    depth_axis(axes, n_depths, palette, label=lens == LENSES[-1])
    axes.set_xticks([*axes.get_xticks(), n_depths + APART])
    axes.set_xticklabels([*(text.get_text() for text in axes.get_xticklabels()[:-1]), "never"])
    axes.set_xlim(-0.6, n_depths + APART + 0.7)
    axes.axvline(n_depths - 0.5 + APART / 2, color=palette.line, linewidth=0.8)


def _overtaken(axes: Axes, asked: list[tuple[SetTracking, Overtaken]], palette: Palette) -> None:
    quiet(axes, palette, grid="x")
    head(axes, "Was the right answer ahead at some layer before the hallucinated one overtook it?", palette)
    if not asked:
        axes.text(0.5, 0.5, "no hallucinated answer here has a right one", ha="center", color=palette.soft)
        axes.set_axis_off()
        return
    rows = []
    for each, own in asked:
        text = f"{percent_estimate(own.share)} vs {percent_estimate(own.control)}"
        rows.append(
            Dot(f"{each.name}, {own.lens} lens", own.share.value, own.share.low, own.share.high, text, emphasis=True)
        )
    forest(axes, rows, palette)
    for place, (each, own) in enumerate(asked):
        y, control = len(asked) - 1 - place - 0.25, own.control
        if control.value is not None:
            if control.low is not None and control.high is not None:
                axes.plot([control.low, control.high], [y, y], color=palette.soft, linewidth=1)
            (mark,) = axes.plot([control.value], [y], "s", color=palette.soft, markersize=4)
            mark.set_gid(f"control:{each.name}:{own.lens}")
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of hallucinated answers; squares: the right answer to another question of the same kind")
