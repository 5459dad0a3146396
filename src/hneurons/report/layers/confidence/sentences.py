"""What this part shows, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.layers.confidence.meaning import AGREEMENT, SEMANTIC
from hneurons.layers.confidence.record import Confidence, Level, Outcome, RiskCoverage
from hneurons.report.layers.confidence.reading import (
    ENTROPY,
    H_NEURONS,
    OWN,
    best_rival,
    calibrated,
    choice_of,
    curve_of,
    eval_sets,
    outcome_of,
    signal_of,
    target,
)
from hneurons.report.numbers import (
    decimal,
    difference,
    estimate,
    interval,
    listed,
    p_value,
    percent,
    percent_estimate,
)


def headlines(found: Confidence) -> list[str]:
    """What matters most, for whoever reads no further."""
    return _curves(found)


def sentences(found: Confidence) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return [
        *_calibration(found),
        *_confident(found),
        *_boundary(found),
        *_curves(found),
        *_abstaining(found),
        *_sampled(found),
        *_truth(found),
    ]


def _calibration(found: Confidence) -> list[str]:
    said = []
    for source in (H_NEURONS, OWN):
        own = [each for name in eval_sets(found) if (each := calibrated(found, name, source)) is not None]
        if not own:
            continue
        parts = [f"{decimal(e.ece)} on {e.eval_set} (chance up to {decimal(e.perfect.high)})" for e in own]
        off = [each.eval_set for each in own if each.perfect.q is not None and each.perfect.q < 0.05]
        beyond = f"more than chance on {listed(off)}" if off else "nowhere more than chance"
        who = "the H-Neurons' probability" if source == H_NEURONS else "the model's own probability of its answer"
        said.append(f"The calibration error of {who} is {listed(parts)}: {beyond} (corrected for the number of tests).")
    if said:
        said.append(
            "Chance is what the same probabilities would show if each were exactly right. The sets hold as many "
            "faithful as hallucinated answers by selection, and calibration is about this balance."
        )
    return said


def _confident(found: Confidence) -> list[str]:
    parts = [
        f"{percent_estimate(each.hallucinated)} of the hallucinated answers on {each.eval_set} "
        f"({percent(each.faithful.value)} of the faithful)"
        for each in found.confident
        if each.quantile == 0.5
    ]
    if not parts:
        return []
    cut = next(each.probability for each in found.confident if each.quantile == 0.5)
    return [
        f"Confident hallucinations: a probability above {decimal(cut)}, the median of the faithful held-out training "
        f"answers, is given to {listed(parts)}."
    ]


def _boundary(found: Confidence) -> list[str]:
    said = []
    for each in found.boundary[:1]:
        first, last = each.levels[0], each.levels[-1]
        said.append(
            f"On {each.eval_set}, questions with {each.by} of {first.value} are answered right in "
            f"{percent_estimate(first.right)}, wrong in {percent(first.wrong.value)} and declined in "
            f"{percent(first.declined.value)}; with {last.value}, right in {percent_estimate(last.right)}, wrong in "
            f"{percent(last.wrong.value)}. {_sure(first, last)}"
        )
    return said


def _sure(first: Level, last: Level) -> str:
    if first.sure_wrong.value is None or last.sure_wrong.value is None:
        return ""
    return (
        f"Its mean probability of a wrong answer is {estimate(first.sure_wrong)} at the former and "
        f"{estimate(last.sure_wrong)} at the latter; of a right one {estimate(first.sure_right)} and "
        f"{estimate(last.sure_right)}."
    )


def _curves(found: Confidence) -> list[str]:
    parts, better, worse = [], [], []
    for name in eval_sets(found):
        ours, rival = curve_of(found, name, H_NEURONS), best_rival(found, name)
        random = next((each for each in found.random if each.eval_set == name), None)
        if ours is None or rival is None or random is None:
            continue
        spread = f"random neurons {decimal(random.aurc.low)} to {decimal(random.aurc.high)}"
        beside = f"{spread}, at random {decimal(random.base)}, best {decimal(rival.aurc.value)} ({rival.detector})"
        parts.append(f"{estimate(ours.aurc)} on {name} ({beside})")
        verdict = _sided(ours)
        better += [f"{name} ({difference(ours.over_entropy)})"] if verdict < 0 else []
        worse += [f"{name} ({difference(ours.over_entropy)})"] if verdict > 0 else []
    said = [f"The area under the H-Neurons' risk-coverage curve is {listed(parts)}."] if parts else []
    if worse:
        said.append(f"Holding back answers by {ENTROPY} leaves less risk than by H-Neurons on {listed(worse)}.")
    if better:
        said.append(f"Holding back answers by H-Neurons leaves less risk than by {ENTROPY} on {listed(better)}.")
    if parts and not worse and not better:
        said.append(f"On no set do H-Neurons and {ENTROPY} differ in it beyond what resampling allows.")
    return said


def _sided(curve: RiskCoverage) -> int:
    low, high = curve.over_entropy.low, curve.over_entropy.high
    return 0 if low is None or high is None else (low > 0) - (high < 0)


def _abstaining(found: Confidence) -> list[str]:
    if not found.abstaining.choices:
        return []
    risk, said = target(found), []
    bounded = [each for each in found.abstaining.choices if each.risk == risk and each.guaranteed]
    silent = [each.detector for each in bounded if each.threshold is None]
    if silent:
        said.append(
            f"A risk of {percent(risk, 0)} cannot be promised by {listed(silent)}: no threshold keeps the "
            f"{percent(bounded[0].confidence, 0)} bound on the {bounded[0].n:,} held-out answers, one a group, that it "
            "is chosen on, and so nothing is answered."
        )
    for name in (H_NEURONS, ENTROPY, OWN):
        for guaranteed in (True, False):
            choice = choice_of(found, name, risk, guaranteed)
            done = [outcome_of(found, each, name, risk, guaranteed) for each in eval_sets(found)]
            if choice is None or choice.threshold is None:
                continue
            how = "with a bound" if guaranteed else "without one"
            said.append(f"{name[0].upper()}{name[1:]}, threshold {how}: {_done([e for e in done if e])}.")
    said.append(
        "The held-out answers are to questions that the model answers the same way every time, and the sets are not: a "
        "promise is about answers drawn as those were, and says nothing of others. They have also had their say in "
        "how strictly each detector was fitted, which makes it a little bold."
    )
    return said


def _done(done: Sequence[Outcome]) -> str:
    parts = []
    for each in done:
        if each.risk.value is None:
            parts.append(f"nothing is answered on {each.eval_set}")
            continue
        kept = {"met": "kept", "missed": "missed", "open": "undecided"}[each.met]
        parts.append(
            f"a risk of {percent_estimate(each.risk)} with {percent(each.coverage.value)} answered on {each.eval_set} "
            f"({kept})"
        )
    return "; ".join(parts)


def _sampled(found: Confidence) -> list[str]:
    if found.sampled is None:
        return []
    semantic, agreement = signal_of(found, 0, SEMANTIC), signal_of(found, 0, AGREEMENT)
    own = signal_of(found, 0, OWN)
    pool = found.sampled.pools[0]
    if semantic is None or agreement is None:
        return []
    beside = (
        "" if semantic.chance is None else f" (permuted labels {_spread(semantic.chance.low, semantic.chance.high)})"
    )
    alone = f", and the probability of the one answer alone {estimate(own.auroc)}" if own is not None else ""
    said = [
        f"Over {found.sampled.samples} samples of {pool.n:,} training questions in their natural mix, semantic entropy "
        f"tells hallucinated first answers with an AUROC of {estimate(semantic.auroc)}{beside}, the share of samples "
        f"that mean something else with {estimate(agreement.auroc)}{alone}. Meanings are told apart by the rules that "
        f"judge answers; no language model is asked. {percent_estimate(pool.always_wrong)} of the "
        "hallucinated answers are repeated by every sample, and no comparison of samples can see these."
    ]
    left = signal_of(found, 1, SEMANTIC)
    if left is not None and left.auroc.value is not None and semantic.auroc.value is not None:
        rest = found.sampled.pools[1]
        said.append(
            f"On the {rest.n:,} questions among them that no detector was fitted or tuned on it is "
            f"{estimate(left.auroc)}, but there only {percent(rest.always_wrong.value)} of the hallucinated answers "
            "are repeated by every sample: the fit takes questions that are answered alike every time, and what it "
            "leaves is another mix."
        )
    grown = found.sampled.growing
    if len(grown) > 1:
        said.append(
            f"Two samples reach {estimate(grown[0].semantic_entropy)}, "
            + listed([f"{each.k} {decimal(each.semantic_entropy.value)}" for each in grown if each.k in (3, 5, 10)])
            + "."
        )
    return said


def _spread(low: float, high: float) -> str:
    return f"{decimal(low)} to {decimal(high)}"


def _truth(found: Confidence) -> list[str]:
    if found.p_true is None:
        return []
    parts = [
        f"{estimate(each.auroc)} on {each.eval_set} (q = {p_value(each.chance.q if each.chance else None)}; with "
        f"another's answer in its place {decimal(each.swapped.value)} {interval(each.swapped)})"
        for each in found.p_true.sets
    ]
    sees = [each for each in found.p_true.sets if each.sees_answer.low is not None and each.sees_answer.low > 0.5]
    said = f"Asked whether its own answer is true, the model tells hallucinations with an AUROC of {listed(parts)}."
    if sees:
        strongest = max(sees, key=lambda each: each.sees_answer.value or 0.0)
        said += (
            f" It tells swapped from own answers best on {strongest.eval_set}, with {estimate(strongest.sees_answer)}"
            " (0.5: it does not look at the answer)."
        )
    else:
        said += " On no set does it tell a swapped answer from its own: it does not look at the answer."
    return [said]
