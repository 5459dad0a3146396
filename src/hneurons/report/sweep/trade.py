"""What a change in compliance costs: plain and gated scaling on their ways through alpha."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hneurons.compliance.costs import cost_of
from hneurons.compliance.record import Cost, Sweep
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import signed
from hneurons.report.sweep.alpha import DASHED, colour, columns, key, wrapped
from hneurons.report.sweep.costs import LOG_FROM, MULTIPLES
from hneurons.report.sweep.reading import INTACT, OURS, Ours, costs, curve

LEAST: dict[Cost, float] = {"known accuracy": 0.01, "perplexity": 0.005}
"""The least range of costs that is shown."""
HEIGHT = 1.9
"""Inches of a panel's axes, about."""
ROOM = (0.19, 0.12)
"""Inches around the middle of an alpha that is written beside its point: nothing else may be there."""


@dataclass(frozen=True)
class Step:
    """One alpha: what it costs, and by how much compliance differs from that at alpha 1, with the interval."""

    alpha: float
    cost: float
    change: float
    low: float | None
    high: float | None


def way(sweep: Sweep, benchmark: str, kind: Ours, cost: Cost) -> list[Step]:
    """The H-Neurons' way through alpha; alphas at which either side is not defined are left out."""
    found, paid = curve(sweep, benchmark, kind), next(iter(costs(sweep, kind)), None)
    if found is None or paid is None:
        return []
    prices = {point.alpha: cost_of(point, cost) for point in paid.points}
    return [
        Step(point.alpha, at, change.value, change.low, change.high)
        for point in sorted(found.points, key=lambda point: point.alpha)
        if (at := prices.get(point.alpha)) is not None and (change := point.difference).value is not None
    ]


def draw_trade(sweep: Sweep, cost: Cost, palette: Palette) -> Figure:
    """A panel for every benchmark: the change in compliance over what it costs."""
    names = [each.name for each in sweep.benchmarks]
    across = columns(len(names))
    down = -(-len(names) // across)
    figure = sheet(0.35 + down * (HEIGHT + 0.85), pad=GRID)
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    ways = {(name, kind): way(sweep, name, kind, cost) for name in names for kind in OURS}
    for axes, each in zip(panels, sweep.benchmarks, strict=False):
        quiet(axes, palette, grid="y")
        axes.axhline(0, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1).set_gid("no change")
        for kind in OURS:
            _way(axes, kind, ways[each.name, kind], palette)
        head(axes, wrapped(each.title, across), palette)
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.set_xlabel("perplexity; intact = 1" if cost == "perplexity" else "known questions lost, points")
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for row in range(down):
        panels[row * across].set_ylabel("change, points")
    _limits(panels[0], [step for steps in ways.values() for step in steps], cost)
    for axes, name in zip(panels, names, strict=False):
        _alphas(axes, {kind: ways[name, kind] for kind in OURS}, palette, across)
    key(figure, sweep, palette, lines=True, bands=False)
    return figure


def _way(axes: Axes, kind: Ours, steps: Sequence[Step], palette: Palette) -> None:
    plain, drawn = kind == "hneurons", colour(kind, palette)
    for step in steps:
        if step.low is not None and step.high is not None and step.low < step.high:
            (bar,) = axes.plot([step.cost] * 2, [step.low, step.high], color=drawn, linewidth=0.9, alpha=0.6)
            bar.set_gid(f"interval:{kind}:{step.alpha:g}")
    (line,) = axes.plot(
        [step.cost for step in steps],
        [step.change for step in steps],
        "o",
        linestyle="-" if plain else DASHED,
        color=drawn,
        linewidth=1.7 if plain else 1.2,
        markersize=4.8 if plain else 4.2,
        markerfacecolor=drawn if plain else palette.panel,
        markeredgecolor=palette.panel if plain else drawn,
        zorder=4 if plain else 3,
    )
    line.set_gid(f"way:{kind}")


def _limits(axes: Axes, steps: Sequence[Step], cost: Cost) -> None:
    """Shared by all panels: every point, interval and the intact model in sight."""
    intact = 1.0 if cost == "perplexity" else 0.0
    prices = [intact, *(step.cost for step in steps)]
    changes = [part for step in steps for part in (step.change, step.low, step.high) if part is not None]
    low, high = min(prices), max(prices)
    if cost == "perplexity" and high / low >= LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(low * (low / high) ** 0.06, high * (high / low) ** 0.1)
        axes.set_xticks([tick for tick in MULTIPLES if low <= tick <= high])
        axes.minorticks_off()
    else:
        length = max(high - low, LEAST[cost])
        axes.set_xlim(low - 0.06 * length, low + 1.1 * length)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(
        (lambda value, _: f"{value:g}×") if cost == "perplexity" else lambda value, _: f"{100 * value:.3g}"
    )
    bottom, top = min([-0.05, *changes]), max([0.05, *changes])
    axes.set_ylim(bottom - 0.06 * (top - bottom), top + 0.1 * (top - bottom))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: signed(100 * value, 0))


def _alphas(axes: Axes, ways: dict[Ours, list[Step]], palette: Palette, across: int) -> None:
    """Write alphas beside their points, the farthest from 1 first, where no point and no other alpha is in the way."""
    to_inches = axes.transData + axes.transAxes.inverted()
    size = np.array([{1: 7.4, 2: 3.4}.get(across, 2.1), HEIGHT])
    places = {
        (kind, step.alpha): to_inches.transform((step.cost, step.change)) * size
        for kind, steps in ways.items()
        for step in steps
    }
    taken = list(places.values())
    for kind, step in sorted(
        ((kind, step) for kind, steps in ways.items() for step in steps), key=lambda pair: -abs(pair[1].alpha - INTACT)
    ):
        below = step.change < 0
        middle = places[kind, step.alpha] + np.array([0.14, -0.1 if below else 0.1])
        others = [each for each in taken if each is not places[kind, step.alpha]]
        if step.alpha == INTACT or any((np.abs(middle - each) < ROOM).all() for each in others):
            continue
        taken.append(middle)
        axes.annotate(
            f"{step.alpha:g}", (step.cost, step.change), xytext=(4, -3 if below else 3), textcoords="offset points",
            va="top" if below else "bottom", fontsize=7.5, zorder=5, color=colour(kind, palette),
        ).set_gid(f"alpha:{kind}:{step.alpha:g}")  # fmt: skip
