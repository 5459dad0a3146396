"""The tables of patching: lines of cells as they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hneurons.layers.causality.record import Causality
from hneurons.report.layers.causality.mediation_views import MEDIATION_VIEWS
from hneurons.report.layers.causality.reading import SITE_NAMES, cell, find_map
from hneurons.report.numbers import count, decimal
from hneurons.report.views import Cell, plain, share

MOST = 6
"""Heads that are listed."""


@dataclass(frozen=True)
class HeadLine:
    """One head: what it brings back of the gap, and what it adds to the probability of the clean answer."""

    name: str
    effect: Cell
    probability: Cell


@dataclass(frozen=True)
class AttributionLine:
    """One site under one corruption: how far estimates agree with patching, and where least."""

    site: str
    corruption: str
    patches: str
    spearman: Cell
    pearson: Cell
    averaged: Cell
    least: str


def head_lines(found: Causality) -> list[HeadLine]:
    """The heads that bring back most, first to last."""
    own = find_map(found, "question", "heads")
    if own is None:
        return []
    cells = [
        (cell(own.effect, layer, place), cell(own.probability, layer, place), f"L{layer} · head {head}")
        for layer in range(len(own.effect.value))
        for place, head in enumerate(own.columns)
    ]
    cells.sort(key=lambda each: -(each[0].value or 0.0))
    return [HeadLine(name, share(effect), share(probability)) for effect, probability, name in cells[:MOST]]


def attribution_lines(found: Causality) -> list[AttributionLine]:
    """Every site, with another question first and noise after it."""
    lines = []
    for own in found.attribution:
        known = [(value, layer) for layer, value in enumerate(own.by_layer) if value is not None]
        value, layer = min(known, default=(None, None))
        lines.append(
            AttributionLine(
                site=SITE_NAMES[own.site],
                corruption="another question" if own.corruption == "question" else "noise",
                patches=count(own.n),
                spearman=plain(own.linear.spearman),
                pearson=plain(own.linear.pearson),
                averaged=plain(own.averaged.spearman),
                least="" if layer is None else f"{decimal(value, 2)} (layer {layer})",
            )
        )
    return lines


CAUSALITY_VIEWS: dict[str, Callable[..., object]] = {
    "causality_heads": head_lines,
    "causality_attribution": attribution_lines,
    **MEDIATION_VIEWS,
}
