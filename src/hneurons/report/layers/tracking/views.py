"""What the tables of this part show, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

from hneurons.layers.tracking.record import LayerStatistic, Tracking
from hneurons.probes.bootstrap import Estimate
from hneurons.report.numbers import decimal, interval, p_value, signed
from hneurons.report.views import Cell

STATISTICS = 12
"""Statistics that are listed, of all sets together."""
DEPTHS = 13
"""Depths that are listed, at most, evenly spaced."""


@dataclass(frozen=True)
class DepthLine:
    """Both lenses at one depth."""

    depth: int
    logit: Cell
    tuned: Cell
    gain: Cell


@dataclass(frozen=True)
class StatisticLine:
    """One statistic of one layer, of the answers of one set."""

    name: str
    statistic: str
    layer: int
    faithful: Cell
    hallucinated: Cell
    gap: Cell
    q: str


def depth_lines(found: Tracking) -> list[DepthLine]:
    """How far both lenses are from the model's own distribution; the last depth is that of the model itself."""
    step = max(1, -(-found.n_layers // (DEPTHS - 1)))
    return [
        DepthLine(d, _cell(found.fit.logit[d]), _cell(found.fit.tuned[d]), _cell(found.fit.gain[d], sign=True))
        for d in range(0, found.n_layers, step)
    ]


def statistic_lines(found: Tracking) -> list[StatisticLine]:
    """The statistics that differ most within matched pairs, by the size of the gap among those of the smallest q."""
    tested = [(each.name, own) for each in found.sets for own in each.statistics if own.q is not None]
    tested.sort(key=lambda each: (_q(each[1]) >= 0.05, -abs(each[1].gap.value or 0.0)))
    return [
        StatisticLine(
            name=name,
            statistic=own.statistic,
            layer=own.layer,
            faithful=_cell(own.faithful),
            hallucinated=_cell(own.hallucinated),
            gap=_cell(own.gap, sign=True),
            q=p_value(own.q),
        )
        for name, own in tested[:STATISTICS]
    ]


def _q(found: LayerStatistic) -> float:
    return 1.0 if found.q is None else found.q


def _cell(figure: Estimate, *, sign: bool = False) -> Cell:
    return Cell(signed(figure.value) if sign else decimal(figure.value), interval(figure), figure.reason)
