"""What the page's tables on the comparison hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hneurons.layers.comparison.record import Balance, Compared, Comparison, Null
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.comparison.reading import NAMES, beats, differs, shown
from hneurons.report.numbers import decimal, difference, estimate, interval, p_value, signed, spread
from hneurons.report.views import Cell


@dataclass(frozen=True)
class SetLine:
    """One set: what is left after matching, and how alike the kinds are before and after."""

    name: str
    before: str
    pairs: str
    answer_tokens: str
    response_tokens: str
    kinds: str
    baseline_before: Cell
    baseline_after: Cell


@dataclass(frozen=True)
class LevelLine:
    """One read of one layer."""

    place: str
    kind: str
    effect: Cell
    chance: str
    q: str
    before: str
    spread: str
    spread_q: str
    auroc: Cell
    permuted: str
    over: str
    over_said: str


def comparison_sets(found: Comparison) -> list[SetLine]:
    """A line for every set that was compared."""
    lines = []
    for each in found.sets:
        after = {balance.name: balance for balance in each.matching.after}
        lines.append(
            SetLine(
                name=each.eval_set if each.faithful_from is None else f"{each.eval_set} ({each.faithful_from})",
                before=f"{each.every.n_faithful} + {each.every.n_hallucinated}",
                pairs=str(each.matching.n_pairs),
                answer_tokens=_shift(each.matching.before, after, "answer tokens"),
                response_tokens=_shift(each.matching.before, after, "response tokens"),
                kinds=_kinds(each),
                baseline_before=_cell(each.every.baseline),
                baseline_after=_cell(each.matched.baseline) if each.matched else Cell("–", "", each.reason),
            )
        )
    return lines


def comparison_levels(compared: Compared) -> list[LevelLine]:
    """A line for every read of every layer of a set."""
    before = {(each.read, each.layer): each for each in compared.every.levels}
    return [
        LevelLine(
            place=f"{NAMES[each.read]}, {each.layer}",
            kind="ours" if differs(each) and beats(each) else "",
            effect=_cell(each.effect),
            chance=_null(each.effect_against.null),
            q=p_value(each.effect_against.q),
            before=decimal(before[each.read, each.layer].effect.value),
            spread=f"{decimal(each.spread)} ({decimal(each.spread_against.null.mean)})",
            spread_q=p_value(each.spread_against.q),
            auroc=_cell(each.auroc),
            permuted=_null(each.permuted),
            over=difference(each.over_baseline),
            over_said=difference(each.over_said),
        )
        for each in shown(compared).levels
    ]


def _shift(before: tuple[Balance, ...], after: dict[str, Balance], name: str) -> str:
    own = next(each for each in before if each.name == name)
    return f"{signed(own.smd, 2)} → {signed(after[name].smd or 0.0, 2)}" if name in after else signed(own.smd, 2)


def _kinds(compared: Compared) -> str:
    sizes = [
        max((abs(each.smd or 0.0) for each in side if each.name.startswith("kind: ")), default=0.0)
        for side in (compared.matching.before, compared.matching.after)
    ]
    return f"{decimal(sizes[0], 2)} → {decimal(sizes[1], 2)}"


def _cell(figure: Estimate) -> Cell:
    return Cell(estimate(figure).split(" ")[0], interval(figure), figure.reason)


def _null(null: Null) -> str:
    return spread(null.low, null.high)


COMPARISON_VIEWS: dict[str, Callable[..., object]] = {
    "comparison_sets": comparison_sets,
    "comparison_levels": comparison_levels,
}
"""What the template calls."""
