"""What the figures show, in plain sentences made from the numbers; also where it is not what one hopes for."""

from __future__ import annotations

from collections import Counter

from hneurons.probes.baselines import Addition
from hneurons.probes.bootstrap import Estimate
from hneurons.report.numbers import (
    count,
    counted,
    decimal,
    difference,
    estimate,
    listed,
    ordinal,
    percent,
    percent_estimate,
    percent_spread,
    regular,
    spread,
)
from hneurons.report.reading import (
    CUT,
    addition,
    comparisons,
    controls,
    detection,
    eval_sets,
    faithful_from,
    frequencies,
    others_selected,
    ranked,
    rivals,
)
from hneurons.study.evaluating import PERMUTED, PERMUTED_ANSWERS, RANDOM
from hneurons.study.results import Results

CHANCE = 0.5
"""AUROC of guessing."""


def summary(results: Results) -> str:
    """How many neurons, and how well they tell on the first set."""
    probe, model = results.probe, results.model
    first = eval_sets(results)[0]
    found = (
        f"Of {counted(probe.n_neurons, 'neuron')} in {model.name}, {count(probe.n_hneurons)} "
        f"({decimal(probe.per_mille, 2)} ‰) are H-Neurons: a sparse probe takes what they contribute to an answer as a "
        "sign that it is hallucinated."
    )
    row = detection(results, first)
    if row.auroc.value is None:
        return f"{found} On {first}, {row.auroc.reason}; the probe flags {percent_estimate(row.flagged)} of them."
    return (
        f"{found} Given a hallucinated and a right answer from {first}, it gives the hallucinated one the higher "
        f"probability {percent(row.auroc.value, 0)} of the time (AUROC {estimate(row.auroc)}); "
        f"{against_chance(row.auroc)}."
    )


def against_chance(auroc: Estimate) -> str:
    """How an AUROC stands to 0.5."""
    if auroc.low is None or auroc.high is None:
        return "chance is 50%"
    if auroc.low > CHANCE:
        return "chance is 50%"
    return "that is WORSE than chance" if auroc.high < CHANCE else "that is NOT distinguishable from chance"


def permuted_sentence(results: Results, eval_set: str) -> str:
    """What labels that mean nothing give, where that is not chance; else empty."""
    mixed = results.fit.scheme != "1-vs-1"
    learns = "it still learns to tell answers from other tokens, and that alone favours one kind of answer"
    leaks = "something other than the labels tells the answers apart, so distrust the other figures"
    why = {PERMUTED: learns if mixed else leaks, PERMUTED_ANSWERS: leaks}
    said = []
    for name, control in controls(results, eval_set).items():
        low, high = control.auroc.low, control.auroc.high
        if name in why and low is not None and high is not None and not low <= CHANCE <= high:
            among = " (among answers only)" if name == PERMUTED_ANSWERS else ""
            reached = f"the pipeline reaches {spread(low, high)} and NOT 0.5"
            said.append(f"Fitted on permuted labels{among}, {reached}: {why[name]}.")
    return " ".join(said)


def against_rivals(results: Results, eval_set: str) -> str:
    """The H-Neurons against the baselines on one set, those named that do better."""
    ours = detection(results, eval_set).auroc
    others = [row for row in rivals(results, eval_set) if row.auroc.value is not None]
    if ours.value is None or not others:
        return ""
    ahead = [row for row in others if (row.auroc.value or 0) > ours.value]
    if not ahead:
        best = others[0]
        return (
            f"None of the {len(others)} baselines reaches a higher AUROC; the nearest is {best.detector} "
            f"({decimal(best.auroc.value)})."
        )
    named = listed([f"{row.detector} ({decimal(row.auroc.value)})" for row in ahead])
    share = "All" if len(ahead) == len(others) else f"{len(ahead)} of the"
    reach = "reaches" if len(ahead) == 1 else "reach"
    apart = [row for row in ahead if None not in (row.auroc.low, ours.high) and (row.auroc.low or 0) > (ours.high or 0)]
    clear = "" if apart else ", but every interval overlaps the H-Neurons'"
    return f"{share} {len(others)} baselines {reach} a higher AUROC than the H-Neurons: {named}{clear}."


def overview_sentence(results: Results) -> str:
    """Where the probe stands among all detectors, set by set."""
    places = []
    for name in eval_sets(results):
        ours = detection(results, name).auroc.value
        others = [row.auroc.value for row in rivals(results, name) if row.auroc.value is not None]
        if ours is not None:
            place = 1 + sum(value > ours for value in others)
            places.append(f"{ordinal(place)} of {len(others) + 1} on {name} ({decimal(ours)})")
    if not places:
        return "No set holds both kinds of answers, so the detectors cannot be ranked."
    return f"By AUROC, the H-Neurons' probe comes {listed(places)}."


def detection_sentence(results: Results, eval_set: str) -> str:
    """What one set shows."""
    row = detection(results, eval_set)
    if ranked(results, eval_set):
        source = faithful_from(results, eval_set)
        answers = counted(row.n, "answer") + (f", the right ones from {source}" if source else "")
        said = f"On {eval_set} ({answers}), the H-Neurons' probe reaches an AUROC of {estimate(row.auroc)}."
        return f"{said} {against_rivals(results, eval_set)}".rstrip()
    said = (
        f"On {eval_set}, {row.auroc.reason}, so there is no ranking to score; what can be read is how many are "
        f"flagged. The H-Neurons' probe flags {percent_estimate(row.flagged)}"
    )
    chance = controls(results, eval_set).get(RANDOM)
    if chance is None or chance.flagged.low is None:
        return f"{said}."
    range_ = percent_spread(chance.flagged.low, chance.flagged.high)
    return f"{said}; {chance.draws} draws of random neurons flag {range_}."


def addition_sentence(found: Addition) -> str:
    """Whether the H-Neurons add to entropy on one set."""
    gain = found.difference
    if gain.value is None:
        return f"On {found.eval_set}, {gain.reason}; AUROC is not defined."
    both = f"entropy alone reaches {decimal(found.entropy.value)}, with the H-Neurons {decimal(found.joint.value)}"
    if gain.low is None or gain.high is None:
        return f"On {found.eval_set}, {both}, a difference of {difference(gain)} without an interval ({gain.reason})."
    if gain.low > 0:
        verdict = "the H-Neurons add to entropy"
    elif gain.high < 0:
        verdict = "the H-Neurons make entropy WORSE"
    else:
        verdict = "the H-Neurons do NOT measurably add to entropy"
    return f"On {found.eval_set}, {verdict}: {both}, a difference of {difference(gain)}."


def depth_sentence(results: Results) -> str:
    """Where the H-Neurons sit."""
    counts, total = results.fit.per_layer, results.probe.n_hneurons
    most = max(range(len(counts)), key=lambda layer: (counts[layer], -layer))
    half = len(counts) // 2
    late = sum(counts[len(counts) - half :])
    said = f"Layer {most} holds the most: {counts[most]} of {total}."
    if half:
        where = f"the last {counted(half, 'layer')}" if half > 1 else "the last layer"
        even = percent(half / len(counts), 0)
        said += f" {percent(late / total, 0)} sit in {where}, where {even} would by an even spread."
    empty = sum(not each for each in counts)
    return said + (
        f" {counted(empty, 'layer')} of {len(counts)} {'has' if empty == 1 else 'have'} none." if empty else ""
    )


def path_sentence(results: Results) -> str:
    """Which C was chosen, and what it costs to silence what it selects."""
    fit = results.fit
    point = fit.curve[fit.chosen]
    said = (
        f"C = {regular(point.C)} is chosen: {counted(point.n_hneurons, 'H-Neuron')}, and "
        f"{percent(point.heldout_accuracy)} of held-out answers on the right side."
    )
    if point.known_accuracy is not None:
        said += (
            f" With those neurons off (alpha 0), the model still answers {percent(point.known_accuracy)} of "
            f"{counted(fit.known_questions, 'known question')} right; with nothing turned off, "
            f"{percent(fit.known_intact)}."
        )
    reasons = Counter(each.excluded for each in fit.curve if each.excluded)
    if reasons:
        out = sum(reasons.values())
        why = listed([f"{reason} ({n})" for reason, n in reasons.items()])
        said += f" {out} of {len(fit.curve)} values of C could not be chosen: {why}."
    return said


def stability_sentence(results: Results) -> str:
    """How much of the list another half of the questions would give."""
    found = frequencies(results)
    if not found:
        return "No resample reached the chosen C, so how stable the list is cannot be said."
    steady = [each for each in found if each.share >= 0.9]
    weak = [each for each in found if each.share < 0.5]
    point = results.fit.stability[results.fit.chosen]
    said = (
        f"Refitted on {point.resamples} random halves of the questions, {len(steady)} of {len(found)} H-Neurons are "
        f"selected in at least 90% of them, and {len(weak)} in fewer than half."
    )
    if point.jaccard is not None:
        said += f" Two halves share {percent(point.jaccard, 0)} of what either selects (Jaccard)."
    others = others_selected(results)
    if others:
        are = "is" if len(others) == 1 else "are"
        said += f" {counted(len(others), 'neuron')} outside the list {are} selected in half or more."
    return said


def calibration_sentence(results: Results, eval_set: str) -> str:
    """How far the probabilities can be taken at their word."""
    row = detection(results, eval_set)
    off = "" if row.ece.value is None else f"{decimal(100 * row.ece.value, 1)} points"
    return (
        f"On {eval_set}, the probe's probabilities are off by {off} on average (expected calibration error "
        f"{estimate(row.ece)}). From probability {CUT} on it flags {percent_estimate(row.recall)} of the hallucinated "
        f"answers, and {percent_estimate(row.precision)} of what it flags is hallucinated."
    )


def within(sentence: str, eval_set: str) -> str:
    """A sentence that begins with "On SET, ", for a place where the set is already named."""
    rest = sentence.removeprefix(f"On {eval_set}, ")
    return rest[:1].upper() + rest[1:]


def verdicts(results: Results, eval_set: str) -> list[str]:
    """What a reader in a hurry must know of one set: against chance, against the baselines, and beside entropy."""
    if not ranked(results, eval_set):
        return [within(detection_sentence(results, eval_set), eval_set)]
    chance = " ".join(within(each.sentence, eval_set) for each in comparisons(results, eval_set))
    gain = addition(results, eval_set)
    entropy = within(addition_sentence(gain), eval_set) if gain else ""
    found = (chance, permuted_sentence(results, eval_set), against_rivals(results, eval_set), entropy)
    return [each for each in found if each]
