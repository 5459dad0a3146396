"""Through the depths: how likely the given, the right and the competing answer are, by both lenses."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hneurons.layers.tracking.record import Followed, LensName, SetTracking, Tracking, Trajectory, Verdict
from hneurons.report.layers.tracking.depths import Style, below_heading, depth_axis, draw_curve
from hneurons.report.look import GRID, Palette, head, quiet, sheet

SETS = 4
"""Sets that are drawn side by side, at most; the others are in results.json."""
LENSES: tuple[LensName, ...] = ("logit", "tuned")
LINES: tuple[tuple[Verdict, Followed, str, str, Style], ...] = (
    ("faithful", "given", "the answer given, faithful", "data", "-"),
    ("hallucinated", "given", "the answer given, hallucinated", "signal", "-"),
    ("hallucinated", "correct", "the right answer instead", "ink", "--"),
    ("hallucinated", "competitor", "the likeliest third", "soft", ":"),
)


def trajectory(found: SetTracking, lens: LensName, verdict: Verdict, token: Followed) -> Trajectory | None:
    """One trajectory of a set, where it has one."""
    own = [each for each in found.trajectories if (each.lens, each.verdict, each.token) == (lens, verdict, token)]
    return own[0] if own else None


def counts(found: SetTracking) -> str:
    """How many answers of either kind; the faithful ones may be those of another set."""
    if found.faithful_from:
        return f"{found.n_hallucinated} hall., {found.n_faithful} faithful of {found.faithful_from}"
    return f"{found.n_faithful} faithful, {found.n_hallucinated} hallucinated"


def draw_trajectories(found: Tracking, palette: Palette) -> Figure:
    """A column for each set, a row for each lens; bands are 95% intervals."""
    sets = found.sets[:SETS]
    figure = sheet(4.3, pad=GRID)
    grid = figure.subplots(len(LENSES), len(sets), squeeze=False, sharey=True)
    for row, lens in enumerate(LENSES):
        for column, each in enumerate(sets):
            axes = grid[row, column]
            axes.set_gid(f"panel:{lens}:{each.name}")
            quiet(axes, palette, grid="y")
            for verdict, token, _, colour, style in LINES:
                line = trajectory(each, lens, verdict, token)
                if line is not None:
                    name = f"{verdict}:{token}"
                    draw_curve(axes, line.probability, name, getattr(palette, colour), linestyle=style)
            axes.set_ylim(0, 1)
            depth_axis(axes, found.n_layers + 1, palette, label=row == len(LENSES) - 1)
            if row == 0:
                head(axes, f"{each.name}\n", palette)
                below_heading(axes, counts(each), palette)
            if column == 0:
                axes.set_ylabel(f"{lens} lens:\nmean probability")
    keys = [
        Line2D([], [], color=getattr(palette, colour), linestyle=style, linewidth=1.6, label=label)
        for _, _, label, colour, style in LINES
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=4, labelcolor=palette.ink)
    return figure
