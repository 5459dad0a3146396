"""What every method gains and what it costs, against the unchanged model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hneurons.layers.mitigation.record import Draws, MethodFound, Mitigation
from hneurons.probes.bootstrap import Estimate
from hneurons.report.look import GRID, MONO, Palette, head, quiet, sheet
from hneurons.report.numbers import signed

HEIGHT = 3.5
LEAST = 0.01
"""The least half-range of an axis that is shown, of shares and of multiples alike."""


NEAR = 0.035
"""Methods whose dots are nearer than this, as a share of the panel, are numbered together."""


@dataclass(frozen=True)
class Spot:
    """A method in a panel: its number, where it is, with intervals, and whether it is marked as of the frontier."""

    number: int
    name: str
    x: Estimate
    y: Estimate
    frontier: bool


def numbered(found: Mitigation) -> dict[str, int]:
    """The numbers that stand for methods in the figure; the unchanged model is 0."""
    return {method.name: number for number, method in enumerate(found.methods)}


def gains(found: Mitigation) -> list[Spot]:
    """Hallucinated against right answers, as changes; the unchanged model, where all lines cross, is left out."""
    numbers = numbered(found)
    return [
        Spot(numbers[each.name], each.name, each.hallucinated.change, each.correct.change, each.frontier)
        for each in found.methods[1:]
    ]


def manners(found: Mitigation) -> list[Spot]:
    """Compliance, as a change, against perplexity, as a multiple; methods that lack either are left out."""
    numbers = numbered(found)
    return [
        Spot(numbers[each.name], each.name, each.compliance.change, each.perplexity, False)
        for each in found.methods[1:]
        if each.compliance is not None
        and each.compliance.change.value is not None
        and each.perplexity.value is not None
    ]


def draw_pareto(found: Mitigation, palette: Palette) -> Figure:
    """Two panels, and the key to their numbers on the right."""
    figure = sheet(HEIGHT, pad=GRID)
    left, right, key = figure.subplots(1, 3, width_ratios=[1, 1, 0.62])
    _panel(left, gains(found), palette, 0.0, controls=found.controls)
    head(left, "Better is up and to the left", palette)
    left.set_xlabel("hallucinated answers, change in points")
    left.set_ylabel("right answers, change in points")
    _frontier(left, found, palette)
    _panel(right, manners(found), palette, 1.0)
    head(right, "Better is down and to the left", palette)
    right.set_xlabel("compliance, change in points")
    right.set_ylabel("perplexity; unchanged = 1")
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_major_formatter(lambda value, _: in_points(value))
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}×")
    _key(key, found.methods, palette)
    return figure


def in_points(value: float) -> str:
    """+2 or −0.5 of a share, as it stands at an axis."""
    whole = abs(100 * value - round(100 * value)) < 1e-6
    return signed(100 * value, 0 if whole else 1)


def _panel(axes: Axes, spots: Sequence[Spot], palette: Palette, level: float, controls: Sequence[Draws] = ()) -> None:
    quiet(axes, palette, grid="y", left=True)
    for draw, line in ((axes.axvline, 0.0), (axes.axhline, level)):
        draw(line, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1).set_gid("unchanged")
    xs, ys = [0.0], [level]
    for control in controls:
        marks = axes.scatter(control.hallucinated, control.correct, s=9, color=palette.soft, alpha=0.45, linewidth=0)
        marks.set_gid(f"control:{control.method}")
        xs.extend(control.hallucinated)
        ys.extend(control.correct)
    for spot in spots:
        x, y = spot.x.value, spot.y.value
        if x is None or y is None:
            continue
        colour = palette.data if spot.frontier else palette.ink
        for low, high, across in ((spot.x.low, spot.x.high, True), (spot.y.low, spot.y.high, False)):
            if low is None or high is None:
                continue
            (xs if across else ys).extend((low, high))
            places = ([low, high], [y, y]) if across else ([x, x], [low, high])
            (bar,) = axes.plot(*places, color=colour, linewidth=0.8, alpha=0.4, zorder=2)
            bar.set_gid(f"interval:{spot.name}")
        axes.plot([x], [y], "o", color=colour, markersize=4.5, zorder=3)[0].set_gid(f"spot:{spot.name}")
        xs.append(x)
        ys.append(y)
    _limits(axes, xs, ys)
    _numbers(axes, spots, palette)


def _numbers(axes: Axes, spots: Sequence[Spot], palette: Palette) -> None:
    """The number of each method beside its dot; of methods whose dots lie on each other, side by side."""
    place = axes.transData + axes.transAxes.inverted()
    shown = [
        (spot, place.transform((spot.x.value, spot.y.value)))
        for spot in spots
        if spot.x.value is not None and spot.y.value is not None
    ]
    while shown:
        first, at = shown[0]
        near = [spot for spot, other in shown if max(abs(other - at)) < NEAR]
        shown = [(spot, other) for spot, other in shown if spot not in near]
        text = axes.annotate(
            " ".join(str(spot.number) for spot in near), (first.x.value or 0.0, first.y.value or 0.0), xytext=(4, 4),
            textcoords="offset points", fontsize=8.5, fontweight="bold", zorder=4,
            color=palette.data if any(spot.frontier for spot in near) else palette.ink,
        )  # fmt: skip
        text.set_gid("numbers:" + ",".join(spot.name for spot in near))


def _limits(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    for values, set_limits in ((xs, axes.set_xlim), (ys, axes.set_ylim)):
        low, high = min(values), max(values)
        room = max(0.08 * (high - low), LEAST - (high - low) / 2)
        set_limits(low - room, high + room)


def _frontier(axes: Axes, found: Mitigation, palette: Palette) -> None:
    """A line through the methods that no other one dominates, the unchanged model among them where it is one."""
    points = sorted(
        (each.hallucinated.change.value or 0.0, each.correct.change.value or 0.0)
        for each in found.methods
        if each.frontier
    )
    xs, ys = [x for x, _ in points], [y for _, y in points]
    axes.plot(xs, ys, color=palette.data, linewidth=1.2, alpha=0.7, zorder=2)[0].set_gid("frontier")


def _key(axes: Axes, methods: Sequence[MethodFound], palette: Palette) -> None:
    axes.set_axis_off()
    for row, each in enumerate(methods[1:]):
        y = 0.97 - 0.085 * row
        colour = palette.data if each.frontier else palette.ink
        place: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "fontsize": 8, "parse_math": False}
        axes.text(0.0, y, str(row + 1), color=colour, fontfamily=MONO, **place)
        axes.text(0.09, y, each.name, color=colour, **place)
    notes = ("blue: on the frontier", "small dots: controls", "lines: 95% intervals")
    for row, note in enumerate(notes):
        axes.text(
            0.0, 0.19 - 0.075 * row, note, transform=axes.transAxes, va="top", fontsize=7.5, color=palette.soft
        )  # fmt: skip
