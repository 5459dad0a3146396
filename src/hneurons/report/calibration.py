"""Whether the probabilities mean what they say, and how the two kinds of answers spread over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from hneurons.probes.metrics import ECE_BINS
from hneurons.probes.stability import wilson
from hneurons.report.look import Palette, head, quiet, sheet
from hneurons.report.reading import CUT, Scores, scores
from hneurons.study.results import Results

BINS = 20


@dataclass(frozen=True)
class Bin:
    """Answers of similar probability: how many, their mean probability, and how many are hallucinated."""

    n: int
    mean: float
    hallucinated: int

    @property
    def share(self) -> float:
        return self.hallucinated / self.n


def bins(found: Scores) -> list[Bin]:
    """The bins of the calibration error that hold an answer: ten of equal width."""
    place = np.minimum((found.p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    return [
        Bin(int(inside.sum()), float(found.p[inside].mean()), int(found.hallucinated[inside].sum()))
        for inside in (place == k for k in range(ECE_BINS))
        if inside.any()
    ]


def draw_calibration(results: Results, eval_set: str, palette: Palette) -> Figure:
    """Share hallucinated over probability with Wilson intervals; beside it, where either kind of answer lies."""
    found = scores(results, eval_set)
    figure = sheet(3.1)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.55))

    quiet(left, palette, grid="y", left=True)
    left.plot([0, 1], [0, 1], color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)))
    for each in bins(found):
        (line,) = left.plot([each.mean] * 2, wilson(each.hallucinated, each.n), color=palette.data, linewidth=1.4)
        line.set_gid("interval")
        (dot,) = left.plot(
            [each.mean], [each.share], "o", color=palette.data, markersize=5, markeredgecolor=palette.panel
        )
        dot.set_gid("bin")
    left.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability the probe gives", ylabel="share hallucinated")
    head(left, "does 70% mean 70%?", palette)

    quiet(right, palette)
    edges = np.linspace(0, 1, BINS + 1)
    width = edges[1] - edges[0]
    for flag, colour, sign, name in ((True, palette.signal, 1, "hallucinated"), (False, palette.soft, -1, "right")):
        counts, _ = np.histogram(found.p[found.hallucinated == flag], edges)
        bars = right.bar(edges[:-1] + width / 2, sign * counts, width * 0.86, color=colour, linewidth=0)
        for k, bar in enumerate(bars.patches):
            bar.set_gid(f"{name}:{k}")
        right.text(
            0.01, 0.97 if flag else 0.03, f"{name} ({(found.hallucinated == flag).sum():,})", color=colour,
            transform=right.transAxes, va="top" if flag else "bottom",
        )  # fmt: skip
    right.axhline(0, color=palette.ink, linewidth=0.8)
    right.axvline(CUT, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)))
    most = max(abs(value) for value in right.get_ylim())
    right.set(xlim=(0, 1), ylim=(-1.25 * most, 1.25 * most), xlabel="probability the probe gives")
    right.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    right.set_ylabel("answers")
    head(right, "hallucinated answers above, right ones below", palette)
    return figure
