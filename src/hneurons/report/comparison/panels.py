"""Figures against size: every run a mark with its interval before what chance gives, a panel for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hneurons.probes.bootstrap import Estimate
from hneurons.report.comparison.places import Places, axis, key, places, shifted, tag
from hneurons.report.comparison.reading import alike, set_names, swept
from hneurons.report.look import GRID, WIDTH, Palette, head, quiet, sheet
from hneurons.report.numbers import signed
from hneurons.report.sweep.alpha import wrapped
from hneurons.study.side_by_side import RunFound, SideBySide, SlopeFound

HEIGHT = 1.85
"""Inches of a panel's axes, about."""
BAR = 8.0
"""Points that the band of the controls is wide."""
BESIDE = 4.5
"""Points between the probe and its refit."""
CROWD = 6
"""Runs that fit into a panel a third of the page wide."""
OTHERS = "other questions in some runs"
BENCHMARKS = 8
"""Benchmarks that have a panel of their own; the table has them all."""


@dataclass(frozen=True)
class Mark:
    """A figure of one run. `low` and `high` are of its controls; `second` stands beside it, hollow."""

    label: str
    figure: Estimate
    low: float | None = None
    high: float | None = None
    second: Estimate | None = None


def draw_ratio(found: SideBySide, palette: Palette) -> Figure:
    """The share of H-Neurons, and how much of the list two halves of the questions share."""
    figure, panels, where = _panels(found.runs, 2, palette)
    for axes, title, values in (
        (panels[0], "H-Neurons, per mille of all neurons", [run.per_mille for run in where.runs]),
        (panels[1], "overlap of two halves' selections (Jaccard)", [run.jaccard for run in where.runs]),
    ):
        marks = [Mark(run.label, _bare(value)) for run, value in zip(where.runs, values, strict=True)]
        scatter(axes, where, marks, palette)
        axes.set_ylim(bottom=0, top=1.25 * max([each.figure.value or 0.0 for each in marks] + [0.01]))
        head(axes, title, palette)
    return figure


def draw_auroc(found: SideBySide, palette: Palette) -> Figure:
    """A panel for every set: the probe and its refit before random neurons; one scale for all."""
    names = set_names(found)
    figure, panels, where = _panels(found.runs, len(names), palette)
    lowest = 0.5
    for axes, name in zip(panels, names, strict=False):
        marks = []
        for run in where.runs:
            each = run.sets.get(name)
            if each is not None and each.probe.value is not None:
                marks.append(Mark(run.label, each.probe, each.random.low, each.random.high, each.refit))
        axes.axhline(0.5, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
        scatter(axes, where, marks, palette)
        lowest = min([lowest, *_values(marks)])
        title = name if alike(found.sets, name) else f"{name}\n({OTHERS})"
        head(axes, title, palette)
    for axes in panels[: len(names)]:
        axes.set_ylim(max(0.0, lowest - 0.04), 1.0)
    panels[0].set_ylabel("AUROC")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=palette.data, marker="o", linestyle="none", markersize=6, label="H-Neurons"),
        Line2D(
            [], [], color=palette.data, marker="o", linestyle="none", markersize=5, markerfacecolor=palette.panel,
            label="refitted as random neurons are",
        ),
        Patch(facecolor=palette.line, linewidth=0, label="as many random neurons, middle 95% of draws"),
    ]  # fmt: skip
    _legend(figure, handles, palette)
    return figure


def draw_slopes(found: SideBySide, palette: Palette) -> Figure:
    """A panel for the average slope, and one for every benchmark, before the slopes of the controls; one scale."""
    runs = swept(found)
    benchmarks = found.benchmarks[:BENCHMARKS] if len(found.benchmarks) > 1 else ()
    figure, panels, where = _panels(runs, 1 + len(benchmarks), palette)
    blocks: list[tuple[str, list[Mark]]] = [
        (
            "average over the benchmarks" + (f"\n({OTHERS})" if found.averages_alike is False else ""),
            [
                _slope(run, each.average, (*each.average_random, *each.average_layer_matched))
                for run in where.runs
                if (each := run.turning) is not None
            ],
        )
    ]
    across = _across(1 + len(benchmarks), len(runs))
    for asked in benchmarks:
        here = [(run, run.turning.benchmarks.get(asked.name)) for run in where.runs if run.turning]
        marks = [_benchmark(run, each) for run, each in here if each is not None]
        title = wrapped(asked.title, across) + ("" if asked.same else f"\n({OTHERS})")
        blocks.append((title, marks))
    extent = [0.0]
    for axes, (title, marks) in zip(panels, blocks, strict=False):
        axes.axhline(0, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("zero")
        scatter(axes, where, [each for each in marks if each.figure.value is not None], palette)
        extent += _values(marks)
        axes.yaxis.set_major_formatter(lambda value, _: signed(100 * value, 0 if abs(100 * value % 1) < 1e-6 else 1))
        head(axes, title, palette)
    margin = 0.08 * (max(extent) - min(extent)) or 0.01
    for axes in panels[: len(blocks)]:
        axes.set_ylim(min(extent) - margin, max(extent) + margin)
    for row in range(0, len(blocks), across):
        panels[row].set_ylabel("points per unit of alpha")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=palette.data, marker="o", linestyle="none", markersize=6, label="H-Neurons"),
        Patch(facecolor=palette.line, linewidth=0, label="all control sets, lowest to highest"),
    ]
    _legend(figure, handles, palette)
    return figure


def _slope(run: RunFound, slope: Estimate, controls: Sequence[float]) -> Mark:
    return Mark(run.label, slope, min(controls, default=None), max(controls, default=None))


def _benchmark(run: RunFound, found: SlopeFound) -> Mark:
    return _slope(run, found.slope, (*found.random, *found.layer_matched))


def _panels(runs: Sequence[RunFound], n: int, palette: Palette) -> tuple[Figure, list[Axes], Places]:
    """So many panels with one axis of size, and a key to the runs where the axis does not name them."""
    across = _across(n, len(runs))
    down = -(-n // across)
    where = places(runs, (WIDTH - 0.5 * across) / across * 0.9)
    rows = -(-len(runs) // 3) if where.names == "numbers" else 0
    figure = sheet(0.35 + down * (HEIGHT + 0.75) + 0.16 * rows, pad=GRID)
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    for place, axes in enumerate(panels):
        if place >= n:
            axes.set_axis_off()
            continue
        quiet(axes, palette, grid="y")
        axis(axes, where, palette)
        axes.locator_params(axis="y", nbins=6)
        if place + across < n:
            axes.set_xlabel("")
    key(figure, where, palette)
    return figure, panels, where


def _across(panels: int, runs: int) -> int:
    """How many panels stand side by side; of many runs fewer, so that marks keep apart."""
    return min(panels, 2) if runs > CROWD or panels == 4 else min(panels, 3)


def scatter(axes: Axes, where: Places, marks: Sequence[Mark], palette: Palette) -> None:
    """Draw the marks: `dot:LABEL`, `interval:LABEL`, `second:LABEL`, `band:LABEL`; `join` leads from size to size.

    They are joined only where each has another size and all are of one architecture, so that the line has a meaning.
    """
    for each in marks:
        x, aside = where.x[each.label], where.aside[each.label]
        if each.low is not None and each.high is not None:
            (bar,) = axes.plot(
                [x, x], [each.low, each.high], color=palette.line, linewidth=BAR, solid_capstyle="butt", zorder=1,
                transform=shifted(axes, aside),
            )  # fmt: skip
            bar.set_gid(f"band:{each.label}")
        left = aside if each.second is None else aside - BESIDE / 2
        _dot(axes, x, each.figure, left, each.label, "", palette)
        if each.second is not None:
            _dot(axes, x, each.second, aside + BESIDE / 2, each.label, "second", palette)
        if each.figure.value is not None:
            tag(axes, where, each.label, max(_ends(each)), palette)
    joined = [each for each in marks if each.figure.value is not None]
    runs = {run.label: run for run in where.runs}
    held = [runs[each.label] for each in joined]
    known = [run.parameters for run in held if run.parameters is not None]
    one_kind = len({run.model.model_type for run in held}) == 1
    clear = not any(where.aside[each.label] for each in joined)
    if where.logarithmic and one_kind and clear and 1 < len(joined) == len(known) == len(set(known)):
        left = 0.0 if joined[0].second is None else -BESIDE / 2
        (line,) = axes.plot(
            [where.x[each.label] for each in joined],
            [value for each in joined if (value := each.figure.value) is not None],
            color=palette.data,
            linewidth=0.9,
            alpha=0.45,
            transform=shifted(axes, left),
            zorder=2,
        )
        line.set_gid("join")


def _dot(axes: Axes, x: float, figure: Estimate, aside: float, label: str, kind: str, palette: Palette) -> None:
    moved, name = shifted(axes, aside), f"{kind} " if kind else ""
    if figure.low is not None and figure.high is not None:
        (bar,) = axes.plot(
            [x, x], [figure.low, figure.high], color=palette.data, linewidth=1.0 if kind else 1.6, transform=moved,
            zorder=3,
        )  # fmt: skip
        bar.set_gid(f"{name}interval:{label}")
    if figure.value is not None:
        (dot,) = axes.plot(
            [x], [figure.value], "o", color=palette.data, markersize=4.6 if kind else 6.5, transform=moved, zorder=4,
            markerfacecolor=palette.panel if kind else palette.data,
            markeredgecolor=palette.data if kind else palette.panel,
        )  # fmt: skip
        dot.set_gid(f"{name}dot:{label}")


def _values(marks: Sequence[Mark]) -> list[float]:
    """All that a panel must show."""
    controls = [end for each in marks for end in (each.low, each.high) if end is not None]
    return [*controls, *(end for each in marks for end in _ends(each))]


def _ends(mark: Mark) -> list[float]:
    """The values of a mark and the ends of its intervals."""
    figures = [figure for figure in (mark.figure, mark.second) if figure is not None]
    ends = [end for figure in figures for end in (figure.value, figure.low, figure.high)]
    return [end for end in ends if end is not None]


def _bare(value: float | None) -> Estimate:
    return Estimate(value=value, low=None, high=None, reason="" if value is not None else "no resample reached C")


def _legend(figure: Figure, handles: list[Line2D | Patch], palette: Palette) -> None:
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), borderpad=0, borderaxespad=0.4, handlelength=1.2,
        columnspacing=1.6, labelcolor=palette.ink,
    )  # fmt: skip
