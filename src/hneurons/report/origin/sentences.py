"""Where H-Neurons come from, in plain sentences made from the numbers; also where nothing holds, or the opposite."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.origins.record import Drift, Origin, RankTest, Transfer, TransferControl, TransferFinding, Transferred
from hneurons.report.numbers import count, counted, decimal, estimate, listed, p_value, spread
from hneurons.report.origin.reading import (
    LEVEL,
    OURS,
    PAPER,
    Outcome,
    auroc,
    base_name,
    carries,
    directions,
    rank_test,
    spared,
    transfer_controls,
    transfer_findings,
    transfer_sets,
    transferred,
    tuned_name,
)
from hneurons.report.sentences import against_chance
from hneurons.study.evaluating import H_NEURONS, MATCHED, PERMUTED, PERMUTED_ANSWERS, RANDOM, REFIT
from hneurons.study.results import Results

SHORT = {
    RANDOM: "random neurons",
    MATCHED: "random neurons of the same layers",
    PERMUTED: "probes of permuted labels",
    PERMUTED_ANSWERS: "probes of permuted labels among answers only",
}
PARTS = {"backward": "Backward transfer", "forward": "Forward transfer", "drift": "Drift", "growth": "Growth"}


def origin_sentences(results: Results) -> list[str]:
    """The verdicts: whether either claim of the paper holds here, what both together say, and what is missing.

    Empty where the run was not compared with a base model.
    """
    origin = results.origin
    if origin is None:
        return []
    told = [carries_sentence(results, origin), spared_sentence(origin), both_sentence(results, origin)]
    return [*(each for each in told if each), *missing_sentences(origin)]


def outcomes(results: Results, origin: Origin) -> dict[str, Outcome]:
    """Whether the probe carries over to the base model, set by set."""
    backward = origin.backward
    return {name: carries(backward, name) for name in transfer_sets(results, origin)} if backward else {}


def carries_sentence(results: Results, origin: Origin, *, figures: bool = True) -> str:
    """The paper's first claim: the tuned model's probe tells hallucinations apart in the base model, too."""
    found = outcomes(results, origin)
    if origin.backward is None or not found:
        return ""
    told: dict[Outcome, str] = {
        "holds": "holds",
        "in part": "holds in part (above random neurons, NOT above every other control)",
        "fails": "does NOT hold",
        "opposite": "is the other way round (AUROC below 0.5)",
        "undefined": "cannot be decided",
    }
    groups = []
    for kind, words in told.items():
        names = [name for name, was in found.items() if was == kind]
        where = [_with_figure(origin.backward, name) for name in names] if figures else names
        groups += [f"{words} on {listed(where)}"] if where else []
    return f"The paper's claim that the probe carries over to the base model {'; it '.join(groups)}."


def spared_sentence(origin: Origin) -> str:
    """The paper's second claim: tuning changed H-Neurons less than other neurons."""
    test = rank_test(origin.drift) if origin.drift else None
    if test is None:
        return ""
    words: dict[Outcome, str] = {
        "holds": "holds",
        "fails": "does NOT hold",
        "in part": "holds in part",
        "opposite": "is the other way round: they changed MORE",
        "undefined": "cannot be decided",
    }
    return f"The paper's claim that tuning changed H-Neurons less than others {words[spared(test)]}{_beside(test)}"


def both_sentence(results: Results, origin: Origin) -> str:
    """What both parts together say of where H-Neurons come from; empty unless both are decided."""
    found = [was for was in outcomes(results, origin).values() if was != "undefined"]
    test = rank_test(origin.drift) if origin.drift else None
    moved = spared(test) if test else "undefined"
    if not found or moved == "undefined":
        return ""
    over = [was == "holds" for was in found]
    if all(over) and moved == "holds":
        return "Both point to H-Neurons that were there before tuning and were left much as they were."
    if any(over):
        where = "" if all(over) else " on some sets"
        then = {"holds": "spared them", "opposite": "changed them more than others"}.get(moved, "did not spare them")
        return f"So they told hallucinations apart before tuning{where}, and tuning {then}."
    if "in part" in found:
        return "So what they tell in the base model is not clearly theirs: other controls tell as much."
    then = "though tuning changed them less than others" if moved == "holds" else "and tuning did not spare them"
    return f"So nothing here shows that they told hallucinations apart before tuning, {then}."


def missing_sentences(origin: Origin) -> list[str]:
    """Which parts cannot be had, and why."""
    return [f"{PARTS.get(part, part)} is missing: {why.rstrip('.')}." for part, why in origin.missing.items()]


def set_sentences(results: Results, eval_set: str) -> list[str]:
    """Backward transfer to one set beside its controls, and forward transfer beside it."""
    origin = results.origin
    if origin is None:
        return []
    said = []
    for direction, transfer in directions(origin).items():
        probe = transferred(transfer, eval_set, H_NEURONS) or transferred(transfer, eval_set, REFIT)
        if probe is None:
            continue
        if probe.auroc.value is None:
            said.append(f"{PARTS[direction]}: AUROC is not defined; {probe.auroc.reason}.")
            continue
        said.append(
            f"{PARTS[direction]}: on {counted(probe.n_hallucinated + probe.n_faithful, 'answer')} of the "
            f"{'base' if direction == 'backward' else 'tuned'} model, the probe of the other one reaches AUROC "
            f"{estimate(probe.auroc)}; {against_chance(probe.auroc)}. {_against(transfer, eval_set)}".rstrip()
        )
    return said


def transfer_sentence(results: Results, origin: Origin) -> str:
    """Backward AUROC on each set beside the probe's own, and whether it is above the controls."""
    parts = []
    for name in transfer_sets(results, origin):
        there = auroc(results, origin, "backward", name, H_NEURONS)
        own = auroc(results, origin, "native", name, H_NEURONS)
        if there is not None and there.value is None:
            parts.append(f"is not defined on {name} ({there.reason})")
        elif there is not None:
            at_home = f", {decimal(own.value)} on its own" if own and own.value is not None else ""
            parts.append(f"reaches {estimate(there)} on {name}{at_home}")
    base, tuned = base_name(origin), tuned_name(results)
    said = f"On the answers of {base}, the probe of {tuned} {'; it '.join(parts)}. " if parts else ""
    told = [said.rstrip(), carries_sentence(results, origin, figures=False), _ahead(results, origin)]
    return " ".join(each for each in told if each)


def drift_sentence(drift: Drift) -> str:
    """Where H-Neurons stand among all neurons by how far tuning moved them, by the paper's score and by the others."""
    test = rank_test(drift)
    if test is None:
        return "No drift was tested."
    said = (
        f"From 0 (changed most) to 1 (least), the {counted(test.n, 'H-Neuron')} stand at {estimate(test.mean_rank)} on "
        f"average. {_verdict(test)}"
    )
    other = [each for each in drift.tests if each.score != PAPER and spared(each) != spared(test)]
    if other:
        words: dict[Outcome, str] = {
            "holds": "less",
            "opposite": "MORE",
            "fails": "neither more nor less",
            "undefined": "by an amount that cannot be compared",
        }
        told = [f"{words[spared(each)]} by {each.score} (mean rank {decimal(each.mean_rank.value)})" for each in other]
        said += (
            f" Read by other weights, it comes out otherwise in {len(other)} of {len(drift.tests) - 1} looks: they "
            f"changed {listed(told)}. The looks share their weights, so one of several says little."
        )
    return " ".join([said, *beware_sentences(drift)])


def beware_sentences(drift: Drift) -> list[str]:
    """Weights that tuning left alone, and types that round apart what was one."""
    said = []
    if drift.unchanged:
        whole = drift.n_layers * drift.n_neurons
        said.append(f"Of {counted(whole, 'neuron')}, {count(drift.unchanged)} did not change at all.")
    if drift.frozen:
        named = listed([f"{each}-projection" for each in drift.frozen])
        said.append(f"Tuning changed no weight of any {named}; they add nothing to a score.")
    if drift.base_dtype != drift.tuned_dtype:
        said.append(
            f"The base model is stored as {drift.base_dtype}, the tuned one as {drift.tuned_dtype}: part of the "
            "distance is rounding."
        )
    return said


def _verdict(test: RankTest) -> str:
    """The layer-matched test in words, and the others beside it."""
    words: dict[Outcome, str] = {
        "holds": "That is LESS change than in as many neurons of the same layers",
        "opposite": "That is MORE change than in as many neurons of the same layers",
        "fails": "That is NOT distinguishable from as many neurons of the same layers",
        "undefined": "Neurons of the same layers cannot be drawn to compare with",
    }
    return f"{words[spared(test)]}{_beside(test)}"


def _beside(test: RankTest) -> str:
    """The p-values: that of the same layers first, which is the one to read."""
    if spared(test) == "undefined":
        return f": {test.matched.reason or test.mean_rank.reason or 'no draws'}."
    more = f", {p_value(test.matched_p_more)} for more" if spared(test) == "opposite" else ""
    said = (
        f" (mean rank {decimal(test.mean_rank.value)}; of neurons of the same layers "
        f"{spread(test.matched.low, test.matched.high)}, p {p_value(test.matched_p)} for less{more})."
    )
    naive = _naive(test)
    return f"{said} {naive}" if naive else said


def _naive(test: RankTest) -> str:
    """The tests that take all layers as alike, where they say something else."""
    others = {"the t-test against 0.5": test.t_p, "neurons drawn from all layers": test.random_p}
    less = {name: p for name, p in others.items() if p is not None and p < LEVEL}
    if spared(test) != "holds" and less:
        told = listed([f"{name} (p {p_value(p)})" for name, p in less.items()])
        return f"By {told} they changed less, but that takes all layers as alike."
    against = {name: p for name, p in others.items() if p is not None and p >= LEVEL}
    if spared(test) == "holds" and against:
        told = listed([f"{name} (p {p_value(p)})" for name, p in against.items()])
        return f"By {told}, where all layers count as alike, that does NOT show."
    return ""


def _with_figure(transfer: Transfer, eval_set: str) -> str:
    """A set with the AUROC there beside that of random neurons, or with why there is none."""
    found = transferred(transfer, eval_set, REFIT) or transferred(transfer, eval_set, H_NEURONS)
    if found is None:
        return eval_set
    if found.auroc.value is None:
        return f"{eval_set} ({found.auroc.reason})"
    beside = transfer_controls(transfer, eval_set).get(RANDOM)
    if beside is None or beside.auroc.low is None:
        return f"{eval_set} ({decimal(found.auroc.value)})"
    return f"{eval_set} ({decimal(found.auroc.value)}; random {spread(beside.auroc.low, beside.auroc.high)})"


def _against(transfer: Transfer, eval_set: str) -> str:
    """Which controls the H-Neurons are above, and which not."""
    held = transfer_controls(transfer, eval_set)
    parts = []
    for detector, who in ((REFIT, "Refitted as random neurons are, the H-Neurons are"), (H_NEURONS, "The probe is")):
        found = [each for each in transfer_findings(transfer, eval_set) if each.detector == detector]
        groups: list[tuple[str, Sequence[TransferFinding]]] = [
            ("above", [each for each in found if each.above]),
            ("NOT above", [each for each in found if each.above is False]),
        ]
        told = [f"{words} {listed([_control(each, held) for each in group])}" for words, group in groups if group]
        if told:
            own = next((each.auroc for each in found), None)
            parts.append(f"{who} ({decimal(own)}) {' and '.join(told)}.")
    return " ".join(parts)


def _control(found: TransferFinding, held: dict[str, TransferControl]) -> str:
    drawn = held.get(found.control)
    name = SHORT.get(found.control, found.control)
    return name if drawn is None else f"{name} ({spread(drawn.auroc.low, drawn.auroc.high)})"


def _ahead(results: Results, origin: Origin) -> str:
    """Rivals that tell the base model's hallucinations apart better than the H-Neurons, the best on each set."""
    told = []
    for name in transfer_sets(results, origin) if origin.backward else ():
        here = [each for each in origin.backward.figures if each.eval_set == name] if origin.backward else []
        ours = max((_value(each) for each in here if each.detector in OURS), default=0.0)
        best = max((each for each in here if each.detector not in OURS), key=_value, default=None)
        if best is not None and _value(best) > ours > 0:
            told.append(f"{best.detector} on {name} ({decimal(best.auroc.value)})")
    return f"More than the H-Neurons tell there: {listed(told)}." if told else ""


def _value(found: Transferred) -> float:
    return found.auroc.value or 0.0
