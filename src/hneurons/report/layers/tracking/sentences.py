"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.tracking.record import DecisionGap, Drift, LensFit, SetTracking, Tracking
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.tracking.decisions import decisions, later
from hneurons.report.layers.tracking.drifts import distance
from hneurons.report.numbers import (
    counted,
    decimal,
    difference,
    estimate,
    listed,
    p_value,
    percent,
    percent_estimate,
    points_estimate,
)

LENS = "tuned"
"""The lens that words are about; the figures show both."""
ALPHA = 0.05


def headlines(found: Tracking) -> list[str]:
    """What matters most, for whoever reads no further."""
    said = [decision_summary(found)] if found.sets else []
    return [*said, *([drift_summary(found)] if found.drifts else [])]


def sentences(found: Tracking) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    said = [lens_sentence(found.fit)]
    said += [decision_sentence(each, found.n_layers) for each in found.sets]
    said += overtaken_sentences(found)
    said += statistics_sentences(found)
    said += [drift_sentence(each) for each in found.drifts]
    if found.drifts:
        said.append(drift_summary(found))
    if found.missing:
        said.append("Left out: " + "; ".join(f"{name}, since {reason}" for name, reason in found.missing.items()) + ".")
    return said


def lens_sentence(fit: LensFit) -> str:
    """How far both lenses are from the model in its middle, on answers that neither was fitted on."""
    middle = (len(fit.tuned) - 1) // 2
    return (
        f"After {middle} of {len(fit.tuned) - 1} layers the logit lens is {estimate(fit.logit[middle])} nats from the "
        f"model's own distribution and the tuned lens, fitted on {counted(fit.n_tokens, 'token')} of training answers, "
        f"{estimate(fit.tuned[middle])} (a gain of {estimate(fit.gain[middle])}), over "
        f"{counted(fit.n_held_out_tokens, 'token')} of evaluation answers."
    )


def gap_of(found: SetTracking) -> DecisionGap | None:
    """The gap that words are about: of the tuned lens, lead over all tokens."""
    return next((each for each in found.gaps if (each.lens, each.rule) == (LENS, "all")), None)


def decision_sentence(found: SetTracking, n_layers: int) -> str:
    """When answers are decided, how much later hallucinated ones are, and how many are never."""
    own = decisions(found, "tuned")
    parts = [
        f"{verdict} ones after {decimal(each.mean.value, 1)} of {n_layers} layers on average"
        for verdict, each in own.items()
        if each.mean.value is not None
    ]
    begun = f"On {found.name}, through the tuned lens, answers lead for good"
    told = f"{begun} ({', '.join(parts)})" if parts else f"On {found.name} no answer given leads at the end"
    gap = gap_of(found)
    if gap is None:
        return f"{told}; {found.reason}."
    matched = (
        f"against faithful ones of the same kind of question and length of prompt ({counted(gap.n_pairs, 'pair')}) "
        f"hallucinated answers are decided {later(gap.matched)} layers later (p {p_value(gap.p)})"
        if gap.matched.value is not None
        else f"they are not compared: {gap.matched.reason}"
    )
    never = [f"{percent_estimate(each.never)} of {verdict}" for verdict, each in own.items()]
    return f"{told}; {matched}. Never leading at the end, but sampled: {listed(never)} answers."


def decision_summary(found: Tracking) -> str:
    """On which sets hallucinated answers are decided later than faithful ones that match them, or earlier."""
    gaps = [(each.name, gap) for each in found.sets if (gap := gap_of(each)) is not None]
    kept = [(name, gap) for name, gap in gaps if gap.matched.value is not None]
    if not kept:
        return "Whether hallucinated answers are decided at other layers than faithful ones could not be compared."
    told = []
    for direction, holds in (("later", _above), ("earlier", _below)):
        if those := [f"{name} ({later(gap.matched)} layers)" for name, gap in kept if holds(gap.matched)]:
            told.append(f"{direction} on {listed(those)}")
    rest = [name for name, gap in kept if not (_above(gap.matched) or _below(gap.matched))]
    if rest:
        told.append(f"neither later nor earlier beyond its interval on {listed(rest)}")
    return (
        "Against faithful answers of the same kind of question and length of prompt, hallucinated ones are decided "
        f"{'; '.join(told)}."
    )


def overtaken_sentences(found: Tracking) -> list[str]:
    """Whether right answers were ahead before they were overtaken, more often than other answers were."""
    rows = [(each.name, own) for each in found.sets for own in each.overtaken if own.lens == LENS]
    if not rows:
        return []
    told = [
        f"{percent_estimate(own.share)} on {name}, against {percent(own.control.value)} of right answers to other "
        f"questions ({points_estimate(own.difference)} points)"
        for name, own in rows
    ]
    above = [name for name, own in rows if own.difference.low is not None and own.difference.low > 0]
    verdict = (
        f"the right answer leads more often than chance only on {listed(above)}"
        if above
        else "that is no more often than for an answer that was never asked for"
    )
    return [
        f"Before a hallucinated answer overtook it, the right one had led at some layer in {listed(told)}: {verdict}."
    ]


def statistics_sentences(found: Tracking) -> list[str]:
    """How many statistics of layers differ within matched pairs, and which does most."""
    said = []
    for each in found.sets:
        tested = [own for own in each.statistics if own.q is not None]
        if not tested:
            continue
        clear = [own for own in tested if own.q is not None and own.q < ALPHA]
        most = max(tested, key=lambda own: abs(own.gap.value or 0.0))
        said.append(
            f"On {each.name}, {len(clear)} of {len(tested)} statistics of layers differ between hallucinated and "
            f"faithful answers within {counted(each.n_pairs, 'matched pair')} (q below {ALPHA:g}); most does the "
            f"{most.statistic} of layer {most.layer}, by {difference(most.gap)} standard deviations."
        )
    return said


def drift_sentence(found: Drift) -> str:
    """How far one benchmark moves the early layers, how much later ones undo, and whether that predicts compliance."""
    own = distance(found)
    reworded = own.reworded[own.peak_depth] if own.reworded else None
    beside = f", two wordings of the neutral question {estimate(reworded)}" if reworded is not None else ""
    undone = f"later layers undo {percent_estimate(own.undone)} of it"
    if own.undone_gap is not None and own.undone_reworded is not None:
        undone += (
            f", and {percent_estimate(own.undone_reworded)} of what two wordings differ by "
            f"({points_estimate(own.undone_gap)} points)"
        )
    early, *others = found.predictors
    if early.auroc.value is None:
        told = f"whether it predicts compliance is open ({early.auroc.reason})"
    else:
        named = [f"{each.name} {decimal(each.auroc.value)}" for each in others]
        told = f"early drift tells who complies with an AUROC of {estimate(early.auroc)} ({', '.join(named)})"
    return (
        f"{found.title} ({percent_estimate(found.complied)} of {counted(found.n, 'case')} comply): in the first "
        f"{counted(found.early, 'layer')} the misleading prompt is up to {estimate(own.peak)} away from its neutral "
        f"twin{beside}; {undone}; {told}."
    )


def drift_summary(found: Tracking) -> str:
    """What holds over all benchmarks: whether later layers undo drift more than wording, and whether drift predicts."""
    more = [each.title for each in found.drifts if _above(distance(each).undone_gap)]
    less = [each.title for each in found.drifts if _below(distance(each).undone_gap)]
    early = [each.title for each in found.drifts if _off_chance(each.predictors[0].auroc)]
    corrected = (
        f"later layers undo misleading drift more than a change of wording only under {listed(more)}"
        if more
        else "nowhere do later layers undo misleading drift more than a mere change of wording"
    )
    kept = f", and less under {listed(less)}, where it stays" if less else ""
    tells = f"it tells who complies under {listed(early)}" if early else "nowhere does it tell who complies"
    return f"Of early drift: {corrected}{kept}; {tells}."


def _above(figure: Estimate | None) -> bool:
    return figure is not None and figure.low is not None and figure.low > 0


def _below(figure: Estimate | None) -> bool:
    return figure is not None and figure.high is not None and figure.high < 0


def _off_chance(figure: Estimate) -> bool:
    return figure.low is not None and figure.high is not None and not figure.low <= 0.5 <= figure.high
