"""Heat maps: what comes back when one place of the clean run is put into the corrupt one."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hneurons.layers.causality.record import Causality, EffectMap, Grid
from hneurons.report.layers.causality.reading import (
    COLUMN_NAMES,
    SITE_NAMES,
    SITES,
    SPOKEN,
    cell,
    excludes_zero,
    find_map,
)
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import counted, signed

ROW = 0.2
"""Inches of a layer, where its numbers are written."""
WRITTEN = 16
"""Layers up to which the numbers are written into the cells."""
LEAST = 0.05
"""Shares that are not written."""
DARK = 0.55
"""Shares from which the colour is too dark for ink."""


def rows_of(found: Causality) -> list[tuple[str, str, list[tuple[EffectMap, Grid]]]]:
    """Rows of panels: a name, a heading, and the map and the grid of each site."""
    rows = []
    for name, heading, corruption in (
        ("question", "Corrupt: another question, answered with a hallucination", "question"),
        ("noise", "Corrupt: noise on the embeddings of the subject", "noise"),
        ("control", "Control: an unrelated question's values, put into the runs of the first row", "question"),
    ):
        maps = [find_map(found, corruption, site) for site in SITES]  # type: ignore[arg-type]
        shown = []
        for own in maps:
            grid = None if own is None else own.control if name == "control" else own.effect
            if own is not None and grid is not None:
                shown.append((own, grid))
        if len(shown) == len(SITES):
            rows.append((name, heading, shown))
    return rows


def draw_maps(found: Causality, palette: Palette) -> Figure:
    """A panel for each site, a row of panels for each kind of corrupt run; layers upwards."""
    rows = rows_of(found)
    n_layers = len(found.tracing.maps[0].effect.value)
    tall = max(1.1, min(n_layers * ROW, 3.6))
    figure = sheet(0.9 + len(rows) * (tall + 0.45), pad=GRID)
    heights = [*[tall] * len(rows), 0.09]
    grid = figure.add_gridspec(len(heights), len(SITES), height_ratios=heights)
    for number, (name, heading, shown) in enumerate(rows):
        for place, (own, values) in enumerate(shown):
            axes = figure.add_subplot(grid[number, place])
            axes.set_gid(f"map:{name}:{own.site}")
            _panel(axes, own, values, palette, last=number == len(rows) - 1)
            title = f"{SITE_NAMES[own.site]} (n = {max(own.n)})"
            head(axes, f"{heading}\n{title}" if place == 0 else f"\n{title}", palette)
            axes.title.set_in_layout(place != 0)
            if place == 0:
                axes.set_ylabel("after layer" if own.site == "residual" else "layer")
    _scale(figure.add_subplot(grid[-1, 1]), palette)
    return figure


def shaded(values: np.ndarray, palette: Palette) -> np.ndarray:
    """Colours (rows, columns, 4): the more comes back, the more of the colour of data; grey, where less than nothing.

    Transparent where there is nothing, so that light and dark pages show through.
    """
    size = np.nan_to_num(np.clip(np.abs(values), 0, 1))
    picture = np.zeros((*values.shape, 4))
    picture[..., :3] = np.where((values < 0)[..., None], to_rgb(palette.soft), to_rgb(palette.data))
    picture[..., 3] = size
    return picture


def _panel(axes: Axes, own: EffectMap, grid: Grid, palette: Palette, *, last: bool) -> None:
    values = np.array([[np.nan if each is None else each for each in row] for row in grid.value], dtype=float)
    quiet(axes, palette, left=True)
    axes.imshow(shaded(values, palette), aspect="auto", origin="lower", interpolation="none")
    n_layers = len(values)
    step = max(1, n_layers // 8)
    axes.set_yticks(range(0, n_layers, step))
    axes.set_xticks(range(len(own.columns)))
    names = [COLUMN_NAMES.get(column, column) for column in own.columns]
    axes.set_xticklabels(names if last else [""] * len(names), rotation=60, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="both", length=0, labelsize=7.5)
    if n_layers > WRITTEN:
        return
    for layer in range(n_layers):
        for column in range(len(own.columns)):
            figure = cell(grid, layer, column)
            if figure.value is None or abs(figure.value) < LEAST:
                continue
            sure, dark = excludes_zero(figure), abs(figure.value) > DARK
            axes.text(
                column, layer, f"{100 * figure.value:.0f}".replace("-", "−"), ha="center", va="center", fontsize=6.5,
                fontweight="bold" if sure else "normal", color=palette.panel if dark else palette.ink,
            )  # fmt: skip


def _scale(axes: Axes, palette: Palette) -> None:
    """What the colours mean."""
    quiet(axes, palette)
    ramp = np.linspace(-0.5, 1, 120)[None, :]
    axes.imshow(shaded(ramp, palette), aspect="auto", interpolation="none", extent=(-0.5, 1, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([-0.5, 0, 0.5, 1])
    axes.set_xticklabels(["−50%", "0", "50%", "100%"])
    axes.set_xlabel("share of the gap that comes back; bold: the interval excludes 0", fontsize=7.5)
    axes.tick_params(axis="x", labelsize=7.5)


def maps_sentence(found: Causality) -> str:
    """What the maps show at their strongest."""
    pairs = found.tracing.pairs
    parts = []
    for site in SITES:
        own = find_map(found, "question", site)
        if own is None:
            continue
        best = max(
            ((value, layer, column) for layer, row in enumerate(own.effect.value) for column, value in
             zip(own.columns, row, strict=True) if value is not None and not (site == "residual" and column == "last")),
        )  # fmt: skip
        where = SPOKEN.get(best[2], best[2])
        name = "FFN" if site == "ffn" else SITE_NAMES[site].lower()
        parts.append(f"{name} {signed(100 * best[0], 0)}% (layer {best[1]}, {where})")
    return (
        f"{counted(pairs.n, 'pair')}; each cell is the share of the gap in the logit difference that one place of the "
        f"clean run brings back. The largest, the residual stream at the last token aside: {'; '.join(parts)}."
    )
