"""Curves over the layers: a figure with its interval at each, before the range of chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hneurons.layers.comparison.record import Compared, Null, Read
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.comparison.reading import shown
from hneurons.report.look import Palette, head, quiet

ACROSS = 4
"""Sets side by side."""
CUT = 20
"""Letters of a set's name over a panel."""
FEW = 12
"""Layers up to which each has its own mark and interval; above, intervals are a band."""


@dataclass(frozen=True)
class Look:
    """How a curve looks; `shift` moves its marks aside, so that intervals do not hide each other."""

    colour: str
    marker: str = "o"
    shift: float = 0.0


def look_of(read: Read, palette: Palette) -> Look:
    """The look of a read, the same in every panel."""
    looks: dict[Read, Look] = {
        "residual": Look(palette.data, "o", -0.16),
        "attention": Look(palette.soft, "s", 0.0),
        "ffn": Look(palette.ink, "^", 0.16),
    }
    return looks[read]


def key(label: str, look: Look) -> Line2D:
    """A curve for the legend."""
    return Line2D([], [], color=look.colour, marker=look.marker, markersize=4.2, linewidth=1.1, label=label)


def curve(
    axes: Axes,
    layers: Sequence[int],
    figures: Sequence[Estimate],
    filled: Sequence[bool],
    look: Look,
    palette: Palette,
    name: str,
) -> None:
    """Draw figures over their layers, each mark full where `filled`, else hollow.

    Lines are named `curve:NAME`, intervals `interval:NAME`, marks `full:NAME` or `hollow:NAME`.
    """
    places = shifted(layers, look)
    values = [float("nan") if each.value is None else each.value for each in figures]
    lows = [value if each.low is None else each.low for value, each in zip(values, figures, strict=True)]
    highs = [value if each.high is None else each.high for value, each in zip(values, figures, strict=True)]
    (line,) = axes.plot(places, values, color=look.colour, linewidth=1.1, zorder=3)
    line.set_gid(f"curve:{name}")
    if len(layers) > FEW:
        axes.fill_between(places, lows, highs, color=look.colour, alpha=0.15, linewidth=0).set_gid(f"interval:{name}")
    else:
        axes.vlines(places, lows, highs, color=look.colour, linewidth=1.1, zorder=3).set_gid(f"interval:{name}")
    for kind, face in (("hollow", palette.panel), ("full", look.colour)):
        own = [(x, y) for x, y, full in zip(places, values, filled, strict=True) if full == (kind == "full")]
        (marks,) = axes.plot(
            [x for x, _ in own],
            [y for _, y in own],
            look.marker,
            color=look.colour,
            markerfacecolor=face,
            markersize=4.2 if len(layers) <= FEW else 2.6,
            zorder=4,
        )
        marks.set_gid(f"{kind}:{name}")


def shifted(layers: Sequence[int], look: Look) -> list[float]:
    """Where the marks of a curve stand."""
    return [layer + (look.shift if len(layers) <= FEW else 0.0) for layer in layers]


def chance(axes: Axes, layers: Sequence[int], nulls: Sequence[Sequence[Null]], palette: Palette) -> None:
    """The widest of some ranges of chance at each layer, as a grey band named `chance`."""
    lows = [min((each.low for each in own if each.low is not None), default=float("nan")) for own in nulls]
    highs = [max((each.high for each in own if each.high is not None), default=float("nan")) for own in nulls]
    wide = [layers[0] - 0.4, *layers, layers[-1] + 0.4]
    band = axes.fill_between(
        wide, [lows[0], *lows, lows[-1]], [highs[0], *highs, highs[-1]], color=palette.line, linewidth=0, zorder=0
    )
    band.set_gid("chance")


def by_layer(axes: Axes, layers: Sequence[int]) -> None:
    """The axis of layers, whole numbers from 0."""
    axes.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))


def frame(axes: Axes, compared: Compared, palette: Palette, *, title: bool) -> list[int]:
    """A panel of one set, headed by its name and number of answers; returns its layers."""
    quiet(axes, palette, grid="y")
    selection = shown(compared)
    layers = sorted({each.layer for each in selection.levels})
    by_layer(axes, layers)
    if title:
        how = "" if compared.matched is not None else ", not matched"
        name = compared.eval_set if len(compared.eval_set) <= CUT else compared.eval_set[: CUT - 1] + "…"
        head(axes, f"{name}\n", palette)
        axes.annotate(
            f"n = {selection.n_faithful} + {selection.n_hallucinated}{how}",
            (0, 1),
            xytext=(0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=7.5,
            color=palette.soft,
        )
    return layers


def legend(figure: Figure, palette: Palette, keys: Sequence[Line2D | Patch]) -> None:
    """What the marks mean, below all panels."""
    figure.legend(handles=list(keys), loc="outside lower center", ncols=4, labelcolor=palette.soft, fontsize=8)


def lines_of(sets: Sequence[Compared]) -> list[list[Compared]]:
    """The sets, as many side by side as fit."""
    return [list(sets[start : start + ACROSS]) for start in range(0, len(sets), ACROSS)]
