"""Where runs stand on an axis of size: by parameters on a logarithmic scale, or side by side by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, Transform

from hneurons.report.comparison.reading import by_size, size, sizes
from hneurons.report.look import MONO, Palette
from hneurons.study.side_by_side import RunFound

LETTER = 0.068
"""Inches that a letter of a label takes, about."""
TICK = 0.5
"""Inches between two sizes that are written below the axis."""
APART = 0.17
"""Inches between two runs; those that would stand closer are moved aside."""
LONGEST = 34
"""Letters of a label."""
UNKNOWN = "?"
"""Below the axis, for a run of unknown size."""

Names = Literal["ticks", "sizes", "numbers"]


@dataclass(frozen=True)
class Places:
    """Where every run stands, in the coordinates of an axis of `width` inches.

    On a logarithmic axis `x` is the number of parameters; runs of unknown size stand to the right of `edge`. Else it
    is the place among the runs, smallest first. `aside` is how many points a run is moved, so as not to cover another.
    `number` is the place of a run among those given, from 1. `names` is how runs are told apart: by their names below
    the axis, by their sizes there, or by numbers beside the marks.
    """

    runs: tuple[RunFound, ...]
    x: Mapping[str, float]
    aside: Mapping[str, float]
    number: Mapping[str, int]
    logarithmic: bool
    edge: float | None
    width: float
    names: Names
    limits: tuple[float, float]


def places(runs: Sequence[RunFound], width: float) -> Places:
    """Lay runs out on an axis that is about `width` inches wide."""
    ordered = tuple(by_size(runs))
    known = sizes(ordered)
    logarithmic = len(known) > 1
    x: dict[str, float] = {}
    edge = None
    if logarithmic:
        step = (known[-1] / known[0]) ** (1 / max(3, len(known)))
        beyond = [run for run in ordered if run.parameters is None]
        x = {run.label: float(run.parameters) for run in ordered if run.parameters is not None}
        x |= {run.label: known[-1] * step ** (k + 1) for k, run in enumerate(beyond)}
        edge = known[-1] * step**0.5 if beyond else None
        margin = (max(x.values()) / known[0]) ** 0.13
        limits = (known[0] / margin, max(x.values()) * margin)
    else:
        x = {run.label: float(k) for k, run in enumerate(ordered)}
        limits = (-0.5, len(ordered) - 0.5)
    inches = _inches(x, limits, logarithmic, width)
    return Places(
        runs=ordered,
        x=x,
        aside=_asides(inches),
        number={run.label: k + 1 for k, run in enumerate(runs)},
        logarithmic=logarithmic,
        edge=edge,
        width=width,
        names=_names(ordered, inches, logarithmic, edge),
        limits=limits,
    )


def _inches(x: Mapping[str, float], limits: tuple[float, float], logarithmic: bool, width: float) -> dict[str, float]:
    """Where on the axis each run is, in inches from its left end."""
    low, high = np.log(limits) if logarithmic else limits
    return {
        label: width * float((np.log(value) if logarithmic else value) - low) / float(high - low)
        for label, value in x.items()
    }


def _asides(inches: Mapping[str, float]) -> dict[str, float]:
    """Points by which runs that stand together are spread around their place."""
    clusters: list[list[str]] = []
    for label in sorted(inches, key=lambda each: inches[each]):
        if clusters and inches[label] - inches[clusters[-1][0]] < APART:
            clusters[-1].append(label)
        else:
            clusters.append([label])
    step = 72 * APART * 0.6
    return {label: step * (k - (len(cluster) - 1) / 2) for cluster in clusters for k, label in enumerate(cluster)}


def _names(runs: Sequence[RunFound], inches: Mapping[str, float], logarithmic: bool, edge: float | None) -> Names:
    """Names where all fit below the axis, else sizes where these tell the runs apart, else numbers."""
    fits = all(
        inches[b.label] - inches[a.label] > LETTER * (len(shortened(a.label)) + len(shortened(b.label))) / 2 + 0.1
        for a, b in pairwise(runs)
    )
    if fits:
        return "ticks"
    distinct = len({size(run.parameters) for run in runs}) == len(runs)
    spaced = all(inches[b.label] - inches[a.label] > TICK for a, b in pairwise(runs))
    return "sizes" if logarithmic and edge is None and distinct and spaced else "numbers"


def shortened(label: str) -> str:
    """A label that is not too long to be drawn, in one line."""
    flat = " ".join(label.split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"


def axis(axes: Axes, where: Places, palette: Palette) -> None:
    """Ticks and limits of the axis of size; what lies beyond a dotted line is of unknown size."""
    if where.logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(*where.limits)
    axes.minorticks_off()
    ticks: dict[float, str] = {}
    inches = _inches(where.x, where.limits, where.logarithmic, where.width)
    last = -np.inf
    for run in where.runs:
        text = size(run.parameters) if run.parameters is not None else UNKNOWN if where.logarithmic else ""
        if where.names == "ticks":
            text = f"{text}\n{shortened(run.label)}".lstrip("\n")
        elif not where.logarithmic:
            text = f"{where.number[run.label]}\n{text}".rstrip("\n")
        near = inches[run.label] - last < TICK
        if near and where.names == "numbers" and where.logarithmic and run.parameters is not None:
            continue  # a size that is as good as written already
        ticks[where.x[run.label]] = text
        last = inches[run.label]
    axes.set_xticks(list(ticks), list(ticks.values()), parse_math=False)
    axes.set_xlabel("parameters" if where.logarithmic else "")
    if where.edge is not None:
        axes.axvline(where.edge, color=palette.soft, linewidth=0.8, linestyle=(0, (1, 1.5))).set_gid("edge")


def shifted(axes: Axes, points: float) -> Transform:
    """The axes' data, moved to the right by so many points."""
    figure = axes.get_figure()
    assert figure is not None
    return axes.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)


def tag(axes: Axes, where: Places, label: str, y: float, palette: Palette) -> None:
    """The number of a run above its mark, which ends at `y`, where the axis does not tell the runs apart."""
    if where.names != "numbers" or not where.logarithmic:
        return
    written = axes.annotate(
        str(where.number[label]), (where.x[label], y), xycoords=shifted(axes, where.aside[label]), xytext=(0, 4.5),
        textcoords="offset points", ha="center", family=MONO, fontsize=7, color=palette.soft,
    )  # fmt: skip
    written.set_gid(f"number:{label}")


def key(figure: Figure, where: Places, palette: Palette) -> None:
    """Which run has which number, below the panels."""
    if where.names != "numbers":
        return
    runs = sorted(where.runs, key=lambda run: where.number[run.label])
    lines = [f"{where.number[run.label]}  {shortened(run.label)}" for run in runs]
    across = max(1, min(4, int(8.2 / (LETTER * max(map(len, lines)) + 0.25))))
    legend = figure.legend(
        handles=[Line2D([], [], linestyle="none") for _ in lines], labels=lines, loc="outside lower left", ncols=across,
        handlelength=0, handletextpad=0, columnspacing=1.4, borderpad=0, borderaxespad=0.4, fontsize=7.5,
        labelcolor=palette.soft,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
