"""The axis of depths, and curves with their intervals over it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from hneurons.layers.tracking.record import Curve
from hneurons.report.look import Palette

TICKS = 8
Style = Literal["-", "--", ":"]


def depth_axis(axes: Axes, n_depths: int, palette: Palette, *, label: bool = True) -> None:
    """Ticks at so many layers passed, few enough to be read; 0 is the embedding."""
    step = max(1, -(-(n_depths - 1) // TICKS))
    depths = [0, *range(n_depths - 1, 0, -step)][:n_depths]
    shown = sorted(depth for depth in set(depths) if depth == 0 or depth >= step)
    axes.set_xticks(shown)
    axes.set_xticklabels([str(depth) for depth in shown])
    axes.set_xlim(-0.35, n_depths - 0.65)
    if label:
        axes.set_xlabel("layers passed", labelpad=1)


def values(curve: Curve) -> tuple[list[float], list[float], list[float]]:
    """Figures and the ends of their intervals; NaN where there is none."""

    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    return (
        [number(each.value) for each in curve],
        [number(each.low) for each in curve],
        [number(each.high) for each in curve],
    )


def draw_curve(axes: Axes, curve: Curve, name: str, colour: str, **line: Any) -> None:
    """A line with its interval as a band; their marks are named `line:NAME` and `band:NAME`."""
    middle, low, high = values(curve)
    depths = np.arange(len(curve))
    axes.fill_between(depths, low, high, color=colour, alpha=0.16, linewidth=0).set_gid(f"band:{name}")
    (drawn,) = axes.plot(depths, middle, color=colour, **{"linewidth": 1.6, **line})
    drawn.set_gid(f"line:{name}")


def below_heading(axes: Axes, text: str, palette: Palette) -> None:
    """A small line between a heading that leaves room for it and the axes; it never widens a panel."""
    words = axes.annotate(
        text, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7,
        color=palette.soft, parse_math=False,
    )  # fmt: skip
    words.set_in_layout(False)
