"""How the two directions relate by layer: their angle, and factuality once uncertainty is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hneurons.layers.concepts.record import Concepts
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.concepts.reading import pictured_set, removals
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import counted
from hneurons.report.origin.reading import cut
from hneurons.report.sweep.alpha import DASHED, DOTTED


def draw_angles(found: Concepts, palette: Palette) -> Figure:
    """Left: cosines before two nulls. Right: AUROC for factuality with and without uncertainty."""
    figure = sheet(4.6, pad=GRID)
    name = pictured_set(found)
    panels = figure.subplots(1, 2 if name else 1, squeeze=False)[0]
    _cosines(panels[0], found, palette)
    if name:
        _left(panels[1], found, name, palette)
    return figure


def _cosines(axes: Axes, found: Concepts, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    layers = [each.layer for each in found.angles]
    apart = axes.fill_between(
        layers, [each.independent.low for each in found.angles], [each.independent.high for each in found.angles],
        color=palette.line, linewidth=0, label="labels permuted",
    )  # fmt: skip
    apart.set_gid("band:independent")
    for end in ("low", "high"):
        (edge,) = axes.plot(
            layers, [getattr(each.together, end) for each in found.angles], color=palette.soft, linewidth=1,
            linestyle=DOTTED, label="permuted together, so that they overlap as they do" if end == "low" else None,
        )  # fmt: skip
        edge.set_gid(f"together:{end}")
    _line(axes, [each.cosine for each in found.angles], "differences of means, 95% interval", "cosine", palette.data)
    (line,) = axes.plot(
        layers, [each.logistic for each in found.angles], color=palette.ink, linewidth=1.3, linestyle=DASHED,
        label="logistic directions",
    )  # fmt: skip
    line.set_gid("logistic")
    axes.axhline(0, color=palette.soft, linewidth=0.8)
    axes.set_ylim(-1.02, 1.02)
    axes.locator_params(axis="x", nbins=8, integer=True)
    axes.set_xlabel("layer")
    axes.set_ylabel("cosine")
    head(axes, f"factuality and uncertainty, {counted(found.n_fit, 'training answer')}", palette)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=7.5, labelcolor=palette.ink, handlelength=2)


def _left(axes: Axes, found: Concepts, name: str, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    own = removals(found, name)
    axes.axhline(0.5, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
    nan = float("nan")
    low, high = (
        [nan if each.refit_control is None else getattr(each.refit_control, end) for each in own]
        for end in ("low", "high")
    )
    taken = axes.fill_between(
        range(len(own)), low, high, color=palette.line, linewidth=0, label="refitted, another direction projected out"
    )
    taken.set_gid("band:refit")
    _line(axes, [each.refit_before for each in own], "logistic probe", "before", palette.data)
    _line(
        axes,
        [each.refit for each in own],
        "refitted, uncertainty projected out",
        "refit",
        palette.ink,
        DASHED,
        fill=False,
    )
    _line(axes, [each.within for each in own], "logistic probe, among answers of like entropy", "within", palette.soft)
    values = [nan if each.outside_within.value is None else each.outside_within.value for each in own]
    (line,) = axes.plot(
        range(len(own)), values, color=palette.soft, linewidth=1.1, linestyle=DOTTED,
        label="question kind and lengths, among answers of like entropy",
    )  # fmt: skip
    line.set_gid("outside")
    entropy = own[0].entropy.value
    if entropy is not None:
        across = axes.axhline(entropy, color=palette.ink, linewidth=1, linestyle=DOTTED, label="entropy of the answer")
        across.set_gid("entropy")
    axes.set_ylim(0.4, 1.0)
    axes.locator_params(axis="x", nbins=8, integer=True)
    axes.set_xlabel("layer")
    axes.set_ylabel("AUROC, factuality")
    head(axes, f"what is left without uncertainty, {cut(name, 20)}", palette)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=7.5, labelcolor=palette.ink, handlelength=2)


def _line(
    axes: Axes,
    figures: Sequence[Estimate],
    label: str,
    name: str,
    colour: str,
    style: Any = "-",
    *,
    fill: bool = True,
) -> None:
    nan = float("nan")
    layers = range(len(figures))
    values = [nan if each.value is None else each.value for each in figures]
    (line,) = axes.plot(layers, values, color=colour, linewidth=1.7, linestyle=style, label=label)
    line.set_gid(f"line:{name}")
    if fill:
        low = [nan if each.low is None else each.low for each in figures]
        high = [nan if each.high is None else each.high for each in figures]
        axes.fill_between(layers, low, high, color=colour, alpha=0.2, linewidth=0).set_gid(f"interval:{name}")
