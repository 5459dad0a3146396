"""Figure 4 (a): the H-Neurons on the other model's own answers, beside their home and what chance gives."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from hneurons.origins.record import Origin
from hneurons.report.forest import Dot, Row, Spread, forest
from hneurons.report.look import GRID, MONO, Palette, head, quiet, sheet
from hneurons.report.numbers import estimate
from hneurons.report.origin.reading import (
    LANDMARKS,
    OURS,
    Place,
    auroc,
    base_name,
    control_draws,
    cut,
    directions,
    transfer_sets,
    tuned_name,
)
from hneurons.study.evaluating import H_NEURONS, RANDOM
from hneurons.study.results import Results

ACROSS = 4
"""Panels side by side."""
ROW = 0.2
"""Inches of a row."""
HEAD = 0.68
"""Inches of the three lines over a panel: what it is of, the set, the probe's AUROC."""
LONGEST = 18
"""Letters of a set's name over a panel."""
CHANCE = 0.5


@dataclass(frozen=True)
class Block:
    """One place in which the H-Neurons are held against chance, a panel for every set."""

    place: Place
    heading: str
    labels: tuple[str, ...]


def blocks(results: Results, origin: Origin) -> list[Block]:
    """Backward, the probe at home, and forward: each with the rows that all of its panels have."""
    base, tuned = base_name(origin), tuned_name(results)
    headings: dict[Place, str] = {
        "backward": f"Backward: fitted on {tuned}, on the answers of {base}",
        "native": f"At home: {tuned} on its own answers",
        "forward": f"Forward: fitted on {base}, on the answers of {tuned}",
    }
    made = directions(origin)
    found = []
    for place, heading in headings.items():
        if place != "native" and place not in made:
            continue
        labels: dict[str, None] = {}
        for name in transfer_sets(results, origin):
            shown = [*OURS, *LANDMARKS]
            labels |= {each: None for each in shown if auroc(results, origin, place, name, each) is not None}
            labels |= dict.fromkeys(control_draws(results, origin, place, name))
        order = [*OURS, *LANDMARKS]
        detectors = [each for each in order if each in labels]
        found.append(Block(place, heading, (*detectors, *(each for each in labels if each not in order))))
    return found


def rows(results: Results, origin: Origin, block: Block, eval_set: str) -> list[Row]:
    """The rows of one panel; a row that this set lacks is empty, so that panels stay aligned."""
    drawn = control_draws(results, origin, block.place, eval_set)
    found: list[Row] = []
    for label in block.labels:
        figure = auroc(results, origin, block.place, eval_set, label)
        if label in (*OURS, *LANDMARKS):
            value, low, high = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
            found.append(Dot(label, value, low, high, "", emphasis=label in OURS))
        else:
            band = drawn[label].auroc if label in drawn else None
            ends = (None, None, None) if band is None else (band.mean, band.low, band.high)
            found.append(Spread(label, band.values if band else (), *ends, ""))
    return found


def draw_transfer(results: Results, origin: Origin, palette: Palette) -> Figure:
    """A block for every place, a panel for every set; one scale of AUROC for all."""
    names, held = transfer_sets(results, origin), blocks(results, origin)
    chunks = [names[start : start + ACROSS] for start in range(0, len(names), ACROSS)]
    lines = [(block, chunk) for chunk in chunks for block in held]
    heights = [HEAD + ROW * len(block.labels) for block, _ in lines]
    figure = sheet(0.45 + sum(heights), pad=GRID)
    across = max(map(len, chunks))
    grid = figure.subplots(len(lines), across, squeeze=False, height_ratios=heights)
    left = _start([row for block in held for name in names for row in rows(results, origin, block, name)])
    for (block, chunk), panels in zip(lines, grid, strict=True):
        for place, axes in enumerate(panels):
            if place >= len(chunk):
                axes.remove()
                continue
            axes.set_gid(f"panel:{block.place}:{chunk[place]}")
            _panel(axes, results, origin, block, chunk[place], palette)
            axes.set_xlim(left, 1.0)
            forest(axes, rows(results, origin, block, chunk[place]), palette, labels=place == 0, texts=False)
            _heading(axes, block.heading if place == 0 else "", chunk[place], palette)
            ours = auroc(results, origin, block.place, chunk[place], H_NEURONS)
            if ours is not None and ours.value is not None:
                _over(axes, estimate(ours), 4.0, palette.data, family=MONO, fontsize=7.5)
            if block is held[-1]:
                axes.set_xlabel("AUROC")
    return figure


def _heading(axes: Axes, heading: str, eval_set: str, palette: Palette) -> None:
    """Room for three lines; the first runs over the panels beside it, so it must not widen this one."""
    head(axes, f"\n{cut(eval_set, LONGEST)}\n", palette)
    if heading:
        _over(axes, heading, 31.0, palette.ink, fontsize=9, fontweight="bold").set_in_layout(False)


def _over(axes: Axes, text: str, points: float, colour: str, **font: Any) -> Text:
    """Write `text` so many points above the axes, at their left end."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "parse_math": False}
    return axes.annotate(text, (0, 1), xytext=(0, points), color=colour, **place, **font)


def _panel(axes: Axes, results: Results, origin: Origin, block: Block, eval_set: str, palette: Palette) -> None:
    """The axes behind the rows: random neurons from top to bottom, chance, and why there is nothing to rank."""
    quiet(axes, palette, grid="x")
    random = control_draws(results, origin, block.place, eval_set).get(RANDOM)
    if random is not None and random.auroc.low is not None and random.auroc.high is not None:
        band = axes.axvspan(random.auroc.low, random.auroc.high, color=palette.line, alpha=0.5, linewidth=0)
        band.set_gid("random band")
    axes.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])
    found = auroc(results, origin, block.place, eval_set, H_NEURONS)
    if found is not None and found.value is not None:
        axes.axvline(CHANCE, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
        return
    why = _wrapped("not applied to this set" if found is None else f"not defined: {found.reason}")
    words = axes.text(
        0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color=palette.soft,
        parse_math=False,
    )  # fmt: skip
    words.set_gid("reason")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 20))


def _start(lines: Sequence[Row]) -> float:
    """Where the axis begins, so that nothing is cut off and chance is in sight."""
    drawn = [each for row in lines for each in (row.low, *((row.value,) if isinstance(row, Dot) else row.values))]
    return max(0.0, min([0.45, *(float(np.floor(20 * (each - 0.01)) / 20) for each in drawn if each is not None)]))
