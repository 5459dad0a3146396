"""Mediation and ablation, drawn by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hneurons.layers.causality.mediation_record import Ablated, Ablation, Effects, How, Mediation, Mediator
from hneurons.probes.bootstrap import Estimate
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import counted

SURE = 0.05
"""A difference of smaller q is taken for one."""
LINEAR = 1.0
"""Nats within which the scale of changes is linear; beyond, it is logarithmic."""
NAMES = {"attention": "attention", "ffn": "FFN"}
WAYS = {"zero": "set to zero", "mean": "set to its mean", "resample": "resampled"}


def layered(found: Mediation, where: str) -> list[Mediator]:
    """Attentions and FFNs at a group of positions."""
    return [each for each in found.mediators if each.component.kind in NAMES and each.where == where]


def draw_mediation(found: Mediation, palette: Palette) -> Figure:
    """A row for each measure, a column for attention and FFN: shares of the total effect by layer."""
    figure = sheet(5.0, pad=GRID)
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    for row, (measure, title) in enumerate((("difference", "logit difference"), ("probability", "probability"))):
        for axes, (kind, name) in zip(grid[row], NAMES.items(), strict=True):
            axes.set_gid(f"mediation:{measure}:{kind}")
            own = [each for each in layered(found, "all") if each.component.kind == kind]
            _shares(axes, own, measure, palette)
            head(axes, f"{name.capitalize() if kind == 'attention' else name}, {title}", palette)
            if row == 1:
                axes.set_xlabel("layer")
        grid[row][0].set_ylabel("share of the total effect")
    _legend(
        figure, grid[0][0], f"Effect of a component on {counted(found.n_pairs, 'pair')}, total effect = 100%", palette
    )
    return figure


def draw_ablation(found: Ablation, palette: Palette) -> Figure:
    """A row for attention and FFN, a column for each way of ablation: changes by layer of either kind of answers."""
    ways = list(dict.fromkeys(each.how for each in found.ablated))
    figure = sheet(4.9, pad=GRID)
    grid = figure.subplots(2, len(ways), sharex="row", sharey=True, squeeze=False)
    for row, (kind, name) in enumerate(NAMES.items()):
        for axes, how in zip(grid[row], ways, strict=True):
            axes.set_gid(f"ablation:{kind}:{how}")
            own = [each for each in found.ablated if each.component.kind == kind and each.how == how]
            _changes(axes, own, found, palette)
            if row == 1:
                _neurons(axes, found, how, 1 + max(each.component.layer or 0 for each in own), palette)
            head(axes, f"{name.capitalize() if kind == 'attention' else name}, {WAYS[how]}", palette)
            if row == 1:
                axes.set_xlabel("layer")
        grid[row][0].set_ylabel("change of log-prob., nats")
    title = "Given token without a component; ring: the two kinds differ; the scale is logarithmic beyond ±1"
    _legend(figure, grid[1][0], title, palette)
    return figure


def _legend(figure: Figure, axes: Axes, title: str, palette: Palette) -> None:
    handles, labels = axes.get_legend_handles_labels()
    drawn = figure.legend(
        handles, labels, loc="outside upper left", ncols=len(labels), fontsize=8, labelcolor=palette.soft,
        title=title, title_fontproperties={"size": 8, "weight": "bold"}, alignment="left",
    )  # fmt: skip
    drawn.get_title().set_color(palette.ink)


def _shares(axes: Axes, own: Sequence[Mediator], measure: str, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    layers = [each.component.layer or 0 for each in own]
    effects: list[Effects] = [getattr(each, measure) for each in own]
    _points(axes, layers, [each.nie_share for each in effects], palette.data, "o", "indirect (through it)", -0.12)
    _points(axes, layers, [each.nde_share for each in effects], palette.ink, "o", "direct (past it)", 0.12, hollow=True)
    controls = [getattr(each, f"unrelated_{measure}") for each in own]
    if any(each is not None for each in controls):
        shares = [each.nie_share for each in controls if each is not None]
        places = [layer for layer, each in zip(layers, controls, strict=True) if each is not None]
        _points(axes, places, shares, palette.soft, "x", "indirect, unrelated run (control)", 0.0)
    for level in (0.0, 1.0):
        axes.axhline(level, color=palette.soft, linewidth=0.8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%".replace("-", "−")))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _changes(axes: Axes, own: Sequence[Ablated], found: Ablation, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    layers = [each.component.layer or 0 for each in own]
    n_bad, n_good = found.hallucinated.n, found.faithful.n
    wrong, right = [each.hallucinated.logprob for each in own], [each.faithful.logprob for each in own]
    _points(axes, layers, right, palette.data, "s", f"faithful answers (n = {n_good})", 0.12)
    _points(axes, layers, wrong, palette.signal, "o", f"hallucinated answers (n = {n_bad})", -0.12)
    for layer, each in zip(layers, own, strict=True):
        if each.q < SURE and each.hallucinated.logprob.value is not None:
            (ring,) = axes.plot(
                [layer - 0.12],
                [each.hallucinated.logprob.value],
                "o",
                markersize=11,
                color=palette.ink,
                fillstyle="none",
            )
            ring.set_gid(f"sure:{each.component.label}")
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=1.2)
    axes.axhline(0, color=palette.soft, linewidth=0.8)
    lowest = min((each.low for each in (*wrong, *right) if each.low is not None), default=-1.0)
    steps = [step for step in (-30, -10, -3, -1, -0.5, 0, 0.5) if step >= min(axes.get_ylim()[0], lowest)]
    axes.set_yticks(steps, [f"{step:g}".replace("-", "−") for step in steps])
    axes.set_yticks([], minor=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _neurons(axes: Axes, found: Ablation, how: How, place: int, palette: Palette) -> None:
    """The H-Neurons beyond the last layer, before what random neurons give."""
    own = next((each for each in found.ablated if each.component.kind == "neurons" and each.how == how), None)
    if own is None:
        return
    drawn = next((each for each in found.random if each.how == how), None)
    if drawn is not None:
        ends = [each for band in (drawn.hallucinated, drawn.faithful) for each in (band.low, band.high)]
        low, high = min(each for each in ends if each is not None), max(each for each in ends if each is not None)
        (bar,) = axes.plot(
            [place, place], [low, high], color=palette.soft, linewidth=11, alpha=0.35, solid_capstyle="butt",
            label=f"{drawn.n_draws} draws of random neurons",
        )  # fmt: skip
        bar.set_gid(f"random:{how}")
    _points(axes, [place], [own.faithful.logprob], palette.data, "s", "", 0.12)
    _points(axes, [place], [own.hallucinated.logprob], palette.signal, "o", "", -0.12)
    known = [int(tick) for tick in axes.get_xticks() if 0 <= tick < place and float(tick).is_integer()]
    axes.set_xticks([*known, place], [*map(str, known), "H-N."])


def _points(
    axes: Axes,
    layers: Sequence[int],
    figures: Sequence[Estimate],
    colour: str,
    marker: str,
    label: str,
    aside: float,
    *,
    hollow: bool = False,
) -> None:
    """Values with intervals, a little to the side of their layer, joined by a thin line."""
    at = np.array(layers) + aside
    values = np.array([np.nan if each.value is None else each.value for each in figures])
    axes.plot(at, values, color=colour, linewidth=0.7, alpha=0.5)
    for x, each in zip(at, figures, strict=True):
        if each.low is not None and each.high is not None:
            axes.plot([x, x], [each.low, each.high], color=colour, linewidth=1.2)
    axes.plot(
        at, values, marker, color=colour, markersize=4.5, label=label, linestyle="none",
        markerfacecolor="none" if hollow else colour,
    )  # fmt: skip
