"""Saying nothing: the risk that a threshold keeps on each set, and what it costs."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hneurons.layers.confidence.record import Confidence
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.confidence.reading import abstaining, eval_sets, outcome_of, short, target
from hneurons.report.look import GRID, Palette, head, quiet, sheet
from hneurons.report.numbers import percent

ACROSS = 4
ROW = 0.3
DODGE = 0.17


def draw_trade(found: Confidence, palette: Palette) -> Figure:
    """Above, the risk that is reached for one target; below, hallucinations stopped and right answers lost."""
    names, rows, risk = eval_sets(found)[:ACROSS], abstaining(found), target(found)
    figure = sheet(1.35 + 2 * ROW * len(rows), pad=GRID)
    panels = figure.subplots(2, len(names), squeeze=False, sharey=True, sharex="row")
    for column, name in enumerate(names):
        above, below = panels[0, column], panels[1, column]
        for axes in (above, below):
            quiet(axes, palette, grid="x")
            axes.set(xlim=(-0.02, 1.02), xticks=[0, 0.5, 1], ylim=(-0.6, len(rows) - 0.4))
            axes.set_yticks(range(len(rows)), [short(each) for each in reversed(rows)])
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        head(above, name, palette)
        above.axvline(risk, color=palette.ink, linewidth=0.9).set_gid("target")
        if bases := [each.base for each in found.abstaining.outcomes if each.eval_set == name]:
            above.axvline(bases[0], color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("base")
        for place, detector in enumerate(rows):
            y = len(rows) - 1 - place
            for guaranteed, shift in ((True, DODGE), (False, -DODGE)):
                done = outcome_of(found, name, detector, risk, guaranteed)
                if done is None:
                    continue
                if done.risk.value is None:
                    (silent,) = above.plot([0], [y + shift], "x", color=palette.soft, markersize=4)
                    silent.set_gid(f"silent:{detector}")
                    continue
                _mark(
                    above,
                    done.risk,
                    y + shift,
                    palette.data if guaranteed else palette.soft,
                    f"risk:{detector}",
                    guaranteed,
                )
            plain = outcome_of(found, name, detector, risk, False)
            if plain is not None:
                _mark(below, plain.stopped, y + DODGE, palette.signal, f"stopped:{detector}", True)
                _mark(below, plain.lost, y - DODGE, palette.data, f"lost:{detector}", True)
        above.set_xlabel("risk among answers given")
        below.set_xlabel("share held back")
    _key(figure, palette, risk)
    return figure


def _mark(axes: Axes, found: Estimate, y: float, colour: str, name: str, filled: bool) -> None:
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [y, y], color=colour, linewidth=1.3)
    if found.value is not None:
        face = {} if filled else {"markerfacecolor": "none"}
        (dot,) = axes.plot([found.value], [y], "o", color=colour, markersize=4.2, **face)  # type: ignore[arg-type]
        dot.set_gid(name)


def _key(figure: Figure, palette: Palette, risk: float) -> None:
    def dot(colour: str, label: str, filled: bool = True) -> Line2D:
        face = {} if filled else {"markerfacecolor": "none"}
        return Line2D([], [], color=colour, marker="o", markersize=4.2, linewidth=1.3, label=label, **face)  # type: ignore[arg-type]

    figure.legend(
        handles=[
            dot(palette.data, "risk, threshold with a bound"),
            dot(palette.soft, "risk, threshold as found on dev", False),
            Line2D([], [], color=palette.ink, linewidth=0.9, label=f"target, {percent(risk, 0)}"),
            Line2D(
                [], [], color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)),
                label="all answered, or held back at random",
            ),
            Line2D([], [], color=palette.soft, marker="x", markersize=4, linestyle="none", label="nothing is answered"),
            dot(palette.signal, "hallucinations held back (as found on dev)"),
            dot(palette.data, "right answers held back (as found on dev)"),
        ],
        loc="outside lower center", ncols=2, labelcolor=palette.soft,
    )  # fmt: skip
