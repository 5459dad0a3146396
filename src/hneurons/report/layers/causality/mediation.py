"""Figures and words of mediation and ablation."""

from __future__ import annotations

from hneurons.layers.causality.mediation_record import Ablation, Mediation, Mediator
from hneurons.layers.causality.record import Causality
from hneurons.probes.bootstrap import Estimate
from hneurons.report.illustration import Illustration
from hneurons.report.layers.causality.mediation_figures import SURE, draw_ablation, draw_mediation, layered
from hneurons.report.numbers import (
    count,
    counted,
    decimal,
    difference,
    listed,
    p_value,
    percent,
    percent_estimate,
    percent_interval,
    percent_spread,
    spread,
)

NAMED = 3
"""Components that a sentence names, at most."""


def mediation_illustrations(found: Causality) -> list[Illustration]:
    """What goes through and past each layer's attention and FFN, and what answers lose without them."""
    shown = []
    mediation, ablation = found.mediation, found.ablation
    if mediation is not None and mediation.mediators:
        shown.append(
            Illustration(
                name="layers-causality-mediation",
                title="What goes through a component, and what goes past it",
                sentence=(
                    "Filled: the indirect effect, what the component's value from the run that answers right brings "
                    "into the run that hallucinates. Hollow: the direct effect, what is left of the right run when the "
                    "component alone has its value from the other one. Crosses are the control, a value from a run "
                    "about something else: what it brings is not the answer, it only takes the other one away. "
                    f"Shares of the total effect over {counted(mediation.n_pairs, 'pair')}, with 95% intervals over "
                    "questions; where indirect and direct effect add up to 100%, nothing interacts."
                ),
                alt=(
                    "Four panels, attention and FFN by logit difference and probability: indirect, direct and control "
                    "effect of every layer as shares of the total effect, with intervals."
                ),
                draw=lambda palette: draw_mediation(mediation, palette),
            )
        )
    if ablation is not None and ablation.ablated:
        shown.append(
            Illustration(
                name="layers-causality-ablation",
                title="What answers lose without a layer's attention or FFN",
                sentence=(
                    "Change of the log-probability of the given token where answers part, in nats, when a component is "
                    "set to zero, to its mean over training answers, or to what it held at a token of one. "
                    f"H-N.: the H-Neurons. {count(ablation.hallucinated.n)} hallucinated and "
                    f"{count(ablation.faithful.n)} faithful answers "
                    "to the same kinds of questions; 95% intervals over questions. Rings: hallucinated and faithful "
                    f"answers differ (permutation test, corrected over all components, q < {SURE})."
                ),
                alt=(
                    "Six panels, attention and FFN by zero, mean and resample ablation: change of log-probability by "
                    "layer for hallucinated and faithful answers, with intervals."
                ),
                draw=lambda palette: draw_ablation(ablation, palette),
            )
        )
    return shown


def mediation_sentences(found: Causality) -> list[str]:
    """What mediates, what does not, and what hallucinated answers lean on."""
    said = []
    if found.mediation is not None and found.mediation.mediators:
        said += _mediated(found.mediation)
    if found.ablation is not None and found.ablation.ablated:
        said += _ablated(found.ablation)
    return said


def _mediated(found: Mediation) -> list[str]:
    total, chance = found.total_difference, found.total_probability
    said = [
        f"From the run that hallucinates to the run that answers right, the logit difference rises by "
        f"{decimal(total.value, 2)} nats {_bracket(total)} and the probability of the right run's answer by "
        f"{percent(chance.value)} {percent_interval(chance)}: the total effect, over "
        f"{counted(found.n_pairs, 'pair')}."
    ]
    strongest = sorted(layered(found, "all"), key=lambda each: -(each.difference.nie_share.value or 0.0))[:NAMED]
    said.append(
        "The largest indirect effects go through "
        + listed([f"{each.component.label} ({_shares(each)})" for each in strongest])
        + ". Indirect effects of different components are no parts of a whole: what one writes, a later one hands on."
    )
    strange = [
        (each, each.unrelated_difference.nie_share)
        for each in layered(found, "all")
        if each.unrelated_difference is not None
    ]
    if strange:
        most, share = max(strange, key=lambda each: each[1].value or 0.0)
        said.append(
            f"Values from an unrelated run bring up to {percent_estimate(share)} of the logit difference "
            f"({most.component.label}), since they take the hallucinated answer away; of the probability of the right "
            f"run's answer {most.component.label} then brings {_unrelated_probability(most)}. Only what exceeds "
            "that says something about the answer."
        )
    own = next((each for each in found.mediators if each.component.kind == "neurons"), None)
    if own is not None:
        share = own.difference.nie_share
        words = f"The H-Neurons together mediate {percent_estimate(share)} of the total effect"
        if found.random is not None:
            drawn = found.random.nie_share
            words += (
                f"; as many random neurons of the same layers {percent_spread(drawn.low, drawn.high)} "
                f"({found.random.n_draws} draws)"
            )
        said.append(f"{words}. {_role(share, found)}")
    return [*said, *(f"Mediation: {why}." for why in found.missing.values())]


def _ablated(found: Ablation) -> list[str]:
    tests = [each for each in found.ablated if each.q < SURE]
    more = [each for each in tests if (each.difference.value or 0.0) < 0]
    less = [each for each in tests if each not in more]
    ways = len({each.how for each in found.ablated})
    said = []
    for those, word in ((more, "more"), (less, "less")):
        if those:
            named = sorted(those, key=lambda each: each.q)[:NAMED]
            rest = f" and {count(len(those) - len(named))} others" if len(those) > len(named) else ""
            said.append(
                f"Hallucinated answers lose {word} than faithful ones without "
                + listed(
                    [
                        f"{each.component.label} ({each.how}: {difference(each.difference)} nats, q {p_value(each.q)})"
                        for each in named
                    ]
                )
                + f"{rest}."
            )
    count_all = len(found.ablated)
    if not tests:
        said.append(
            f"In none of {count(count_all)} ablations ({count(count_all // ways)} components, {ways} ways) do "
            f"hallucinated and faithful answers differ after correction (q < {SURE})."
        )
    else:
        said.append(
            f"{'That is' if len(tests) == 1 else 'Those are'} {count(len(tests))} of {count(count_all)} ablations "
            f"({count(count_all // ways)} components, {ways} ways) in which the two kinds differ after correction "
            f"(q < {SURE})."
        )
    own = next((each for each in found.ablated if each.component.kind == "neurons" and each.how == "mean"), None)
    if own is not None:
        words = (
            f"With the H-Neurons at their means the log-probability of hallucinated answers changes by "
            f"{difference(own.hallucinated.logprob)} nats, that of faithful ones by {difference(own.faithful.logprob)}"
        )
        drawn = next((each for each in found.random if each.how == "mean"), None)
        if drawn is not None:
            words += (
                "; with as many random neurons of the same layers by "
                f"{spread(drawn.hallucinated.low, drawn.hallucinated.high)} and "
                f"{spread(drawn.faithful.low, drawn.faithful.high)} ({drawn.n_draws} draws)"
            )
        said.append(f"{words}.")
    return said


def _role(share: Estimate, found: Mediation) -> str:
    """What the H-Neurons are, by whether they exceed chance."""
    drawn = None if found.random is None else found.random.nie_share.high
    if share.low is None or share.value is None:
        return "That is undefined here."
    if share.low > 0 and (drawn is None or share.value > drawn):
        return "They carry some of what decides the answer."
    return "What decides between the two answers does not go through them more than through any other neurons."


def _unrelated_probability(most: Mediator) -> str:
    found = most.unrelated_probability
    return "nothing that is known" if found is None else percent_estimate(found.nie_share)


def _shares(each: Mediator) -> str:
    found = each.difference
    return f"{percent_estimate(found.nie_share)}, direct {percent(found.nde_share.value)}"


def _bracket(figure: Estimate) -> str:
    return "" if figure.low is None else f"[{decimal(figure.low, 2)}, {decimal(figure.high, 2)}]"
