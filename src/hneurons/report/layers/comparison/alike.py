"""How alike states are arranged: a layer and the next within either kind, and the two kinds at a layer."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hneurons.layers.comparison.record import READS, Compared, Comparison
from hneurons.report.layers.comparison.panels import (
    Look,
    chance,
    curve,
    frame,
    key,
    legend,
    lines_of,
    look_of,
    shifted,
)
from hneurons.report.layers.comparison.reading import ALPHA, NAMES
from hneurons.report.look import GRID, Palette, sheet

ROWS = len(READS) + 1
RANGE = (-0.15, 1.08)


def draw_alike(found: Comparison, palette: Palette) -> Figure:
    """A column for every set: a row for each read within the kinds, and one for the kinds with each other."""
    lines = lines_of([each for each in found.sets if each.across])
    figure = sheet(0.6 + 5.9 * len(lines), pad=GRID)
    heights = [1.0, 1.0, 1.0, 1.35] * len(lines)
    grid = figure.subplots(ROWS * len(lines), max(map(len, lines)), squeeze=False, sharey="row", height_ratios=heights)
    for number, line in enumerate(lines):
        rows = grid[ROWS * number : ROWS * (number + 1)]
        for place in range(grid.shape[1]):
            panels = list(rows[:, place])
            if place >= len(line):
                for axes in panels:
                    axes.remove()
                continue
            _steps(panels, line[place], palette)
            _kinds(panels[-1], line[place], palette)
        for axes, read in zip(rows[:, 0], READS, strict=False):
            axes.set_ylabel(f"CKA, next layer\n{NAMES[read]}")
        rows[-1, 0].set_ylabel("CKA, faithful\nwith hallucinated")
    keys = [
        key("within faithful", Look(palette.data)),
        key("within hallucinated", Look(palette.signal)),
        *(key(f"lowest: {NAMES[read]}", look_of(read, palette)) for read in READS),
        Line2D([], [], color=palette.ink, marker="_", markersize=8, linewidth=0, label="lowest: pairs exchanged"),
    ]
    legend(figure, palette, keys)
    return figure


def _steps(panels: Sequence[Axes], compared: Compared, palette: Palette) -> None:
    """Each layer with the next, in a panel for each read."""
    for axes, read in zip(panels, READS, strict=False):
        frame(axes, compared, palette, title=read == READS[0])
        own = sorted((each for each in compared.adjacent if each.read == read), key=lambda each: each.layer)
        if own:
            steps, apart = [each.layer for each in own], [each.against.q < ALPHA for each in own]
            faithful, hallucinated = [each.faithful for each in own], [each.hallucinated for each in own]
            curve(axes, steps, faithful, apart, Look(palette.data, shift=-0.1), palette, f"faithful:{read}")
            curve(axes, steps, hallucinated, apart, Look(palette.signal, shift=0.1), palette, f"hallucinated:{read}")
            chance(axes, steps, [[each.mismatched] for each in own], palette)
        axes.set_ylim(*RANGE)
        axes.tick_params(labelbottom=False)


def _kinds(axes: Axes, compared: Compared, palette: Palette) -> None:
    """Faithful with hallucinated answers, layer by layer."""
    layers = frame(axes, compared, palette, title=False)
    for read in READS:
        own = sorted((each for each in compared.across if each.read == read), key=lambda each: each.layer)
        look, below = look_of(read, palette), [each.exchanged.q < ALPHA for each in own]
        curve(axes, layers, [each.cka for each in own], below, look, palette, f"across:{read}")
        alike = [float("nan") if each.exchanged.null.mean is None else each.exchanged.null.mean for each in own]
        (bars,) = axes.plot(shifted(layers, look), alike, "_", color=look.colour, markersize=9, zorder=2)
        bars.set_gid(f"exchanged:{read}")
    by_chance = [[each.repaired.null for each in compared.across if each.layer == layer] for layer in layers]
    chance(axes, layers, by_chance, palette)
    axes.set_ylim(*RANGE)
    axes.set_xlabel("layer")
