"""What the card of an edited model says of its neurons: how they were found, how well they tell, what turning does."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.compliance.record import Sweep
from hneurons.interventions.export_card import CardNotes, code, plain
from hneurons.probes.probe import Probe
from hneurons.report.numbers import (
    counted,
    decimal,
    estimate,
    percent,
    percent_estimate,
    points_estimate,
    points_spread,
    regular,
    spread,
    times,
)
from hneurons.report.reading import ENTROPY, controls, detection, eval_sets, ranked, rivals
from hneurons.report.sentences import stability_sentence, verdicts
from hneurons.report.sweep.reading import CONTROLS, INTACT, costs, curve, curves, span
from hneurons.report.sweep.sentences import costs_sentence, sweep_summary, trait_sentence
from hneurons.study.evaluating import MATCHED, RANDOM, REFIT
from hneurons.study.results import Results

PAPER = "[H-Neurons, arXiv 2512.01797](https://arxiv.org/abs/2512.01797)"


def card_notes(probe: Probe, results: Results | None, alpha: float) -> CardNotes:
    """What a run says of its H-Neurons, for the card of a model in which they are scaled by `alpha`.

    `results` is None where the run has not been evaluated. Results and sweeps of other neurons are not used.
    """
    weights = {neuron: float(weight) for neuron, weight in zip(probe.neurons, probe.weights, strict=True) if weight > 0}
    if results is not None and set(results.probe.neurons) != set(weights):
        results = None
    found = [_found(probe), _questions(probe)]
    if results is None:
        return CardNotes(weights, (*found, "How well they tell has not been evaluated."), ())
    told = [f"- {code(name)}: {plain(' '.join(verdicts(results, name)))}" for name in eval_sets(results)]
    why = (*found, *_detection(results), "\n".join(told), plain(stability_sentence(results)))
    sweep = results.sweep
    ours = {each.neurons for each in sweep.curves if each.kind == "hneurons"} if sweep else set()
    swept = sweep is not None and all(set(sweep.sets[name]) == set(weights) for name in ours)
    return CardNotes(weights, why, _effect(sweep, alpha) if sweep and swept else ())


def _found(probe: Probe) -> str:
    card = probe.card
    return (
        f"They are the H-Neurons of a sparse probe ({PAPER}): a logistic regression with an L1 penalty (C "
        f"{regular(card.C)}, rows {card.scheme}) that reads what every neuron contributed to an answer of the base "
        f"model's and predicts whether the answer is hallucinated. {counted(len(probe.hneurons), 'neuron')} of "
        f"{card.model.neurons:,} ({decimal(probe.per_mille, 2)} ‰) have a positive weight: "
        f"what they contribute is taken as a sign of hallucination. Fitted on {plain(card.provenance.date)} with "
        f"hneurons {plain(card.provenance.versions.get('hneurons', '?'))}."
    )


def _questions(probe: Probe) -> str:
    rows = [f"| {code(name)} | {code(digest)} |" for name, digest in sorted(probe.card.provenance.questions.items())]
    return _table(["questions", "digest"], rows)


def _detection(results: Results) -> Sequence[str]:
    """Set by set, beside what random neurons and the best baselines reach."""
    rows = []
    for name in (each for each in eval_sets(results) if ranked(results, each)):
        drawn = controls(results, name)
        bands = [drawn[each].auroc if each in drawn else None for each in (RANDOM, MATCHED)]
        found = {row.detector: row.auroc for row in rivals(results, name)}
        cells = [
            code(name),
            f"{detection(results, name).n:,}",
            estimate(detection(results, name).auroc),
            estimate(detection(results, name, REFIT).auroc),
            *(spread(band.low, band.high) if band else "–" for band in bands),
            estimate(found[ENTROPY]) if ENTROPY in found else "–",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    if not rows:
        return ()
    head = ["set", "answers", "probe", "refitted", "random neurons", "random, layer-matched", ENTROPY]
    return (
        "How well they tell hallucinated from right answers to questions that the probe was not fitted on, as AUROC "
        "(0.5 is chance) with 95% intervals. Random neurons compare with the H-Neurons refitted in the same manner.",
        _table(head, rows),
    )


def _effect(sweep: Sweep, alpha: float) -> Sequence[str]:
    measured = ", ".join(f"{each:g}" for each in sorted(sweep.alphas))
    about = (
        f"Measured on the base model, with the neurons scaled at run time, at alpha {measured}."
        if alpha in sweep.alphas
        else f"Alpha {alpha:g} itself has NOT been measured. Measured on the base model, with the neurons scaled at "
        f"run time, were alpha {measured}."
    )
    rows = [_compliance_row(sweep, each.name, each.title, alpha) for each in sweep.benchmarks]
    found = [row for row in rows if row] if alpha != INTACT else []
    head = ["benchmark", "complies when", "alpha 1", f"alpha {alpha:g}", "change in points", "random sets"]
    tables = [_table(head, found)] if found else []
    price = _cost(sweep, alpha) if alpha != INTACT else ""
    sentences = (sweep_summary(sweep), trait_sentence(sweep), costs_sentence(sweep))
    return [about, *tables, *([price] if price else []), *(plain(each) for each in sentences if each)]


def _compliance_row(sweep: Sweep, benchmark: str, title: str, alpha: float) -> str:
    found = curve(sweep, benchmark)
    points = {point.alpha: point for point in found.points} if found else {}
    if alpha not in points or INTACT not in points:
        return ""
    drawn = [point for each in curves(sweep, benchmark, *CONTROLS) for point in each.points if point.alpha == alpha]
    band = span(point.difference.value for point in drawn)
    when = next(each.complies_when for each in sweep.benchmarks if each.name == benchmark)
    cells = [
        plain(title),
        plain(when),
        percent(points[INTACT].rate.value),
        percent_estimate(points[alpha].rate),
        points_estimate(points[alpha].difference),
        points_spread(band.low, band.high) if band else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _cost(sweep: Sweep, alpha: float) -> str:
    """What this alpha costs, in a sentence."""
    for point in (point for each in costs(sweep, "hneurons") for point in each.points if point.alpha == alpha):
        return (
            f"Its cost at alpha {alpha:g}: accuracy on {counted(sweep.known_questions, 'question')} that the base "
            f"model knows changes by {points_estimate(point.known_difference)} points, to "
            f"{percent(point.known_accuracy.value)}, and perplexity on held-out text is "
            f"{times(point.perplexity_ratio.value)} the base model's."
        )
    return ""


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows])
