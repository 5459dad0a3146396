"""Where the residual stream carries the answer from layer to layer, and what sets of neurons carry of it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hneurons.layers.causality.record import Causality, EffectMap
from hneurons.report.forest import Dot, Row, Spread, forest
from hneurons.report.layers.causality.reading import COLUMN_NAMES, find_map
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import percent_estimate, percent_spread

SHOWN = ("subject last", "name", "last")
MARKS = {"subject last": "s", "name": "^", "last": "o"}


def draw_carried(found: Causality, palette: Palette) -> Figure:
    """A panel for each kind of corrupt run; below, the H-Neurons beside random ones."""
    maps = [each for name in ("question", "noise") if (each := find_map(found, name, "residual")) is not None]
    rows = neuron_rows(found)
    figure = sheet(3.1 + (0.5 + 0.24 * len(rows) if rows else 0), pad=GRID)
    outer = figure.add_gridspec(2 if rows else 1, 1, height_ratios=[2.3, 0.3 + 0.24 * len(rows)] if rows else [1])
    upper = outer[0].subgridspec(1, len(maps))
    for number, own in enumerate(maps):
        axes = figure.add_subplot(upper[number])
        axes.set_gid(f"carried:{own.corruption}")
        _lines(axes, own, palette)
        what = "another question" if own.corruption == "question" else "noise on the subject"
        head(axes, f"Corrupt: {what} (n = {max(own.n)})", palette)
        axes.set_xlabel("after layer")
        if number == 0:
            axes.set_ylabel("share of the gap")
            handles, labels = axes.get_legend_handles_labels()
            legend = figure.legend(
                handles, labels, loc="outside upper left", ncols=len(labels), fontsize=8, labelcolor=palette.soft,
                title="Residual stream at", title_fontproperties={"size": 8, "weight": "bold"}, alignment="left",
            )  # fmt: skip
            legend.get_title().set_color(palette.ink)
    if rows:
        axes = figure.add_subplot(outer[1])
        axes.set_gid("neurons")
        quiet(axes, palette, grid="x")
        forest(axes, rows, palette)
        axes.axvline(0, color=palette.soft, linewidth=0.8)
        head(axes, "Neurons put in together at every changed token: share of the gap, in %", palette)
    return figure


def _lines(axes: Axes, own: EffectMap, palette: Palette) -> None:
    quiet(axes, palette, grid="y", left=True)
    layers = np.arange(len(own.effect.value))
    colours = {"subject last": palette.soft, "name": palette.ink, "last": palette.data}
    for column in SHOWN:
        if column not in own.columns:
            continue
        place = own.columns.index(column)
        value, low, high = (
            np.array([_number(row[place]) for row in part])
            for part in (own.effect.value, own.effect.low, own.effect.high)
        )
        axes.fill_between(layers, low, high, color=colours[column], alpha=0.18, linewidth=0)
        (line,) = axes.plot(
            layers, value, marker=MARKS[column], markersize=4, color=colours[column], linewidth=1.4,
            label=COLUMN_NAMES[column],
        )  # fmt: skip
        line.set_gid(f"line:{column}")
        if own.control is not None:
            control = [_number(row[place]) for row in own.control.value]
            (dashed,) = axes.plot(layers, control, color=colours[column], linewidth=1, linestyle=(0, (2, 2)))
            dashed.set_gid(f"control:{column}")
    if own.control is not None:
        axes.plot([], [], color=palette.soft, linewidth=1, linestyle=(0, (2, 2)), label="of an unrelated question")
    axes.axhline(0, color=palette.soft, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(top=max(1.08, axes.get_ylim()[1]))


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def neuron_rows(found: Causality) -> list[Row]:
    """The H-Neurons, then as many random neurons, of any layers and of the same; in percent."""
    own = found.neurons
    if own is None:
        return []

    effect = own.effect
    rows: list[Row] = [
        Dot(
            f"{own.n_neurons} H-Neurons",
            _percent(effect.value),
            _percent(effect.low),
            _percent(effect.high),
            percent_estimate(effect),
            emphasis=True,
        )
    ]
    for label, band in (("random neurons", own.random), ("of the same layers", own.matched)):
        if band.values:
            values = tuple(100 * value for value in band.values)
            ends = (_percent(band.mean), _percent(band.low), _percent(band.high))
            rows.append(Spread(label, values, *ends, percent_spread(band.low, band.high)))
    return rows


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def carried_sentence(found: Causality) -> str:
    """How to read it, and what all neurons together bring back."""
    text = (
        "Bands are 95% intervals over pairs; dashed, the same tokens of an unrelated question's run: what any value "
        "does that is not the corrupt run's own."
    )
    if found.neurons is not None:
        text += f" All neurons of the model together bring back {percent_estimate(found.neurons.all_neurons)}."
    return text
