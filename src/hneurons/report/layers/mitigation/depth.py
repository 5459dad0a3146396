"""Steering by layer, beside random directions."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hneurons.layers.mitigation.record import Mitigation
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.mitigation.pareto import in_points
from hneurons.report.look import GRID, Palette, head, quiet, sheet

BESIDE = 0.22
"""How far to the right of a layer its random directions are drawn."""


def draw_steering(found: Mitigation, palette: Palette) -> Figure:
    """Two panels over the layers: hallucinated answers, and right ones."""
    figure = sheet(2.8, pad=GRID)
    left, right = figure.subplots(1, 2, sharey=True)
    layers = [each.layer for each in found.steering]
    halves = (
        (left, "Hallucinated answers", palette.signal, "hallucinated", [each.hallucinated for each in found.steering],
         [each.random_hallucinated for each in found.steering]),
        (right, "Right answers", palette.data, "correct", [each.correct for each in found.steering],
         [each.random_correct for each in found.steering]),
    )  # fmt: skip
    for axes, title, colour, name, changes, drawn in halves:
        quiet(axes, palette, grid="y")
        if found.depths is not None:
            for part, word in ((found.depths.middle, "middle"), (found.depths.end, "end")):
                band = axes.axvspan(part[0] - 0.45, part[-1] + 0.45, color=palette.line, alpha=0.45, linewidth=0)
                band.set_gid(word)
                axes.annotate(
                    word, (sum(part) / len(part), 0), xycoords=("data", "axes fraction"), xytext=(0, 3),
                    textcoords="offset points", ha="center", fontsize=7.5, color=palette.soft,
                )  # fmt: skip
        axes.axhline(0, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1).set_gid("unchanged")
        _line(axes, layers, changes, drawn, colour, palette, name)
        head(axes, title, palette)
        axes.set_xlabel("layer after which the stream is steered")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: in_points(value))
    left.set_ylabel("change, points")
    right.tick_params(labelleft=True)
    right.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, labelcolor=palette.ink, fontsize=7.5, borderpad=0.2,
        handlelength=1.4, columnspacing=1.0,
    )  # fmt: skip
    return figure


def _line(
    axes: Axes,
    layers: Sequence[int],
    changes: Sequence[Estimate],
    drawn: Sequence[Sequence[float]],
    colour: str,
    palette: Palette,
    name: str,
) -> None:
    values = [float("nan") if each.value is None else each.value for each in changes]
    axes.plot(
        layers, values, "o-", color=colour, linewidth=1.6, markersize=4.5, zorder=4, label="factuality direction"
    )[0].set_gid(f"steered:{name}")  # fmt: skip
    for layer, each in zip(layers, changes, strict=True):
        if each.low is not None and each.high is not None:
            (bar,) = axes.plot([layer, layer], [each.low, each.high], color=colour, linewidth=1, alpha=0.6, zorder=3)
            bar.set_gid(f"interval:{name}:{layer}")
    xs = [layer + BESIDE for layer, own in zip(layers, drawn, strict=True) for _ in own]
    ys = [value for own in drawn for value in own]
    marks = axes.scatter(xs, ys, s=9, color=palette.soft, alpha=0.6, linewidth=0, zorder=2, label="random directions")
    marks.set_gid(f"random:{name}")
