"""How much of the list is the data's accident: selection over resamples, and over C."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hneurons.report.forest import Dot, forest
from hneurons.report.look import Palette, head, quiet, sheet
from hneurons.report.numbers import address
from hneurons.report.reading import frequencies
from hneurons.study.results import Results

SHOWN = 24
"""H-Neurons drawn; the table has them all."""


def draw_stability(results: Results, palette: Palette) -> Figure:
    """How often resamples select each H-Neuron, with Wilson intervals; size and overlap of selections over C."""
    shown = frequencies(results)[:SHOWN]
    figure = sheet(max(3.4, 0.85 + 0.185 * len(shown)))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    axes = figure.add_subplot(grid[:, 0])
    quiet(axes, palette, grid="x")
    rows = [
        Dot(
            address(each.neuron),
            each.share,
            each.low,
            each.high,
            f"{each.selected} of {each.resamples}",
            emphasis=True,
            mono=True,
        )
        for each in shown
    ]
    forest(axes, rows, palette)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of resamples that select the neuron")
    whole = len(results.probe.neurons)
    head(axes, f"{len(shown)} of {whole} H-Neurons" if whole > len(shown) else f"all {whole} H-Neurons", palette)

    size = figure.add_subplot(grid[0, 1])
    overlap = figure.add_subplot(grid[1, 1], sharex=size)
    _over_path(size, results, [point.n_hneurons for point in results.fit.stability], "size", palette)
    size.tick_params(labelbottom=False)
    head(size, "neurons selected, mean", palette)
    _over_path(overlap, results, [point.jaccard for point in results.fit.stability], "jaccard", palette)
    overlap.set_ylim(0, 1.02)
    overlap.set_xlabel("C")
    head(overlap, "overlap of two resamples (Jaccard)", palette)
    return figure


def _over_path(axes: Axes, results: Results, values: list[float | None], name: str, palette: Palette) -> None:
    quiet(axes, palette, grid="y")
    axes.set_xscale("log")
    points = [(point.C, value) for point, value in zip(results.fit.stability, values, strict=True) if value is not None]
    axes.axvline(results.probe.C, color=palette.data, linewidth=1, alpha=0.55).set_gid("chosen")
    if points:
        (line,) = axes.plot(*zip(*points, strict=True), "o-", color=palette.ink, markersize=3.5, linewidth=1.2)
        line.set_gid(name)
    axes.set_ylim(bottom=0)
    axes.minorticks_off()
