"""Growth: what checkpoints know, how well the H-Neurons tell in them, and how far these are from their end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation

from hneurons.origins.record import Checkpoint, Growth
from hneurons.probes.controls import Band
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.origin.steps import OverSteps, accuracies, aurocs, distances, draws, growth_sets, main_set, ordered
from hneurons.report.sweep.alpha import DASHED, DODGE, DOTTED, LABEL, spaced
from hneurons.study.evaluating import H_NEURONS, MATCHED, RANDOM, REFIT

TALL, LOW = 1.9, 1.35
"""Inches of a panel."""
ACROSS = 3
"""Panels of sets side by side."""
SPREAD = 20.0
"""The axis of steps is logarithmic where the last is at least so many times the first after 0."""
Style = str | tuple[float | int, tuple[float | int, ...]]
STYLES: tuple[Style, ...] = ("-", DASHED, DOTTED, (0, (5, 1.5, 1, 1.5)))
CHANCE = 0.5


def draw_growth(growth: Growth, palette: Palette) -> Figure:
    """AUROC on the main set, accuracy by stratum, and the distance to the last checkpoint, over the steps."""
    name, known, moved = main_set(growth), accuracies(growth), distances(growth)
    parts = [*(["auroc"] if name else []), *(["accuracy"] if known else []), *(["distance"] if moved else [])]
    heights = [TALL if part == "auroc" else LOW for part in parts]
    figure = sheet(0.9 + sum(heights) + 0.28 * len(parts), pad=GRID)
    panels = figure.subplots(max(1, len(parts)), 1, squeeze=False, sharex=True, height_ratios=heights or None).ravel()
    for axes, part, height in zip(panels, parts, heights, strict=False):
        quiet(axes, palette, grid="y")
        if part == "auroc" and name is not None:
            draw_aurocs(axes, growth, name, palette)
            head(axes, f"AUROC on {name}, on each checkpoint's own answers", palette)
        elif part == "accuracy":
            _accuracies(axes, known, palette, height)
            head(axes, f"answered right, by {growth.by}" if growth.by else "answered right", palette)
        else:
            _distances(axes, growth, palette)
            head(axes, "cosine distance to the last checkpoint, mean", palette)
    step_axis(panels[-1], [each.step for each in ordered(growth)])
    panels[-1].set_xlabel("training steps")
    _key(figure, palette)
    return figure


def draw_sets(growth: Growth, palette: Palette) -> Figure:
    """AUROC over the steps, a panel for every set, one scale for all."""
    names = growth_sets(growth)
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    figure = sheet(0.55 + 1.95 * down, pad=GRID)
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    for place, axes in enumerate(panels):
        if place >= len(names):
            axes.remove()
            continue
        quiet(axes, palette, grid="y")
        draw_aurocs(axes, growth, names[place], palette, emphasis=False)
        head(axes, names[place], palette)
        step_axis(axes, [each.step for each in ordered(growth)], few=True)
        if place + across >= len(names):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("training steps")
    panels[0].set_ylabel("AUROC")
    _key(figure, palette)
    return figure


def draw_aurocs(axes: Axes, growth: Growth, eval_set: str, palette: Palette, *, emphasis: bool = True) -> None:
    """The H-Neurons, refit and as the probe, before their bands; a cross where AUROC is not defined."""
    axes.axhline(CHANCE, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1).set_gid("chance")
    _bands(axes, {kind: draws(growth, eval_set, kind) for kind in (RANDOM, MATCHED)}, palette)
    for detector in (REFIT, H_NEURONS):
        line = aurocs(growth, eval_set, detector)
        first = detector == REFIT
        _line(
            axes, detector, line, palette.data if first else palette.ink, palette,
            style="-" if first else DASHED, hollow=not first, emphasis=emphasis, aside=0.0 if first else DODGE,
        )  # fmt: skip
        if first:
            bare = [each.step for each, found in line if found.value is None]
            if bare:
                (crosses,) = axes.plot(
                    bare, [0.03] * len(bare), "x", color=palette.soft, markersize=4, markeredgewidth=0.9,
                    transform=axes.get_xaxis_transform(), clip_on=False,
                )  # fmt: skip
                crosses.set_gid("undefined")
    axes.locator_params(axis="y", nbins=5)


def _accuracies(axes: Axes, known: dict[str, OverSteps], palette: Palette, height: float) -> None:
    """A line for every stratum, named at its end."""
    for place, (name, line) in enumerate(known.items()):
        colour = palette.ink if place < len(STYLES) else palette.soft
        _line(axes, name, line, colour, palette, style=STYLES[place % len(STYLES)], hollow=place > 0)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    ends = {name: next(f.value for _, f in reversed(line) if f.value is not None) for name, line in known.items()}
    places = [((end or 0.0) + 0.02) / 1.04 for end in ends.values()]
    for name, y in zip(ends, spaced(places, LABEL / 72 / height), strict=True):
        axes.text(
            1.01, y, name, transform=axes.transAxes, va="center", color=palette.ink, parse_math=False
        ).set_gid(f"label:{name}")  # fmt: skip


def _distances(axes: Axes, growth: Growth, palette: Palette) -> None:
    found = distances(growth)
    _bands(axes, {RANDOM: [(c, d.random) for c, d in found], MATCHED: [(c, d.matched) for c, d in found]}, palette)
    _line(axes, "distance", [(each, drift.hneurons) for each, drift in found], palette.data, palette)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")


def _bands(axes: Axes, held: dict[str, list[tuple[Checkpoint, Band]]], palette: Palette) -> None:
    """Random neurons as a filled band, those of the same layers as an outline; broken where undefined."""
    for kind, found in held.items():
        steps = np.array([each.step for each, _ in found], dtype=np.float64)
        low, high = (_array([getattr(band, end) for _, band in found]) for end in ("low", "high"))
        if not np.isfinite(low).any():
            continue
        if kind == RANDOM:
            band = axes.fill_between(steps, low, high, color=palette.line, linewidth=0, zorder=0.5)
        else:
            band = axes.fill_between(
                steps, low, high, facecolor="none", edgecolor=palette.soft, linewidth=0.9, linestyle=DOTTED, zorder=1.5
            )
        band.set_gid(f"band:{kind}")


def _line(
    axes: Axes,
    name: str,
    found: OverSteps,
    colour: str,
    palette: Palette,
    *,
    style: Style = "-",
    hollow: bool = False,
    emphasis: bool = True,
    aside: float = 0.0,
) -> None:
    """A line with a dot and an upright interval at every step. Marks: `line:NAME`, `interval:NAME:STEP`.

    It is moved to the right by `aside` points.
    """
    figure = axes.get_figure()
    place = axes.transData
    if aside and figure is not None:
        place = place + ScaledTranslation(aside / 72, 0, figure.dpi_scale_trans)
    (line,) = axes.plot(
        [each.step for each, _ in found], _array([one.value for _, one in found]), marker="o", linestyle=style,
        color=colour, linewidth=1.3 if hollow else 1.8, markersize=(3.6 if hollow else 4.2) if emphasis else 2.6,
        markerfacecolor=palette.panel if hollow else colour, transform=place, zorder=3 if hollow else 4,
    )  # fmt: skip
    line.set_gid(f"line:{name}")
    for each, one in found:
        if one.low is not None and one.high is not None and one.low < one.high:
            (bar,) = axes.plot(
                [each.step, each.step], [one.low, one.high], color=colour, linewidth=1.0 if emphasis else 0.7,
                transform=place, zorder=2.5,
            )  # fmt: skip
            bar.set_gid(f"interval:{name}:{each.step}")


def step_axis(axes: Axes, steps: Sequence[int], *, few: bool = False) -> None:
    """Linear, or logarithmic with a place for 0 where early steps would be crowded."""
    after = [step for step in steps if step > 0]
    if after and max(after) >= SPREAD * min(after):
        axes.set_xscale("symlog", linthresh=min(after), linscale=0.5)
        axes.xaxis.set_minor_locator(NullLocator())
    forward = axes.xaxis.get_transform()
    places = forward.transform(np.array(sorted(set(steps)), dtype=np.float64)) if steps else np.zeros(0)
    margin = 0.02 * (places[-1] - places[0] or 1.0) if len(places) else 0.5
    if len(places):
        axes.set_xlim(*forward.inverted().transform(np.array([places[0] - margin, places[-1] + margin])))
        axes.set_xticks(_ticks(sorted(set(steps)), places, 0.22 if few else 0.075))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _ticks(steps: Sequence[int], places: Float64[np.ndarray, " steps"], gap: float) -> list[int]:
    """Steps to be written: first and last, and between them those that have room."""
    whole = float(places[-1] - places[0]) or 1.0
    kept = [0]
    for place in range(1, len(steps)):
        if places[place] - places[kept[-1]] >= gap * whole:
            kept.append(place)
    if len(steps) > 1 and kept[-1] != len(steps) - 1:
        kept = [*(kept[:-1] if len(kept) > 1 else kept), len(steps) - 1]
    return [steps[place] for place in kept]


def _array(values: Sequence[float | None]) -> Float64[np.ndarray, " steps"]:
    return np.array([np.nan if each is None else each for each in values], dtype=np.float64)


def _key(figure: Figure, palette: Palette) -> None:
    handles = [
        Line2D([], [], color=palette.data, marker="o", markersize=4, linewidth=1.8, label=REFIT),
        Line2D(
            [], [], color=palette.ink, marker="o", markersize=3.6, markerfacecolor=palette.panel, linewidth=1.3,
            linestyle=DASHED, label=f"{H_NEURONS} (the probe)",
        ),
        Patch(facecolor=palette.line, linewidth=0, label=RANDOM),
        Patch(facecolor="none", edgecolor=palette.soft, linestyle=DOTTED, linewidth=0.9, label=MATCHED),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), borderpad=0, borderaxespad=0.4,
        handlelength=2.2, columnspacing=1.6, labelcolor=palette.ink,
    )  # fmt: skip
