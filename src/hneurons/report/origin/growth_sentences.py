"""What the checkpoints show, in plain sentences made from the numbers."""

from __future__ import annotations

from hneurons.origins.record import Checkpoint, Growth
from hneurons.probes.bootstrap import Estimate
from hneurons.report.numbers import count, counted, decimal, estimate, listed, percent, spread
from hneurons.report.origin.steps import OverSteps, accuracies, aurocs, distances, draws, growth_sets, main_set, ordered
from hneurons.report.origin.views import distance
from hneurons.study.evaluating import MATCHED, RANDOM, REFIT

CHANCE = 0.5


def growth_sentence(growth: Growth) -> str:
    """From when on the H-Neurons tell, what was known by then, and whether they settle early."""
    held = ordered(growth)
    if not held:
        return "There are no checkpoints."
    name = main_set(growth)
    parts = [_onset(growth, name) if name else "", _known(growth), _settled(growth)]
    told = " ".join(each for each in parts if each) or "Nothing could be measured."
    steps = f"steps {count(held[0].step)} to {count(held[-1].step)}" if len(held) > 1 else f"step {count(held[0].step)}"
    return f"{counted(len(held), 'checkpoint')}, {steps}. {told}"


def sets_sentence(growth: Growth) -> str:
    """The onset set by set."""
    return " ".join(_onset(growth, name) for name in growth_sets(growth))


def onset(growth: Growth, eval_set: str) -> Checkpoint | None:
    """The first checkpoint from which on the H-Neurons stay above 0.5 and above random and layer-matched neurons.

    Above 0.5 with their interval, above the neurons' draws with the refit; None where the last checkpoint is not.
    """
    found: Checkpoint | None = None
    for each, figure in reversed(_known_only(aurocs(growth, eval_set, REFIT))):
        if not above(growth, eval_set, each, figure):
            break
        found = each
    return found


def above(growth: Growth, eval_set: str, checkpoint: Checkpoint, figure: Estimate) -> bool:
    """Whether the refit lies above 0.5 with its interval, and above the draws of both kinds of random neurons."""
    held = [
        band.high
        for control in (RANDOM, MATCHED)
        for each, band in draws(growth, eval_set, control)
        if each.step == checkpoint.step and band.high is not None
    ]
    value, low = figure.value, figure.low
    return value is not None and low is not None and low > CHANCE and all(value > high for high in held)


def _onset(growth: Growth, eval_set: str) -> str:
    line = aurocs(growth, eval_set, REFIT)
    bare = [(each, figure) for each, figure in line if figure.value is None]
    known = _known_only(line)
    gap = ""
    if bare:
        at = listed([count(each.step) for each, _ in bare]) if len(bare) <= 3 else counted(len(bare), "checkpoint")
        gap = f" AUROC is not defined at {'step ' if len(bare) <= 3 else ''}{at}: {bare[0][1].reason}."
    if not known:
        return f"On {eval_set}, AUROC is nowhere defined: {bare[0][1].reason}." if bare else ""
    (last, end), start = known[-1], onset(growth, eval_set)
    if start is None:
        beside = _beside(growth, eval_set, last)
        return (
            f"On {eval_set}, the H-Neurons do NOT stand above chance and random neurons at step {count(last.step)} "
            f"(AUROC {estimate(end)}{beside}).{gap}"
        )
    if start.step == known[0][0].step:
        return (
            f"On {eval_set}, the H-Neurons stand above chance and random neurons at every step at which that is known "
            f"(AUROC {decimal(known[0][1].value)} to {decimal(end.value)} from step {count(start.step)} to "
            f"{count(last.step)}).{gap}"
        )
    return (
        f"On {eval_set}, the H-Neurons stand above chance and random neurons from step {count(start.step)} on (AUROC "
        f"{decimal(next(f.value for each, f in known if each.step == start.step))} there, {estimate(end)} at the end)."
        f"{gap}"
    )


def _known(growth: Growth) -> str:
    """Accuracy at the first and the last checkpoint, stratum by stratum."""
    told = []
    for name, line in accuracies(growth).items():
        known = _known_only(line)
        told.append(f"from {percent(known[0][1].value)} to {percent(known[-1][1].value)} ({name})")
    by = f" by {growth.by}" if growth.by else ""
    return f"Accuracy{by} goes {listed(told)}." if told else ""


def _settled(growth: Growth) -> str:
    """Where H-Neurons are nearer to their end, or farther from it, than random neurons of the same layers."""
    rows = [(each, drift) for each, drift in distances(growth) if drift.hneurons.value is not None]
    rows = [(each, drift) for each, drift in rows if drift.hneurons.value or (drift.random.high or 0) > 0]
    if not rows:
        return ""
    near: list[Checkpoint] = []
    far: list[Checkpoint] = []
    level: list[Checkpoint] = []
    for each, drift in rows:
        value, low, high = drift.hneurons.value, drift.matched.low, drift.matched.high
        if value is None or low is None or high is None:
            continue
        (near if value < low else far if value > high else level).append(each)
    parts = [
        f"{words} at {_steps(group, len(rows))}"
        for words, group in (
            ("nearer to the last checkpoint than random neurons of the same layers", near),
            ("FARTHER from it than those", far),
            ("NOT distinguishable from random neurons of the same layers by their distance to the last one", level),
        )
        if group
    ]
    if not parts:
        return ""
    each, drift = rows[0]
    beside = f"same layers {distance(drift.matched.low)} to {distance(drift.matched.high)}"
    return (
        f"The H-Neurons are {'; '.join(parts)} ({distance(drift.hneurons.value)} at step {count(each.step)}; {beside})."
    )


def _steps(group: list[Checkpoint], whole: int) -> str:
    if len(group) == whole:
        return "every step before it" if whole > 1 else f"step {count(group[0].step)}"
    if len(group) <= 3:
        return f"step {listed([count(each.step) for each in group])}"
    return f"{counted(len(group), 'step')} of {count(whole)}"


def _beside(growth: Growth, eval_set: str, checkpoint: Checkpoint) -> str:
    found = [band for each, band in draws(growth, eval_set, RANDOM) if each.step == checkpoint.step]
    return f"; random {spread(found[0].low, found[0].high)}" if found and found[0].low is not None else ""


def _known_only(line: OverSteps) -> OverSteps:
    return [(each, figure) for each, figure in line if figure.value is not None]
