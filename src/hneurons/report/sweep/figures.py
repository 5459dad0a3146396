"""The figures of a sweep, each with a sentence that says what it shows."""

from __future__ import annotations

from functools import partial

from hneurons.compliance.record import Cost, Sweep
from hneurons.report.illustration import Illustration
from hneurons.report.sweep.compliance import draw_compliance
from hneurons.report.sweep.costs import draw_costs
from hneurons.report.sweep.health import draw_health
from hneurons.report.sweep.reading import equal_costs, gated
from hneurons.report.sweep.sentences import (
    compliance_sentence,
    costs_sentence,
    equal_cost_sentence,
    health_sentence,
    slopes_sentence,
)
from hneurons.report.sweep.slopes import draw_slopes
from hneurons.report.sweep.trade import draw_trade

TRADES: dict[str, Cost] = {"equal-cost-known": "known accuracy", "equal-cost-perplexity": "perplexity"}


def sweep_illustrations(sweep: Sweep) -> list[Illustration]:
    """`compliance`, `slopes`, `costs` and `health`; with a gate also `equal-cost-known` and `equal-cost-perplexity`."""
    found = [
        Illustration(
            "compliance",
            "Compliance over alpha",
            compliance_sentence(sweep),
            "A panel for every benchmark: the compliance rate over alpha with its interval, before the bands of the "
            "random and the layer-matched sets.",
            partial(draw_compliance, sweep),
        ),
        Illustration(
            "slopes",
            "Slopes beside their controls",
            slopes_sentence(sweep),
            "For every benchmark and their average: the slope of the H-Neurons as a dot with its interval, and a tick "
            "for every control.",
            partial(draw_slopes, sweep),
        ),
        Illustration(
            "costs",
            "What turning costs",
            costs_sentence(sweep),
            "Accuracy on known questions and perplexity over alpha, before the bands of the controls.",
            partial(draw_costs, sweep),
        ),
    ]
    for name, cost in TRADES.items() if gated(sweep) else ():
        if any(equal_costs(sweep, each.name, cost) for each in sweep.benchmarks):
            found.append(
                Illustration(
                    name,
                    f"Plain and gated at equal cost in {cost}",
                    equal_cost_sentence(sweep, cost),
                    f"A panel for every benchmark: the change in compliance over the cost in {cost}, a solid way for "
                    "plain and a dashed one for gated scaling, alphas beside the points.",
                    partial(draw_trade, sweep, cost),
                )
            )
    found.append(
        Illustration(
            "health",
            "Whether replies are still replies",
            health_sentence(sweep),
            "A row for every benchmark: the shares unparsed and cut off, length and repetition over alpha, before the "
            "bands of the controls.",
            partial(draw_health, sweep),
        )
    )
    return found
