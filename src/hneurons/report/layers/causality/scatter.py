"""Attribution patching against patching: every patch a dot."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hneurons.layers.causality.record import AttributionFound, Causality
from hneurons.report.layers.causality.reading import SITE_NAMES
from hneurons.report.look import MONO, Palette, head, quiet, sheet
from hneurons.report.numbers import decimal, estimate

DOTS = 60
"""Dots of a panel, at most."""


def shown_sites(found: Causality) -> list[AttributionFound]:
    """What is drawn: every site, with another question as the corrupt run."""
    return [each for each in found.attribution if each.corruption == "question" and each.points]


def draw_scatter(found: Causality, palette: Palette) -> Figure:
    """A panel for each site, on scales of its own; on the line, the estimate is right."""
    sites = shown_sites(found)
    figure = sheet(2.35, pad=0.06)
    panels = figure.subplots(1, len(sites), squeeze=False)[0]
    for axes, own in zip(panels, sites, strict=True):
        axes.set_gid(f"scatter:{own.site}")
        _panel(axes, own, palette)
    panels[0].set_ylabel("estimated effect (nats)")
    return figure


def _panel(axes: Axes, own: AttributionFound, palette: Palette) -> None:
    quiet(axes, palette, left=True)
    points = own.points[:DOTS]
    exact, linear = [point[1] for point in points], [point[2] for point in points]
    (dots,) = axes.plot(exact, linear, "o", color=palette.data, markersize=2.2, alpha=0.5, markeredgewidth=0)
    dots.set_gid("dots")
    ends = min(*exact, *linear), max(*exact, *linear)
    axes.plot(ends, ends, color=palette.soft, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("by patching (nats)", fontsize=7.5)
    head(axes, f"{SITE_NAMES[own.site]}\n\n", palette)
    spearman, pearson = own.linear.spearman, own.linear.pearson
    for line, text in enumerate((f"ρ {decimal(spearman.value, 2)}  r {decimal(pearson.value, 2)}", f"{own.n} patches")):
        axes.annotate(
            text, (0, 1), xytext=(0, 14 - 10 * line), xycoords="axes fraction", textcoords="offset points",
            fontsize=7, family=MONO, color=palette.data if line == 0 else palette.soft,
        )  # fmt: skip


def scatter_sentence(found: Causality) -> str:
    """Spearman of every site."""
    parts = [f"{SITE_NAMES[own.site]} {estimate(own.linear.spearman)}" for own in shown_sites(found)]
    return (
        "One backward pass estimates the effect of every patch at once; the dashed line is where the estimate equals "
        f"the effect. Spearman's ρ with 95% intervals over pairs: {'; '.join(parts)}."
    )
