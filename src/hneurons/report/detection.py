"""Detection against what is simpler, what is denser, and what chance gives."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hneurons.report.forest import Dot, Row, Spread, forest
from hneurons.report.look import Palette, head, quiet, sheet
from hneurons.report.numbers import decimal, estimate, percent, percent_estimate, percent_spread, spread
from hneurons.report.reading import controls, detection, detections, eval_sets, figure_of, ranked
from hneurons.study.evaluating import H_NEURONS, RANDOM, REFIT
from hneurons.study.results import Results

OURS = (H_NEURONS, REFIT)


def rows(results: Results, eval_set: str, order: Sequence[str] | None = None) -> list[Row]:
    """Detectors best first (or in `order`), then the controls; AUROC, or the share flagged where it is undefined."""
    by_auroc = ranked(results, eval_set)
    names = order or [row.detector for row in detections(results, eval_set)]
    found: list[Row] = []
    for name in names:
        row = detection(results, eval_set, name)
        figure = figure_of(row)
        text = estimate(figure) if by_auroc else percent_estimate(figure)
        found.append(Dot(name, figure.value, figure.low, figure.high, text, emphasis=name in OURS))
    for name, control in controls(results, eval_set).items():
        band = control.auroc if by_auroc else control.flagged
        text = spread(band.low, band.high) if by_auroc else percent_spread(band.low, band.high)
        if band.mean is None:
            text = band.reason
        found.append(Spread(f"{name} ({control.draws})", band.values, band.mean, band.low, band.high, text))
    return found


def draw_detection(results: Results, eval_set: str, palette: Palette) -> Figure:
    """Every detector and control on one set, with its numbers."""
    lines = rows(results, eval_set)
    figure = sheet(0.62 + 0.255 * len(lines))
    axes = figure.add_subplot()
    _panel(axes, results, eval_set, lines, palette)
    forest(axes, lines, palette)
    axes.set_xlabel(_axis(results, eval_set))
    return figure


def draw_overview(results: Results, palette: Palette) -> Figure:
    """All sets side by side, the detectors in one order: by AUROC on the first set that has one."""
    names = eval_sets(results)
    first = next((name for name in names if ranked(results, name)), names[0])
    order = [row.detector for row in detections(results, first)]
    lines = {name: rows(results, name, order) for name in names}
    # A control of which no draw was possible on one set is still a row there, so the panels stay aligned.
    figure = sheet(1.1 + 0.25 * len(lines[first]))
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    left = min((_start(lines[name]) for name in names if ranked(results, name)), default=0.45)
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        _panel(axes, results, name, lines[name], palette)
        if ranked(results, name):
            axes.set_xlim(left, 1.0)  # one scale for all
        axes.locator_params(axis="x", nbins=4)
        forest(axes, lines[name], palette, labels=place == 0, texts=False)
        head(axes, f"{name}\n", palette)  # the figure stands on a line of its own, below a name of any length
        ours = figure_of(detection(results, name)).value
        written = decimal(ours) if ranked(results, name) else percent(ours)
        axes.set_title(written, loc="right", fontsize=9, color=palette.data)
        axes.set_xlabel(_axis(results, name))
    return figure


def _axis(results: Results, eval_set: str) -> str:
    return "AUROC" if ranked(results, eval_set) else "share flagged"


def _panel(axes: Axes, results: Results, eval_set: str, lines: Sequence[Row], palette: Palette) -> None:
    """The axes behind the rows: the range of random neurons from top to bottom, and chance."""
    quiet(axes, palette, grid="x")
    by_auroc = ranked(results, eval_set)
    chance = controls(results, eval_set).get(RANDOM)
    band = None if chance is None else chance.auroc if by_auroc else chance.flagged
    if band is not None and band.low is not None and band.high is not None:
        axes.axvspan(band.low, band.high, color=palette.line, alpha=0.5, linewidth=0).set_gid("random band")
    if by_auroc:
        axes.axvline(0.5, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3))).set_gid("chance")
        axes.set_xlim(_start(lines), 1.0)
    else:
        axes.set_xlim(-0.02, 1.02)
    axes.locator_params(axis="x", nbins=6)


def _start(lines: Sequence[Row]) -> float:
    """Where an axis of AUROC begins, so that nothing is cut off and chance is always in sight."""
    drawn = [value for row in lines for value in ((row.value,) if isinstance(row, Dot) else row.values)]
    lows = [value - 0.02 for value in (*drawn, *(row.low for row in lines)) if value is not None]
    return max(0.0, min([0.45, *lows]))
