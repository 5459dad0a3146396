"""What the page asks of runs side by side: their order by size, and whether a figure rises or falls with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from hneurons.probes.bootstrap import Estimate
from hneurons.report.numbers import NONE
from hneurons.study.side_by_side import AskedAlike, RunFound, SideBySide

Direction = Literal["rises", "falls", "stays", "neither"]


def size(parameters: int | None) -> str:
    """1.1M, 7.1M, 70.6B; a dash where nobody counted."""
    if parameters is None:
        return NONE
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if parameters >= 0.9995 * unit:
            found = parameters / unit
            return f"{found:.0f}{letter}" if found >= 99.95 else f"{found:.1f}{letter}"
    return str(parameters)


def by_size(runs: Iterable[RunFound]) -> list[RunFound]:
    """The smallest first; those of unknown size last, as they were given."""
    return sorted(runs, key=lambda run: (run.parameters is None, run.parameters or 0))


def sizes(runs: Iterable[RunFound]) -> list[int]:
    """The sizes that are known, each once, the smallest first."""
    return sorted({run.parameters for run in runs if run.parameters is not None})


def set_names(found: SideBySide) -> list[str]:
    """The evaluation sets of any run on which some AUROC is defined."""
    return [
        each.name
        for each in found.sets
        if any(each.name in run.sets and run.sets[each.name].probe.value is not None for run in found.runs)
    ]


def alike(asked: Iterable[AskedAlike], name: str) -> bool:
    """Whether all runs that were asked something of that name were asked the same."""
    return next(each.same for each in asked if each.name == name)


def swept(found: SideBySide) -> list[RunFound]:
    """The runs that were swept."""
    return [run for run in found.runs if run.turning is not None]


@dataclass(frozen=True)
class Sized:
    """A figure of one run, with the size of its model."""

    run: RunFound
    figure: Estimate


@dataclass(frozen=True)
class Trend:
    """How a figure goes with size, over pairs of models of different size.

    It "rises" or "falls" only where it does so in every pair, "stays" where all are equal. `apart` is whether the
    intervals of the smallest and of the largest models do not overlap; None where one of them has none.
    """

    direction: Direction
    rising: int
    falling: int
    pairs: int
    apart: bool | None


def trend(found: Sequence[Sized]) -> Trend | None:
    """The trend over what is defined and of known size; None with fewer than two sizes."""
    known = [
        (each.run.parameters, each.figure.value, each.figure)
        for each in found
        if each.run.parameters is not None and each.figure.value is not None
    ]
    known.sort(key=lambda each: each[0])
    pairs = [(a[1], b[1]) for a, b in combinations(known, 2) if a[0] < b[0]]
    if not pairs:
        return None
    rising, falling = (sum(way * (second - first) > 0 for first, second in pairs) for way in (1, -1))
    direction: Direction = "neither"
    if rising == len(pairs):
        direction = "rises"
    elif falling == len(pairs):
        direction = "falls"
    elif not rising and not falling:
        direction = "stays"
    smallest = [figure for parameters, _, figure in known if parameters == known[0][0]]
    largest = [figure for parameters, _, figure in known if parameters == known[-1][0]]
    return Trend(direction, rising, falling, len(pairs), _apart(smallest, largest))


def _apart(first: Sequence[Estimate], second: Sequence[Estimate]) -> bool | None:
    apart = True
    for a in first:
        for b in second:
            if a.low is None or a.high is None or b.low is None or b.high is None:
                return None
            apart = apart and (a.high < b.low or b.high < a.low)
    return apart
