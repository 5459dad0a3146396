"""Dots with intervals, a row each, before the spread of what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from hneurons.report.look import MONO, Palette

BAR = 0.34
"""Half the height of the bar of a spread."""


@dataclass(frozen=True)
class Dot:
    """A figure with its interval; `emphasis` gives it the colour of data."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    emphasis: bool = False
    mono: bool = False


@dataclass(frozen=True)
class Spread:
    """Draws of a control: every value, their mean, and the range between their percentiles."""

    label: str
    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    text: str


Row = Dot | Spread


def forest(axes: Axes, rows: Sequence[Row], palette: Palette, *, labels: bool = True, texts: bool = True) -> None:
    """Draw `rows` from the top; their numbers stand at the right.

    Every mark carries a name (`get_gid`): `dot:LABEL`, `interval:LABEL`, `spread:LABEL`, `draws:LABEL`, `mean:LABEL`.
    """
    for place, row in enumerate(rows):
        y = len(rows) - 1 - place
        if isinstance(row, Dot):
            _dot(axes, row, y, palette)
        else:
            _spread(axes, row, y, palette)
        if texts:
            axes.text(
                1.02,
                y,
                row.text,
                transform=axes.get_yaxis_transform(),
                va="center",
                family=MONO,
                fontsize=8,
                color=palette.data if isinstance(row, Dot) and row.emphasis else palette.soft,
            )
    controls = sum(isinstance(row, Spread) for row in rows)
    if 0 < controls < len(rows):
        axes.axhline(controls - 0.5, color=palette.line, linewidth=0.8)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([row.label for row in reversed(rows)] if labels else [""] * len(rows))
    if labels:
        for label, row in zip(axes.get_yticklabels(), reversed(rows), strict=True):
            if isinstance(row, Dot):
                label.set_color(palette.data if row.emphasis else palette.ink)
                label.set_fontweight("bold" if row.emphasis and not row.mono else "normal")
                if row.mono:
                    label.set_fontfamily(MONO)
                    label.set_fontsize(8)


def _dot(axes: Axes, row: Dot, y: int, palette: Palette) -> None:
    colour = palette.data if row.emphasis else palette.ink
    if row.low is not None and row.high is not None:
        (line,) = axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2 if row.emphasis else 1.2)
        line.set_gid(f"interval:{row.label}")
    if row.value is not None:
        (dot,) = axes.plot(
            [row.value], [y], "o", color=colour, markersize=6.5 if row.emphasis else 5, markeredgecolor=palette.panel
        )
        dot.set_gid(f"dot:{row.label}")


def _spread(axes: Axes, row: Spread, y: int, palette: Palette) -> None:
    if row.low is not None and row.high is not None:
        bar = axes.barh(y, row.high - row.low, left=row.low, height=2 * BAR, color=palette.line, linewidth=0)
        bar.patches[0].set_gid(f"spread:{row.label}")
    if row.values:
        (draws,) = axes.plot(
            row.values, [y] * len(row.values), "|", color=palette.soft, markersize=6, markeredgewidth=0.7
        )
        draws.set_gid(f"draws:{row.label}")
    if row.mean is not None:
        (mean,) = axes.plot([row.mean, row.mean], [y - BAR, y + BAR], color=palette.ink, linewidth=1.4)
        mean.set_gid(f"mean:{row.label}")
