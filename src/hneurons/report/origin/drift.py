"""Figure 4 (b): where H-Neurons stand among all neurons by how far tuning moved them, and why layers matter there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from hneurons.origins.record import Drift, LayerDrift, NeuronDrift, Projection, RankTest
from hneurons.report.look import GRID, MONO, Palette, head, quiet, sheet
from hneurons.report.numbers import decimal, p_value
from hneurons.report.origin.reading import PAPER
from hneurons.report.sweep.alpha import DASHED, DOTTED

EVEN = 0.5
"""Mean rank of neurons that changed as much as any."""
PROJECTIONS: tuple[Projection, ...] = ("up", "gate", "down")
BAR = 0.3
"""Half the height of the bar of a control."""


def draw_drift(drift: Drift, palette: Palette) -> Figure:
    """Shares of H-Neurons up to each rank, mean ranks before their controls, and distances layer by layer."""
    tests = ordered(drift)
    shown = projections(drift)
    figure = sheet(5.6, pad=GRID)
    grid = figure.add_gridspec(3, 6, height_ratios=(2.45, 0.22, 1.75))
    if drift.hneurons:
        _shares(figure.add_subplot(grid[0, :3]), drift.hneurons, palette)
    _means(figure.add_subplot(grid[0, 3:] if drift.hneurons else grid[0, :]), tests, palette)
    below = grid[2, :].subgridspec(1, len(shown))
    panels = [figure.add_subplot(below[0, place]) for place in range(len(shown))]
    for axes, projection in zip(panels, shown, strict=True):
        _layers(axes, drift, projection, palette)
    panels[0].set_ylabel("cosine distance")
    _key(figure, palette)
    return figure


def ordered(drift: Drift) -> list[RankTest]:
    """The tests, the paper's score first."""
    return sorted(drift.tests, key=lambda each: each.score != PAPER)


def projections(drift: Drift) -> list[Projection]:
    """The projections that every layer has."""
    return [each for each in PROJECTIONS if all(getattr(layer, each) is not None for layer in drift.layers)]


def shares(ranks: Sequence[float]) -> tuple[Float64[np.ndarray, " steps"], Float64[np.ndarray, " steps"]]:
    """The share of `ranks` that are at most x, at every x where it steps, from 0 to 1."""
    ends = np.concatenate([[0.0], np.sort(np.asarray(ranks, dtype=np.float64)), [1.0]])
    heights = np.concatenate([np.arange(len(ranks) + 1) / len(ranks), [1.0]])
    return ends, heights


def _shares(axes: Axes, hneurons: Sequence[NeuronDrift], palette: Palette) -> None:
    """Curves below the diagonal: changed less. Grey: where 95% of as many ranks without preference lie, at each x."""
    quiet(axes, palette, grid="y", left=True)
    n, x = len(hneurons), np.linspace(0, 1, 201)
    low, high = (stats.binom.ppf(tail, n, x) / n for tail in (0.025, 0.975))
    axes.fill_between(x, low, high, color=palette.line, alpha=0.7, linewidth=0).set_gid("band:even")
    axes.plot([0, 1], [0, 1], color=palette.soft, linewidth=0.9, linestyle=(0, (3, 3)))[0].set_gid("even")
    for name, ranks, style in (
        ("all", [each.rank for each in hneurons], "-"),
        ("layer", [each.layer_rank for each in hneurons], DASHED),
    ):
        (line,) = axes.step(
            *shares(ranks), where="post", linestyle=style, linewidth=1.9 if name == "all" else 1.3,
            color=palette.data if name == "all" else palette.ink,
        )  # fmt: skip
        line.set_gid(f"shares:{name}")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.005)
    axes.set_xlabel("rank: 0 changed most, 1 least")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    head(axes, f"share of the {n:,} H-Neurons up to each rank", palette)
    handles = [
        Line2D([], [], color=palette.data, linewidth=1.9, label="among all neurons"),
        Line2D([], [], color=palette.ink, linewidth=1.3, linestyle=DASHED, label="among those of its layer"),
        Patch(facecolor=palette.line, alpha=0.7, linewidth=0, label="without preference, 95%"),
    ]
    axes.legend(handles=handles, loc="upper left", handlelength=2, labelcolor=palette.ink, fontsize=7.5, borderpad=0.2)


def _means(axes: Axes, tests: Sequence[RankTest], palette: Palette) -> None:
    """A row for every score: the mean rank with its interval before the bands of random and layer-matched neurons."""
    quiet(axes, palette, grid="x")
    axes.axvline(EVEN, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("even")
    for place, test in enumerate(tests):
        _row(axes, test, len(tests) - 1 - place, palette)
    axes.set_ylim(-0.75, len(tests) - 0.25)
    axes.set_yticks(range(len(tests)), [each.score for each in reversed(tests)])
    for label, test in zip(axes.get_yticklabels(), reversed(tests), strict=True):
        label.set_color(palette.ink)
        label.set_fontweight("bold" if test.score == PAPER else "normal")
    drawn = [each for test in tests for each in _extent(test)]
    axes.set_xlim(max(0.0, min([0.4, *drawn]) - 0.02), min(1.0, max([0.6, *drawn]) + 0.02))
    axes.locator_params(axis="x", nbins=5, steps=[1, 2, 5, 10])
    axes.set_xlabel("mean rank: more is less change")
    head(axes, "mean rank, before as many others", palette)
    axes.text(
        1.02, len(tests) - 0.45, "p", transform=axes.get_yaxis_transform(), va="center", family=MONO, fontsize=8,
        color=palette.soft,
    )  # fmt: skip


def _row(axes: Axes, test: RankTest, y: int, palette: Palette) -> None:
    first = test.score == PAPER
    for kind, band in (("random", test.random), ("matched", test.matched)):
        if band.low is None or band.high is None:
            continue
        looks: dict[str, Any] = (
            {"facecolor": palette.line, "linewidth": 0}
            if kind == "random"
            else {"facecolor": "none", "edgecolor": palette.soft, "linestyle": DOTTED, "linewidth": 0.9}
        )
        (bar,) = axes.barh(y, band.high - band.low, left=band.low, height=2 * BAR, **looks).patches
        bar.set_gid(f"{kind}:{test.score}")
    colour = palette.data if first else palette.ink
    found = test.mean_rank
    if found.low is not None and found.high is not None:
        (line,) = axes.plot([found.low, found.high], [y, y], color=colour, linewidth=2 if first else 1.2)
        line.set_gid(f"interval:{test.score}")
    if found.value is not None:
        (dot,) = axes.plot([found.value], [y], "o", color=colour, markersize=6.5, markeredgecolor=palette.panel)
        dot.set_gid(f"dot:{test.score}")
    text = p_value(test.matched_p) if test.matched.mean is not None else decimal(None)
    axes.text(
        1.02, y, text, transform=axes.get_yaxis_transform(), va="center", family=MONO, fontsize=8,
        color=palette.data if first else palette.soft,
    )  # fmt: skip


def _extent(test: RankTest) -> list[float]:
    found, bands = test.mean_rank, (test.random, test.matched)
    ends = [found.value, found.low, found.high, *(each.low for each in bands), *(each.high for each in bands)]
    return [each for each in ends if each is not None]


def _layers(axes: Axes, drift: Drift, projection: Projection, palette: Palette) -> None:
    """The mean of every layer as a line, every H-Neuron a dot at its layer."""
    quiet(axes, palette, grid="y")
    layers = [each.layer for each in drift.layers]
    (line,) = axes.plot(
        layers, [distance(each, projection) for each in drift.layers], "o-", color=palette.ink, linewidth=1.2,
        markersize=2.5 if len(layers) > 16 else 3.5,
    )  # fmt: skip
    line.set_gid(f"layers:{projection}")
    if drift.hneurons:
        (dots,) = axes.plot(
            [each.neuron[0] for each in drift.hneurons], [distance(each, projection) for each in drift.hneurons], "o",
            color=palette.data, alpha=0.6, markersize=4, markeredgewidth=0,
        )  # fmt: skip
        dots.set_gid(f"hneurons:{projection}")
    axes.set_xlim(layers[0] - 0.4, layers[-1] + 0.4)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", nbins=8, integer=True)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.set_xlabel("layer")
    head(axes, f"{projection}-projection", palette)


def distance(found: LayerDrift | NeuronDrift, projection: Projection) -> float:
    """The cosine distance of one projection; NaN where there is none."""
    value = {"up": found.up, "gate": found.gate, "down": found.down}[projection]
    return float("nan") if value is None else value


def _key(figure: Figure, palette: Palette) -> None:
    """The legend above the panels: bands and dots."""
    handles = [
        Patch(facecolor=palette.line, linewidth=0, label="random neurons"),
        Patch(
            facecolor="none", edgecolor=palette.soft, linestyle=DOTTED, linewidth=0.9,
            label="random neurons, layer-matched (p is against these)",
        ),
        Line2D([], [], color=palette.ink, marker="o", markersize=3.5, linewidth=1.2, label="mean of a layer"),
        Line2D([], [], color=palette.data, marker="o", markersize=4, linewidth=0, alpha=0.6, label="an H-Neuron"),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), borderpad=0, borderaxespad=0.4,
        handlelength=2.0, columnspacing=1.6, labelcolor=palette.ink,
    )  # fmt: skip
