"""Where the H-Neurons of every run sit over relative depth, a row each, on one scale."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hneurons.report.comparison.places import shortened
from hneurons.report.comparison.reading import by_size, size
from hneurons.report.look import MONO, Palette, quiet, sheet
from hneurons.report.numbers import counted, decimal
from hneurons.study.side_by_side import RunFound, SideBySide

TALLEST = 0.62
"""Height of the tallest bar or interval, as a share of the distance between rows."""
BELOW = 0.16
"""How far below its bars the mean of a run lies."""
FEW_LAYERS = 16
"""Up to so many layers, bars have intervals."""


def draw_profile(found: SideBySide, palette: Palette) -> Figure:
    """A row for every run, smallest on top: bars as tall as a layer is crowded beside an even spread, and the mean.

    Marks are named `bar:LABEL:LAYER`, `interval:LABEL:LAYER`, `even:LABEL`, `mean:LABEL` and `mean interval:LABEL`.
    A bar's height is its density times the `scale` that all rows share.
    """
    runs = by_size(found.runs)
    step = 0.62 if len(runs) <= 4 else 0.5
    figure = sheet(0.75 + step * len(runs))
    axes = figure.add_subplot()
    quiet(axes, palette)
    scale = profile_scale(found)
    for place, run in enumerate(runs):
        y = len(runs) - 1 - place
        _row(axes, y, run, scale, palette)
        note = f"{decimal(run.mean_depth.value, 2)}"
        if run.mean_depth.low is not None and run.mean_depth.high is not None:
            note += f" [{decimal(run.mean_depth.low, 2)}, {decimal(run.mean_depth.high, 2)}]"
        axes.text(
            1.02, y + 0.2, f"{note}\n{counted(run.n_hneurons, 'H-Neuron')}",
            transform=axes.get_yaxis_transform(), va="center", family=MONO, fontsize=7.5, color=palette.soft,
        )  # fmt: skip
    axes.axvline(0.5, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0).set_gid("middle")
    axes.set_xlim(0, 1)
    axes.set_ylim(-2.2 * BELOW, len(runs) - 0.1)
    names = [
        shortened(run.label) + (f"\n{size(run.parameters)}" if run.parameters is not None else "")
        for run in reversed(runs)
    ]
    axes.set_yticks([place + 0.2 for place in range(len(runs))], names, parse_math=False)
    for label in axes.get_yticklabels():
        label.set_color(palette.ink)
    axes.set_xlabel("relative depth: 0 the input, 1 the output")
    return figure


def profile_scale(found: SideBySide) -> float:
    """What a density is multiplied by to be a height."""
    tops = [
        run.model.n_layers * each.high if run.model.n_layers <= FEW_LAYERS else each.density
        for run in found.runs
        for each in run.layers
    ]
    return TALLEST / max([*tops, 1.0])


def _row(axes: Axes, y: int, run: RunFound, scale: float, palette: Palette) -> None:
    width = 1 / run.model.n_layers
    for each in run.layers:
        bar = axes.bar(
            each.depth, scale * each.density, width=0.9 * width, bottom=y, color=palette.data, alpha=0.75, linewidth=0
        )
        bar.patches[0].set_gid(f"bar:{run.label}:{each.layer}")
        if run.model.n_layers <= FEW_LAYERS:
            ends = [y + scale * end * run.model.n_layers for end in (each.low, each.high)]
            (line,) = axes.plot([each.depth, each.depth], ends, color=palette.ink, linewidth=0.8)
            line.set_gid(f"interval:{run.label}:{each.layer}")
    (base,) = axes.plot([0, 1], [y, y], color=palette.soft, linewidth=0.8)
    base.set_gid(f"base:{run.label}")
    (even,) = axes.plot([0, 1], [y + scale] * 2, color=palette.soft, linewidth=0.8, linestyle=(0, (1, 1.5)))
    even.set_gid(f"even:{run.label}")
    mean = run.mean_depth
    if mean.low is not None and mean.high is not None:
        (line,) = axes.plot([mean.low, mean.high], [y - BELOW] * 2, color=palette.ink, linewidth=1.4)
        line.set_gid(f"mean interval:{run.label}")
    if mean.value is not None:
        (dot,) = axes.plot(
            [mean.value], [y - BELOW], "o", color=palette.ink, markersize=4.5, markeredgecolor=palette.panel
        )
        dot.set_gid(f"mean:{run.label}")
