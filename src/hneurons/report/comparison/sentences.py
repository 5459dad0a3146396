"""What a comparison shows, in plain sentences made from the numbers; also that a few models are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hneurons.probes.bootstrap import Estimate
from hneurons.report.comparison.reading import (
    Sized,
    Trend,
    alike,
    by_size,
    set_names,
    size,
    sizes,
    swept,
    trend,
)
from hneurons.report.numbers import count, counted, decimal, listed, points
from hneurons.study.side_by_side import AskedAlike, SideBySide

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TOLD = 6
"""Runs whose figures are told one by one; of more, the ends are."""
MANY = 10
"""From so many models of known size on, they are not called few."""
PAPER = "small models are steeper"
EVEN = 0.5
"""Mean relative depth of an even spread."""


def summary(found: SideBySide) -> str:
    """Of what runs this is, and what is compared."""
    known = sizes(found.runs)
    between = ""
    if len(known) > 1:
        between = f", from {size(known[0])} to {size(known[-1])} parameters"
    elif known and all(run.parameters == known[0] for run in found.runs):
        between = f", all of {size(known[0])} parameters"
    unknown = sum(run.parameters is None for run in found.runs)
    missing = f" Of {counted(unknown, 'run')}, the number of parameters is not known." if unknown else ""
    models = len({(run.model.name, run.model.weights_digest) for run in found.runs})
    of = "of one model" if models == 1 else f"of {in_words(models)} models"
    return f"{in_words(len(found.runs)).capitalize()} finished runs {of}{between}.{missing} {few(found)}".rstrip()


def few(found: SideBySide) -> str:
    """How little so many models say about size; empty where sizes do not differ."""
    known = [run for run in found.runs if run.parameters is not None]
    if len(sizes(known)) < 2:
        return ""
    said = []
    if len(known) < MANY:
        n = in_words(len(known))
        said.append(f"{n.capitalize()} models are few: this shows how they differ, and only hints at what size does.")
    if len({run.model.model_type for run in known}) > 1:
        said.append("They differ in more than size.")
    return " ".join(said)


def cautions(found: SideBySide) -> list[str]:
    """What does not compare like with like: questions, benchmarks, settings."""
    said = []
    if not found.training.same:
        said.append(f"The runs were not fitted on the same training questions: {groups(found.training)}.")
    for kind, asked in (("evaluation set", found.sets), ("benchmark", found.benchmarks)):
        said += [
            f"The {kind} {each.title} does not hold the same questions everywhere: {groups(each)}."
            for each in asked
            if not each.same
        ]
    if found.averages_alike is False:
        said.append("The average slopes are over other benchmarks, cases or alphas, or judged otherwise.")
    if found.settings:
        names = listed([each.setting for each in found.settings])
        said.append(f"The runs differ in {names}, so that figures may differ for that reason alone.")
    return said


def groups(asked: AskedAlike) -> str:
    """A and B were asked the same; C something else."""
    first, *others = (listed(list(group)) for group in sorted(asked.groups, key=len, reverse=True))
    return f"{first} on the one hand, {listed(others)} on the other" if others else first


def ratio_sentence(found: SideBySide) -> str:
    """How many H-Neurons there are, by size, and how far that can be relied on."""
    bare = [Sized(run, Estimate(value=run.per_mille, low=None, high=None)) for run in by_size(found.runs)]
    said = f"The share of H-Neurons is {told(bare, lambda value: f'{decimal(value, 2)}‰')}"
    way = trend(bare)
    said += f": it {_way(way)}." if way else "."
    overlaps = [run.jaccard for run in found.runs if run.jaccard is not None]
    said += " It is a count at the one C that was chosen, so it has no interval"
    if overlaps:
        low, high = decimal(min(overlaps), 2), decimal(max(overlaps), 2)
        said += f"; selections from two halves of the questions overlap by {low if low == high else f'{low} to {high}'}"
    return f"{said}."


def auroc_sentence(found: SideBySide) -> str:
    """The probe's AUROC by size, set by set."""
    said = [set_sentence(found, name) for name in set_names(found)]
    return " ".join(said) or "No evaluation set holds both kinds of answers, so there is no AUROC to compare."


def set_sentence(found: SideBySide, name: str) -> str:
    """The probe's AUROC by size on one set, and in how many runs the H-Neurons beat random ones."""
    here = [run for run in by_size(found.runs) if name in run.sets]
    shown = [Sized(run, run.sets[name].probe) for run in here if run.sets[name].probe.value is not None]
    said = f"On {name}, the probe's AUROC is {told(shown, decimal)}"
    if not alike(found.sets, name):
        said += "; the questions are not the same, so these do not compare"
    elif (way := trend(shown)) is not None:
        said += f": it {_way(way)}{_overlap(way)}"
    verdicts = [verdict for run in here if (verdict := run.sets[name].beats_random) is not None]
    if not verdicts:
        return f"{said}."
    beaten, runs = sum(verdicts), counted(len(verdicts), "run")
    if beaten == len(verdicts):
        beats = f"beat random ones in {'both runs' if beaten == 2 else runs if beaten == 1 else f'all {runs}'}"
    elif beaten:
        beats = f"beat random ones in {count(beaten)} of {runs} only"
    else:
        beats = f"do NOT beat random ones in any of {runs}"
    return f"{said}. Refitted, the H-Neurons {beats}."


def slope_sentence(found: SideBySide) -> str:
    """The average slope of compliance by size, beside the paper's claim that small models are steeper."""
    runs = by_size(swept(found))
    shown = [Sized(run, run.turning.average) for run in runs if run.turning and run.turning.average.value is not None]
    missing = len(found.runs) - len(runs)
    left = f" {counted(missing, 'run')} {'was' if missing == 1 else 'were'} not swept." if missing else ""
    if not shown:
        return f"No average slope is defined.{left}"
    said = f"The average slope, in points of compliance per unit of alpha, is {told(shown, points)}"
    way = trend(shown)
    if len(shown) > 1 and found.averages_alike is False:
        said += "; these are not averages over the same, so they do not compare"
    elif way is not None:
        said += f": it {_way(way)}{_paper(way, shown)}{_overlap(way)}"
    return f"{said}. {_beyond(shown)}{left}".rstrip()


def _paper(way: Trend, shown: Sequence[Sized]) -> str:
    """How a trend of slopes stands to the paper's claim, which is about slopes that rise."""
    known = [each for each in shown if each.run.parameters is not None]
    if way.direction == "falls":
        if (known[0].figure.value or 0.0) > 0:
            return f", as in the paper ({PAPER})"
        return f", but in the smallest it is not positive, which is not the paper's finding ({PAPER})"
    if way.direction == "rises":
        return f", against the paper ({PAPER})"
    return f", while in the paper {PAPER}"


def _beyond(shown: Sequence[Sized]) -> str:
    """How many averages lie beyond all those of their controls, up or down."""
    held = []
    for each in shown:
        turning = each.run.turning
        controls = (*turning.average_random, *turning.average_layer_matched) if turning else ()
        if controls:
            held.append(abs(each.figure.value or 0.0) > max(map(abs, controls)))
    if not held:
        return ""
    than = "steeper, up or down, than every control's"
    if all(held):
        return f"{'All' if len(held) > 2 else 'Both'} averages are {than}." if len(held) > 1 else f"It is {than}."
    if not any(held):
        return f"NO average is {than}." if len(held) > 1 else f"It is NOT {than}."
    return f"Of {counted(len(held), 'average')}, {count(sum(held))} {'is' if sum(held) == 1 else 'are'} {than}."


def depth_sentence(found: SideBySide) -> str:
    """Where the H-Neurons sit over relative depth."""
    shown = [Sized(run, run.mean_depth) for run in by_size(found.runs) if run.mean_depth.value is not None]
    if not shown:
        return "There are no H-Neurons whose depth could be compared."
    said = f"The mean relative depth of the H-Neurons, 0 the input and 1 the output, is {told(shown, _two)}"
    way = trend(shown)
    said += f": it {_way(way)}{_overlap(way)}." if way else "."
    later = sum(each.figure.low is not None and each.figure.low > EVEN for each in shown)
    early = sum(each.figure.high is not None and each.figure.high < EVEN for each in shown)
    parts = [f"{words} in {count(n)}" for words, n in (("clearly later", later), ("clearly earlier", early)) if n]
    rest = len(shown) - later - early
    if rest:
        parts.append(f"not clearly either in {count(rest)}")
    return f"{said} An even spread gives 0.50; of {counted(len(shown), 'run')}, the mean is {listed(parts)}."


def _two(value: float | None) -> str:
    return decimal(value, 2)


def told(shown: Sequence[Sized], write: Callable[[float | None], str]) -> str:
    """0.71 at 1.1M, 0.74 at 3.5M and 0.78 at 7.1M parameters; of many runs, the lowest and the highest."""
    if len(shown) > TOLD:
        ordered = sorted(shown, key=lambda each: each.figure.value or 0.0)
        low, high = ordered[0], ordered[-1]
        return f"between {write(low.figure.value)} ({low.run.label}) and {write(high.figure.value)} ({high.run.label})"
    written = [size(each.run.parameters) for each in shown]
    if len(set(written)) == len(written) > 1 and all(each.run.parameters is not None for each in shown):
        pairs = zip(shown, written, strict=True)
        return f"{listed([f'{write(each.figure.value)} at {at}' for each, at in pairs])} parameters"
    return listed([f"{write(each.figure.value)} in {each.run.label}" for each in shown])


def _way(way: Trend) -> str:
    if way.direction in ("rises", "falls"):
        return f"{way.direction} with size"
    if way.direction == "stays":
        return "does not change with size"
    return (
        f"neither rises nor falls with size throughout (the larger of two has the lower in {count(way.falling)} of "
        f"{counted(way.pairs, 'pair')})"
    )


def _overlap(way: Trend) -> str:
    """Whether the smallest and the largest differ by more than their intervals."""
    if way.apart is None:
        return ""
    if way.apart:
        return "; the intervals of the smallest and the largest do not overlap"
    joined = ", but" if way.direction in ("rises", "falls") else ";"
    return f"{joined} the intervals of the smallest and the largest overlap"


def in_words(n: int) -> str:
    """three, or 12."""
    return WORDS[n] if n < len(WORDS) else count(n)
