"""Gated against plain scaling that costs no more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hneurons.compliance.costs import cost_of
from hneurons.compliance.outcomes import Measured
from hneurons.compliance.record import Cost, CostCurve, CostPoint, EqualCost
from hneurons.compliance.statistics import Rates
from hneurons.probes.bootstrap import Bootstrap, Estimate

COSTS: tuple[Cost, ...] = ("known accuracy", "perplexity")

DEARER = "plain scaling costs more everywhere on this side of alpha 1"
NOTHING_PAID = "nothing measurable is paid on this side of alpha 1, so there is no price to equalise"
"""Why there is no comparison."""


def same_budget(
    alphas: Sequence[float], costs: Sequence[float], alpha: float, budget: float
) -> tuple[int, int, float] | None:
    """The farthest place from alpha 1, on the side on which `alpha` lies, whose cost is within `budget`.

    Farthest, not nearest: a curve that costs nothing anywhere is to be read at its end, not where nothing is turned.

    Returns:
        The numbers i, j of the alphas on either side of the place and the share t of the way from i to j, so that a
        figure there is (1 - t) * figure[i] + t * figure[j]; None where every place on that side costs more.
    """
    one = list(alphas).index(1.0)
    outward = range(one, len(alphas)) if alpha > 1 else range(one, -1, -1)
    if costs[outward[-1]] <= budget:
        return outward[-1], outward[-1], 0.0
    for i, j in reversed(list(pairwise(outward))):
        if costs[i] <= budget:  # and at j, farther from 1, it is more
            return i, j, (budget - costs[i]) / (costs[j] - costs[i])
    return None


def equal_costs(
    bootstrap: Bootstrap, gated: Measured, plain: Measured, gated_cost: CostCurve, plain_cost: CostCurve
) -> list[EqualCost]:
    """One benchmark: at every alpha of the gate, plain scaling as far as the same cost goes, in either currency.

    Args:
        bootstrap: of the benchmark's groups; both curves were resampled by it.
        gated, plain: the curves with their replicates.
        gated_cost, plain_cost: what they cost.
    """
    alphas = [point.alpha for point in plain.curve.points]
    one = alphas.index(1.0)
    found = []
    for cost in COSTS:
        prices = [_price(point, cost) for point in plain_cost.points]
        measurable = [_measurable(point, cost) for point in plain_cost.points]
        for k, (alpha, point) in enumerate(zip(alphas, gated_cost.points, strict=True)):
            price = _price(point, cost)
            known = [each for each in prices if each is not None]
            if k == one or price is None or len(known) < len(prices):
                continue
            paid = _measurable(point, cost) or any(measurable[one:] if k > one else measurable[:one])
            place = same_budget(alphas, known, alpha, price) if paid else None
            if place is None:
                reason = DEARER if paid else NOTHING_PAID
                nothing = Estimate(value=None, low=None, high=None, reason=reason)
                row = EqualCost(
                    benchmark=plain.curve.benchmark, cost=cost, alpha=alpha, plain_alpha=None, gated=None, plain=None,
                    difference=nothing,
                )  # fmt: skip
                found.append(row)
                continue
            i, j, t = place
            ours = _change(gated.rates, k, k, 0.0, one)
            theirs = _change(plain.rates, i, j, t, one)
            found.append(
                EqualCost(
                    benchmark=plain.curve.benchmark,
                    cost=cost,
                    alpha=alpha,
                    plain_alpha=float((1 - t) * alphas[i] + t * alphas[j]),
                    gated=_number(ours),
                    plain=_number(theirs),
                    difference=bootstrap.interval(
                        float(ours.value[0] - theirs.value[0]),
                        ours.replicates[:, 0] - theirs.replicates[:, 0],
                        "no case counts at one of the alphas",
                    ),
                )
            )
    return found


def _price(point: CostPoint, cost: Cost) -> float | None:
    """The cost as it is interpolated, 0 at alpha 1: of a multiple of perplexity the logarithm."""
    paid = cost_of(point, cost)
    return float(np.log(paid)) if paid is not None and cost == "perplexity" else paid


def _measurable(point: CostPoint, cost: Cost) -> bool:
    """Whether the interval of what an alpha costs, or spares, excludes that nothing changes."""
    change, nothing = (point.known_difference, 0.0) if cost == "known accuracy" else (point.perplexity_ratio, 1.0)
    return change.low is not None and change.high is not None and not change.low <= nothing <= change.high


def _change(rates: Rates, i: int, j: int, t: float, one: int) -> Rates:
    """The change from alpha 1 at a place between two alphas."""
    value, replicates = rates.value, rates.replicates
    return Rates(
        ((1 - t) * value[i] + t * value[j] - value[one])[None],
        ((1 - t) * replicates[:, i] + t * replicates[:, j] - replicates[:, one])[:, None],
    )


def _number(rates: Rates) -> float | None:
    value = float(rates.value[0])
    return None if value != value else value
