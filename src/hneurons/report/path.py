"""The path: what each C selects, how well that tells, and what silencing it costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hneurons.report.look import Palette, quiet, sheet
from hneurons.report.numbers import regular
from hneurons.study.results import Results


def draw_path(results: Results, palette: Palette) -> Figure:
    """Accuracies above, number of H-Neurons below, over C; what could not be chosen is hollow and shaded."""
    fit = results.fit
    Cs = [point.C for point in fit.curve]
    figure = sheet(4.1)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
    for axes in (above, below):
        quiet(axes, palette, grid="y")
        axes.set_xscale("log")
        _shade(axes, results, palette)
        axes.axvline(Cs[fit.chosen], color=palette.data, linewidth=1, alpha=0.55).set_gid("chosen")

    heldout = [point.heldout_accuracy for point in fit.curve]
    _line(above, results, heldout, "held-out answers on the right side", palette.data, "o", palette)
    known = [point.known_accuracy for point in fit.curve]
    if any(value is not None for value in known):
        _line(above, results, known, "known questions still right at alpha 0", palette.ink, "s", palette)
        intact = above.axhline(fit.known_intact, color=palette.soft, linewidth=0.9, linestyle=(0, (3, 3)))
        intact.set_gid("intact")
        intact.set_label("with nothing turned off")
    above.set_ylabel("share right")
    above.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderpad=0, handlelength=1.6, labelcolor=palette.ink
    )
    above.annotate(
        f"chosen\nC = {regular(Cs[fit.chosen])}",
        (Cs[fit.chosen], 0.04),
        xycoords=above.get_xaxis_transform(),
        xytext=(5, 0),
        textcoords="offset points",
        color=palette.data,
        fontsize=8,
    )

    sizes = [float(point.n_hneurons) for point in fit.curve]
    _line(below, results, sizes, "", palette.data, "o", palette)
    cap = fit.max_ratio * results.probe.n_neurons
    below.axhline(cap, color=palette.soft, linewidth=0.9, linestyle=(0, (3, 3))).set_gid("cap")
    below.annotate(
        f"cap: {fit.max_ratio:.2%} of all neurons",
        (0, cap),
        xycoords=below.get_yaxis_transform(),
        xytext=(3, 3),
        textcoords="offset points",
        color=palette.soft,
        fontsize=8,
    )
    below.set_yscale("symlog", linthresh=1, linscale=0.4)
    below.set_ylim(-0.3, 2.2 * max(*sizes, cap))
    ticks = [0, *(10**k for k in range(6) if 10**k <= max(*sizes, cap))]
    below.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    below.minorticks_off()
    below.set_ylabel("H-Neurons")
    below.set_xlabel("C (larger selects more)")
    return figure


def _line(
    axes: Axes, results: Results, values: Sequence[float | None], label: str, colour: str, marker: str, palette: Palette
) -> None:
    """A line through what there is; points that could not be chosen are hollow."""
    Cs = [point.C for point in results.fit.curve]
    series = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    (line,) = axes.plot(Cs, series, color=colour, linewidth=1.4, label=label or None)
    line.set_gid(f"line:{label}")
    out = np.array([bool(point.excluded) for point in results.fit.curve])
    for kind, chosen, fill in (("eligible", ~out, colour), ("excluded", out, palette.panel)):
        (points,) = axes.plot(
            np.array(Cs)[chosen], series[chosen], marker, color=colour, markerfacecolor=fill, markersize=4.5
        )
        points.set_gid(f"{kind}:{label}")


def _shade(axes: Axes, results: Results, palette: Palette) -> None:
    """Grey behind every C that could not be chosen, up to halfway to its neighbours."""
    logs = np.log10([point.C for point in results.fit.curve])
    halves = [(a + b) / 2 for a, b in pairwise(logs)]
    margin = (logs[-1] - logs[0]) / 40 if len(logs) > 1 else 0.1
    edges = [logs[0] - margin, *halves, logs[-1] + margin]
    for k, point in enumerate(results.fit.curve):
        if point.excluded:
            axes.axvspan(10 ** edges[k], 10 ** edges[k + 1], color=palette.line, alpha=0.45, linewidth=0).set_gid(
                f"excluded:{k}"
            )
    axes.set_xlim(10 ** edges[0], 10 ** edges[-1])
