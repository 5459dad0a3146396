"""What the report asks of a growth: figures over the checkpoints of a pre-training, in the order of their steps."""

from __future__ import annotations

from typing import TypeVar

from hneurons.origins.record import Checkpoint, DriftToLast, Growth
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.study.evaluating import H_NEURONS

T = TypeVar("T", Estimate, Band)

OverSteps = list[tuple[Checkpoint, Estimate]]
"""A figure at every checkpoint that has it."""


def ordered(growth: Growth) -> list[Checkpoint]:
    """The checkpoints, earliest first."""
    return sorted(growth.checkpoints, key=lambda each: each.step)


def growth_sets(growth: Growth) -> list[str]:
    """The evaluation sets on which anything was detected."""
    return list(dict.fromkeys(figure.eval_set for each in ordered(growth) for figure in each.figures))


def main_set(growth: Growth) -> str | None:
    """The set on which AUROC is defined at most checkpoints, the first of equals; None where there is no set."""
    names = growth_sets(growth)

    def known(name: str) -> int:
        return sum(found.value is not None for _, found in aurocs(growth, name))

    return max(names, key=known, default=None)


def aurocs(growth: Growth, eval_set: str, detector: str = H_NEURONS) -> OverSteps:
    """AUROC of one detector on one set over the checkpoints."""
    return [
        (each, figure.auroc)
        for each in ordered(growth)
        for figure in each.figures
        if (figure.eval_set, figure.detector) == (eval_set, detector)
    ]


def draws(growth: Growth, eval_set: str, control: str) -> list[tuple[Checkpoint, Band]]:
    """AUROC of a control's draws on one set over the checkpoints."""
    return [
        (each, found.auroc)
        for each in ordered(growth)
        for found in each.controls
        if (found.eval_set, found.control) == (eval_set, control)
    ]


def accuracies(growth: Growth) -> dict[str, OverSteps]:
    """Accuracy over the checkpoints by stratum, or by evaluation set where there are no strata."""
    found: dict[str, OverSteps] = {}
    stratified = any(each.strata for each in growth.checkpoints)
    for each in ordered(growth):
        strata = [(part.value, part.accuracy) for part in each.strata]
        sets = [(part.eval_set, part.accuracy) for part in each.asked]
        for name, accuracy in strata if stratified else sets:
            found.setdefault(name, []).append((each, accuracy))
    return {name: line for name, line in found.items() if any(figure.value is not None for _, figure in line)}


def distances(growth: Growth) -> list[tuple[Checkpoint, DriftToLast]]:
    """How far neurons are from the last checkpoint, where that is known."""
    return [(each, each.drift) for each in ordered(growth) if each.drift is not None]


def by_step(found: list[tuple[Checkpoint, T]]) -> dict[int, T]:
    """Figures by their step."""
    return {each.step: figure for each, figure in found}
