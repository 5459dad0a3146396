"""The figures of this part: shares by layer, and a map of the heads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hneurons.layers.attention.record import Attention, Contrast, LayerShares, agree, differs
from hneurons.report.illustration import Illustration
from hneurons.report.layers.attention.reading import NAMES, contrasts, measured, share, telling, texts
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import counted

SHADES = {"first": ("line", 1.0), "template": ("soft", 0.35), "question": ("data", 0.3), "subject": ("data", 1.0),
          "context": ("ink", 0.85), "response": ("soft", 0.75)}  # fmt: skip
"""The colour of each segment, by its role in the palette, and how opaque it is."""
BAR = 0.38
"""Width of a bar, where layers are 1 apart."""
LENGTHS = -1.4
"""Where the bars of uniform attention stand."""


def illustrations(found: Attention) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    shown = contrasts(found)
    if not shown:
        return []
    return [
        Illustration(
            name="layers-attention-shares",
            title="What the model looks at, layer by layer",
            sentence=(
                "Share of attention by what tokens stand for, mean over heads and over the positions that predict the "
                f"answer tokens; {' and '.join(map(_kinds, shown))}. At the left, what their lengths alone would give."
            ),
            alt="Stacked bars, two for each layer, one for either kind.",
            draw=partial(draw_shares, found),
        ),
        Illustration(
            name="layers-attention-heads",
            title="Where heads look differently",
            sentence=(
                "Attention on a segment over what uniform attention would give (lift): the second kind less the first, "
                "within set and kind of question. "
                + " ".join(
                    f"{each.title}: {counted(each.n_both, 'head and segment', 'heads and segments')} of "
                    f"{measured(each, 'lift').n_tests} differ in lift and in share after correction."
                    for each in shown
                )
            ),
            alt="Maps of layers by heads, a panel for each segment.",
            draw=partial(draw_heads, found),
        ),
    ]


def _kinds(contrast: Contrast) -> str:
    return f"{contrast.n_first} {contrast.first} and {contrast.n_second} {contrast.second} {texts(contrast)}" + (
        "" if contrast.name == "answers" else f" of “{contrast.title}”"
    )


def draw_shares(found: Attention, palette: Palette) -> Figure:
    """For each contrast two stacked bars a layer, with those of uniform attention at the left, and one difference."""
    shown = contrasts(found)
    figure = sheet(0.6 + 2.4 * len(shown), pad=GRID)
    grid = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(2.6, 1))
    for (left, right), contrast in zip(grid, shown, strict=True):
        left.set_gid(f"panel:{contrast.name}")
        quiet(left, palette, grid="y")
        _bars(left, LENGTHS, contrast.whole, palette, uniform=True)
        for place, layer in enumerate(contrast.layers):
            _bars(left, float(place), layer, palette)
        ticks = _places(len(contrast.layers), 12)
        left.set_xticks([LENGTHS, *ticks], ["by length\nalone", *(str(found.layers[place]) for place in ticks)])
        left.set_xlim(LENGTHS - 0.7, len(contrast.layers) - 0.3)
        left.set_ylim(0, 1)
        left.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        left.set_ylabel("share of attention")
        kinds = f"left {contrast.first} (n = {contrast.n_first}), right {contrast.second} (n = {contrast.n_second})"
        head(left, f"{contrast.title}\n{kinds}", palette)
        _difference(right, found, contrast, palette)
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    present = [name for name in NAMES if any(share(each.whole, name) for each in shown)]
    patches = [Patch(facecolor=_colour(name, palette), alpha=SHADES[name][1], label=NAMES[name]) for name in present]
    figure.legend(
        handles=patches, loc="outside lower left", labelcolor=palette.ink, ncols=len(present), handlelength=1.2
    )
    return figure


def _difference(axes: Axes, found: Attention, contrast: Contrast, palette: Palette) -> None:
    """The lift on the telling segment by layer, the second kind less the first, with its interval."""
    name = telling(contrast)
    axes.set_gid(f"difference:{contrast.name}")
    quiet(axes, palette, grid="y")
    axes.axhline(0, color=palette.soft, linewidth=0.9)
    for place, layer in enumerate(contrast.layers):
        own = share(layer, name)
        if own is None or own.lift.value is None or own.lift.low is None or own.lift.high is None:
            continue
        (line,) = axes.plot([place] * 2, [100 * own.lift.low, 100 * own.lift.high], color=palette.data, linewidth=1.6)
        line.set_gid(f"interval:{layer.layer}")
        (dot,) = axes.plot([place], [100 * own.lift.value], "o", color=palette.data, markersize=5)
        dot.set_gid(f"dot:{layer.layer}")
    ticks = _places(len(contrast.layers), 8)
    axes.set_xticks(ticks, [str(found.layers[place]) for place in ticks])
    axes.margins(x=0.12)
    axes.set_ylabel("points, 95% interval")
    head(axes, f"Lift on the {NAMES[name]}:\n{contrast.second} less {contrast.first}", palette)


def _places(n: int, most: int) -> list[int]:
    """At most about so many of the numbers from 0, evenly."""
    return list(range(0, n, max(1, -(-n // most))))


def _colour(segment: str, palette: Palette) -> str:
    colour: str = getattr(palette, SHADES[segment][0])
    return colour


def _bars(axes: Axes, x: float, layer: LayerShares, palette: Palette, *, uniform: bool = False) -> None:
    """Both kinds' stacks; a line in the colour of the flagged under the second kind's."""
    bottoms = [0.0, 0.0]
    for name in NAMES:
        own = share(layer, name)
        if own is None:
            continue
        heights = (own.first_uniform, own.second_uniform) if uniform else (own.first, own.second)
        for side, height in enumerate(heights):
            bar = axes.bar(
                x + (side - 0.5) * (BAR + 0.04), height, BAR, bottom=bottoms[side], linewidth=0,
                color=_colour(name, palette), alpha=SHADES[name][1],
            )  # fmt: skip
            bar.patches[0].set_gid(f"{'uniform' if uniform else layer.layer}:{name}:{side}")
            bottoms[side] += height
    axes.plot([x + 0.04, x + 0.04 + BAR], [0.0, 0.0], color=palette.signal, linewidth=3.5, solid_capstyle="butt")


def draw_heads(found: Attention, palette: Palette) -> Figure:
    """A row of maps for each contrast, with a scale of its own; a column for each segment."""
    shown = contrasts(found)
    columns = [name for name in NAMES if any(share(each.whole, name) for each in shown)]
    tall = min(3.4, max(1.35, 0.2 * len(found.layers)))
    figure = sheet(0.7 + (tall + 0.75) * len(shown), pad=GRID)
    grid = figure.subplots(len(shown), len(columns), squeeze=False)
    for contrast, panels in zip(shown, grid, strict=True):
        own = {each.segment: np.array(each.difference) for each in measured(contrast, "lift").differences}
        most = max(1e-6, *(float(np.abs(values).max()) for values in own.values()))
        for place, (axes, name) in enumerate(zip(panels, columns, strict=True)):
            if name not in own:
                axes.set_axis_off()
                continue
            axes.set_gid(f"map:{contrast.name}:{name}")
            _map(axes, own[name], most, palette)
            _marks(axes, contrast, name, found.level, palette)
            _ticks(axes, found, palette, labels=place == 0)
            head(axes, f"\n{NAMES[name]}", palette)
        _over(panels[0], f"{contrast.title}: {contrast.second} less {contrast.first}", palette)
        ramp = ScalarMappable(Normalize(-100 * most, 100 * most), _ramp(palette))
        scale = figure.colorbar(ramp, ax=list(panels), aspect=12, fraction=0.03, pad=0.01)
        scale.set_label("lift, points", color=palette.soft)
        scale.ax.tick_params(colors=palette.soft)
        scale.ax.locator_params(nbins=5)
        scale.outline.set_edgecolor(palette.line)
    _legend(figure, palette)
    return figure


def _over(axes: Axes, text: str, palette: Palette) -> None:
    """A heading that runs over the panels beside this one, and must not widen it."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "parse_math": False}
    words = axes.annotate(text, (0, 1), xytext=(0, 20), color=palette.ink, fontsize=9, fontweight="bold", **place)
    words.set_in_layout(False)


def _map(axes: Axes, values: np.ndarray, most: float, palette: Palette) -> None:
    """Layers upwards, heads to the right; what is near 0 is as the page."""
    pixels = np.zeros((*values.shape, 4))
    pixels[..., :3] = np.where(values[..., None] > 0, to_rgb(palette.signal), to_rgb(palette.data))
    pixels[..., 3] = np.abs(values) / most
    axes.imshow(pixels, origin="lower", aspect="auto", interpolation="nearest")


def _ramp(palette: Palette) -> ListedColormap:
    ends = [(*to_rgb(palette.data), 1 - i / 127) for i in range(128)]
    return ListedColormap([*ends, *((*to_rgb(palette.signal), i / 127) for i in range(128))])


def _marks(axes: Axes, contrast: Contrast, segment: str, level: float, palette: Palette) -> None:
    both = np.array(agree(contrast, segment, level)) != 0
    lift = (np.array(differs(measured(contrast, "lift"), segment, level)) != 0) & ~both
    size = 3.5 if both.size <= 256 else 1.6
    for name, where, fill in (("both", both, palette.ink), ("lift", lift, "none")):
        layers, heads = np.nonzero(where)
        (dots,) = axes.plot(
            heads, layers, "o", markersize=size, markerfacecolor=fill, markeredgecolor=palette.ink, markeredgewidth=0.7
        )
        dots.set_gid(f"{name}:{contrast.name}:{segment}")


def _ticks(axes: Axes, found: Attention, palette: Palette, *, labels: bool) -> None:
    for spine in axes.spines.values():
        spine.set_edgecolor(palette.line)
    axes.tick_params(length=0, labelcolor=palette.soft)
    places = _places(len(found.layers), 8)
    axes.set_yticks(places, [str(found.layers[place]) for place in places] if labels else [""] * len(places))
    axes.set_xticks(_places(found.n_heads, 4))
    axes.set_xlabel("head", color=palette.soft)
    if labels:
        axes.set_ylabel("layer", color=palette.soft)


def _legend(figure: Figure, palette: Palette) -> None:
    labels = {palette.ink: "differs in lift and in share, corrected", "none": "in lift alone: perhaps its length"}
    dots = [
        Line2D([], [], ls="none", marker="o", markersize=4, mec=palette.ink, mfc=fill, label=label)
        for fill, label in labels.items()
    ]
    figure.legend(handles=dots, loc="outside lower left", labelcolor=palette.ink, ncols=2)
