"""Whether the probabilities mean what they say: share hallucinated over probability, by source and set."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hneurons.layers.confidence.record import Calibration, Confidence
from hneurons.report.layers.confidence.reading import (
    ENTROPY,
    H_NEURONS,
    HIDDEN,
    LOG_PROB,
    OWN,
    calibrated,
    eval_sets,
    short,
    worst_calibrated,
)
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import decimal

SOURCES = (H_NEURONS, HIDDEN, OWN, LOG_PROB, ENTROPY)


def shown_sets(found: Confidence) -> list[str]:
    """The first set, and the one where the detectors are calibrated worst."""
    names = [*_first(found), worst_calibrated(found)]
    return [name for name in dict.fromkeys(names) if name is not None]


def draw_reliability(found: Confidence, palette: Palette) -> Figure:
    """A panel for each source, a row for each of two sets; beside each ECE, what calibration itself would show."""
    names = shown_sets(found)
    sources = [each for each in SOURCES if any(calibrated(found, name, each) for name in names)]
    figure = sheet(0.55 + 2.3 * len(names), pad=GRID)
    panels = figure.subplots(len(names), len(sources), squeeze=False, sharex=True, sharey=True)
    for row, name in enumerate(names):
        for column, source in enumerate(sources):
            axes, own = panels[row, column], calibrated(found, name, source)
            quiet(axes, palette, grid="y", left=True)
            axes.plot([0, 1], [0, 1], color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
            head(axes, f"{short(source)}\n\n", palette)
            if own is not None:
                _panel(axes, own, palette)
            if column == 0:
                n = "" if own is None else f" (n = {own.n:,})"
                axes.set_ylabel(f"{name}{n}\nshare hallucinated", parse_math=False)
            if row == len(names) - 1:
                axes.set_xlabel("probability it gives" if source != OWN else "1 − probability of answer")
    figure.legend(
        handles=[
            Line2D(
                [], [], color=palette.data, marker="o", markersize=4, linewidth=1.2,
                label="a tenth of the answers, 95% interval",
            ),
            Line2D([], [], color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)), label="what is said is what is"),
        ],
        loc="outside lower center", ncols=2, labelcolor=palette.soft,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, own: Calibration, palette: Palette) -> None:
    for each in own.bins:
        if each.hallucinated.low is not None and each.hallucinated.high is not None:
            ends = [each.hallucinated.low, each.hallucinated.high]
            (line,) = axes.plot([each.probability] * 2, ends, color=palette.data, linewidth=1.2)
            line.set_gid("interval")
        (dot,) = axes.plot(
            [each.probability], [each.hallucinated.value or 0.0], "o", color=palette.data, markersize=4,
            markeredgecolor=palette.panel, markeredgewidth=0.6,
        )  # fmt: skip
        dot.set_gid("bin")
    control = f"{decimal(own.perfect.low, 2)}–{decimal(own.perfect.high, 2)}"
    said = axes.annotate(
        f"ECE {decimal(own.ece, 2)}\nchance {control}", (0, 1), xytext=(0, 5), xycoords="axes fraction",
        textcoords="offset points", fontsize=7, color=palette.ink,
    )  # fmt: skip
    said.set_in_layout(False)
    said.set_gid("error")


def _first(found: Confidence) -> list[str]:
    """The set asked as training was, where there is one of that name; else the first."""
    names = eval_sets(found)
    return [name for name in names if name == "in-domain"][:1] or names[:1]
