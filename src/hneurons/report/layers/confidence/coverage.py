"""Risk over coverage: how often an answer is hallucinated among those that a detector is surest of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hneurons.layers.confidence.record import Confidence, RandomRisk
from hneurons.report.forest import Dot, Row, Spread, forest
from hneurons.report.layers.confidence.reading import (
    ENTROPY,
    H_NEURONS,
    HIDDEN,
    OWN,
    P_TRUE,
    REFIT,
    curve_of,
    detectors,
    eval_sets,
    short,
)
from hneurons.report.look import GRID, Palette, head, quiet, sheet

ACROSS = 4
DRAWN: dict[str, Any] = {
    ENTROPY: "-",
    OWN: (0, (4, 1.5)),
    HIDDEN: (0, (1, 1.2)),
    P_TRUE: (0, (5, 1.5, 1, 1.5)),
}
"""Rivals whose curves are drawn, by line; all of them are among the areas below."""
ROW = 0.19
FROM = 0.1
"""Coverage from which a curve is drawn: of fewer answers than a tenth its risk is noise."""
RANDOM_LABEL = "random neurons"


def draw_coverage(found: Confidence, palette: Palette) -> Figure:
    """Curves above, the areas under all of them below; a column for each of the first four sets."""
    names, shown = eval_sets(found)[:ACROSS], detectors(found)
    figure = sheet(3.1 + ROW * (len(shown) + 1), pad=GRID)
    panels = figure.subplots(2, len(names), squeeze=False, height_ratios=[2.0, ROW * (len(shown) + 1)])
    for column, name in enumerate(names):
        random = next((each for each in found.random if each.eval_set == name), None)
        if column:
            panels[0, column].sharey(panels[0, 0])
            panels[0, column].tick_params(labelleft=False)
        _curves(panels[0, column], found, name, random, palette)
        axes = panels[1, column]
        quiet(axes, palette, grid="x")
        forest(axes, _areas(found, name, shown, random), palette, texts=False)
        axes.tick_params(labelleft=column == 0)
        axes.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])
        if random is not None:
            axes.axvline(random.base, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("base")
        axes.set_xlabel("area under the curve")
    panels[0, 0].set_ylabel("risk: share hallucinated")
    _key(figure, palette)
    return figure


def _curves(axes: Axes, found: Confidence, name: str, random: RandomRisk | None, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    head(axes, name, palette)
    if random is not None:
        axes.axhline(random.base, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("base")
        inside = [place for place, each in enumerate(random.coverage) if each >= FROM]
        band = axes.fill_between(
            [random.coverage[place] for place in inside],
            [random.low[place] for place in inside],
            [random.high[place] for place in inside],
            color=palette.line, linewidth=0,
        )  # fmt: skip
        band.set_gid("random band")
    for detector, style in DRAWN.items():
        curve = curve_of(found, name, detector)
        if curve is not None:
            inside = [place for place, each in enumerate(curve.coverage) if each >= FROM]
            (line,) = axes.plot(
                [curve.coverage[place] for place in inside], [curve.risk[place] for place in inside],
                color=palette.ink, linewidth=1.1, linestyle=style,
            )  # fmt: skip
            line.set_gid(f"curve:{detector}")
    ours = curve_of(found, name, H_NEURONS)
    if ours is not None:
        inside = [place for place, each in enumerate(ours.coverage) if each >= FROM]
        band = axes.fill_between(
            [ours.coverage[place] for place in inside],
            [ours.low[place] for place in inside],
            [ours.high[place] for place in inside],
            color=palette.data, alpha=0.18, linewidth=0,
        )  # fmt: skip
        band.set_gid("interval")
        (line,) = axes.plot(
            [ours.coverage[place] for place in inside], [ours.risk[place] for place in inside],
            color=palette.data, linewidth=2,
        )  # fmt: skip
        line.set_gid(f"curve:{H_NEURONS}")
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="coverage: share answered")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _areas(found: Confidence, name: str, shown: Sequence[str], random: RandomRisk | None) -> list[Row]:
    rows: list[Row] = []
    for detector in shown:
        curve = curve_of(found, name, detector)
        ends = (None, None, None) if curve is None else (curve.aurc.value, curve.aurc.low, curve.aurc.high)
        rows.append(Dot(short(detector), *ends, "", emphasis=detector in (H_NEURONS, REFIT)))
    if random is not None:
        rows.append(Spread(RANDOM_LABEL, (), random.aurc.mean, random.aurc.low, random.aurc.high, ""))
    return rows


def _key(figure: Figure, palette: Palette) -> None:
    handles = [
        Line2D([], [], color=palette.data, linewidth=2, label="H-Neurons, 95% band"),
        *(
            Line2D([], [], color=palette.ink, linewidth=1.1, linestyle=style, label=short(name))
            for name, style in DRAWN.items()
        ),
        Patch(color=palette.line, label="random neurons"),
        Line2D([], [], color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), label="held back at random"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, labelcolor=palette.soft)
