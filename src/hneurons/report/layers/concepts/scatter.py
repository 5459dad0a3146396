"""States in two dimensions, layer by layer, with what the picture may not say written over it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from hneurons.layers.concepts.record import Concepts, Pictured
from hneurons.report.layers.concepts.reading import pictured_set, pictures
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import counted, decimal, percent

NAMES = {"pca": "PCA", "umap": "UMAP"}
SIZE = 3.2
"""Points across of a dot."""


def draw_scatter(found: Concepts, palette: Palette) -> Figure:
    """A row for PCA and one for UMAP, a column for every layer that was laid out."""
    name = pictured_set(found)
    rows = [(how, own) for how in NAMES if (own := pictures(found, how, name or ""))]
    across = max(len(own) for _, own in rows)
    figure = sheet(0.5 + 2.45 * len(rows), pad=GRID)
    grid = figure.subplots(len(rows), across, squeeze=False)
    for panels, (how, own) in zip(grid, rows, strict=True):
        for axes, each in zip(panels, own, strict=False):
            _panel(axes, each, palette)
        for axes in panels[len(own) :]:
            axes.remove()
        panels[0].set_ylabel(NAMES[how] if how == "umap" else "PCA, component 2")
    handles = [
        Line2D([], [], color=palette.signal, marker="o", markersize=4, linewidth=0, label="hallucinated"),
        Line2D([], [], color=palette.data, marker="o", markersize=4, linewidth=0, label="faithful"),
        Line2D(
            [], [], linewidth=0, label=f"{len(rows[0][1][0].points)} of {counted(rows[0][1][0].n, 'answer')} of {name}"
        ),
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=3, borderpad=0, borderaxespad=0.4, handlelength=1,
        labelcolor=palette.ink,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, each: Pictured, palette: Palette) -> None:
    quiet(axes, palette)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    points = np.array([(x, y) for x, y, _ in each.points])
    kinds = np.array([hallucinated for _, _, hallucinated in each.points])
    for kind, colour in ((False, palette.data), (True, palette.signal)):
        own = points[kinds == kind]
        if len(own):
            axes.add_patch(_dots(own, colour)).set_gid(f"dots:{each.how}:{each.layer}:{kind}")
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.06 * np.maximum(high - low, 1e-9)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])
    if each.explained is not None:
        axes.set_xlabel(
            f"component 1 ({percent(each.explained[0], 0)}; 2: {percent(each.explained[1], 0)})", fontsize=7.5
        )
    head(axes, f"layer {each.layer}\n\n", palette)
    notes = (
        f"own kind nearby {decimal(each.flat.purity.value, 2)}, "
        f"by chance {decimal(each.flat.purity_permuted.mean, 2)}\n"
        f"in all dimensions {decimal(each.full.purity.value, 2)}"
    )
    axes.annotate(
        notes, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=6.8,
        color=palette.soft,
    )  # fmt: skip


def _dots(points: Float64[np.ndarray, "points 2"], colour: str) -> PathPatch:
    """All dots of a colour as one path: very short lines with round ends, which weigh a fraction of what markers do."""
    vertices = np.repeat(points, 2, axis=0)
    vertices[1::2, 0] += 1e-9 + 1.5e-3 * np.ptp(points[:, 0])  # a line of no length is not drawn everywhere
    path = Path(vertices, [Path.MOVETO, Path.LINETO] * len(points))
    path.should_simplify = False
    # snapped to pixels, both ends may fall on one, and the dot is gone
    return PathPatch(path, fill=False, edgecolor=colour, linewidth=SIZE, capstyle="round", alpha=0.6, snap=False)
