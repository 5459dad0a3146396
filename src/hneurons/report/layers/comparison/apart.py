"""How far apart the two kinds are: effect size above separability, a column for every set."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hneurons.layers.comparison.record import READS, Compared, Comparison, Read
from hneurons.report.layers.comparison.panels import chance, curve, frame, key, legend, lines_of, look_of
from hneurons.report.layers.comparison.reading import NAMES, beats, differs, of_read, shown
from hneurons.report.look import GRID, Palette, sheet

DASHED, DOTTED = (0, (5, 3)), (0, (5, 2, 1, 2))
"""Strokes of the two baselines."""


def draw_apart(found: Comparison, palette: Palette) -> Figure:
    """Two rows of panels for every four sets, each row on one scale."""
    lines = lines_of(found.sets)
    figure = sheet(0.6 + 3.6 * len(lines), pad=GRID)
    grid = figure.subplots(2 * len(lines), max(map(len, lines)), squeeze=False, sharey="row")
    for number, line in enumerate(lines):
        for place, (upper, lower) in enumerate(zip(grid[2 * number], grid[2 * number + 1], strict=True)):
            if place >= len(line):
                upper.remove()
                lower.remove()
                continue
            _effects(upper, line[place], palette)
            _separability(lower, line[place], palette)
            upper.tick_params(labelbottom=False)
        grid[2 * number, 0].set_ylabel("effect size, g")
        grid[2 * number + 1, 0].set_ylabel("AUROC")
    keys: list[Line2D | Patch] = [
        *(key(NAMES[read], look_of(read, palette)) for read in READS),
        Line2D([], [], color=palette.soft, linestyle=":", linewidth=1.2, label="before matching"),
        Line2D([], [], color=palette.ink, linestyle=DASHED, linewidth=0.9, label="length and kind alone"),
        Line2D([], [], color=palette.ink, linestyle=DOTTED, linewidth=0.9, label="and the answer's first token"),
        Patch(color=palette.line, label="labels permuted, 95%"),
    ]
    legend(figure, palette, keys)
    return figure


def _effects(axes: Axes, compared: Compared, palette: Palette) -> None:
    layers, levels = frame(axes, compared, palette, title=True), shown(compared).levels
    for read in READS:
        own = of_read(levels, read)
        if compared.matched is not None:
            _before(axes, [each.effect.value for each in of_read(compared.every.levels, read)], read, palette)
        full = [differs(each) for each in own]
        curve(axes, layers, [each.effect for each in own], full, look_of(read, palette), palette, f"g:{read}")
    by_chance = [[each.effect_against.null for each in levels if each.layer == layer] for layer in layers]
    chance(axes, layers, by_chance, palette)
    axes.axhline(0, color=palette.soft, linewidth=0.7)


def _separability(axes: Axes, compared: Compared, palette: Palette) -> None:
    layers, selection = frame(axes, compared, palette, title=False), shown(compared)
    for read in READS:
        own = of_read(selection.levels, read)
        if compared.matched is not None:
            _before(axes, [each.auroc.value for each in of_read(compared.every.levels, read)], read, palette)
        full = [beats(each) for each in own]
        curve(axes, layers, [each.auroc for each in own], full, look_of(read, palette), palette, f"auroc:{read}")
    by_chance = [[each.permuted for each in selection.levels if each.layer == layer] for layer in layers]
    chance(axes, layers, by_chance, palette)
    for name, figure, dashes in (("baseline", selection.baseline, DASHED), ("said", selection.said, DOTTED)):
        if figure.value is not None:
            axes.axhline(figure.value, color=palette.ink, linewidth=0.9, linestyle=dashes).set_gid(name)
    axes.set_xlabel("layer")


def _before(axes: Axes, values: list[float | None], read: Read, palette: Palette) -> None:
    drawn = [float("nan") if value is None else value for value in values]
    colour = look_of(read, palette).colour
    (line,) = axes.plot(range(len(drawn)), drawn, ":", color=colour, linewidth=1.2, alpha=0.8, zorder=2)
    line.set_gid(f"before:{read}")
