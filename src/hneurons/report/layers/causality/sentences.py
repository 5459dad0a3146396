"""What this part shows, in words."""

from __future__ import annotations

from typing import get_args

import numpy as np

from hneurons.layers.causality.record import Causality, Corruption, EffectMap
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.causality.mediation import mediation_sentences
from hneurons.report.layers.causality.reading import (
    SITE_NAMES,
    SPOKEN,
    arrival,
    cell,
    excludes_zero,
    find_map,
)
from hneurons.report.numbers import count, counted, decimal, estimate, listed, percent_estimate, percent_spread

CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
WEAK = 0.7
"""Correlations below this are said to be weak."""


def headlines(found: Causality) -> list[str]:
    """What matters most, for whoever reads no further."""
    return [*_carried(found)[:1], *_neurons(found)]


def sentences(found: Causality) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    said = [_pairs(found), *_carried(found), *_movers(found), *_control(found), *_neurons(found), *_attribution(found)]
    said += mediation_sentences(found)
    said += [f"{name.capitalize()} is left out: {reason}." for name, reason in found.missing.items()]
    return [each for each in said if each]


def _pairs(found: Causality) -> str:
    pairs = found.tracing.pairs
    gap, rise = pairs.gap["question"], pairs.probability["question"]
    sets = listed([f"{count(n)} of {name}" for name, n in pairs.by_set.items()])
    text = (
        f"{counted(pairs.n, 'pair')} of a faithful and a hallucinated answer to questions of one wording and length, "
        f"{sets}, of {count(pairs.found)} that could be had. In the faithful run the logit of its answer, less that of "
        f"the hallucinated one, is higher by {estimate(gap)} nats than in the hallucinated run, its probability by "
        f"{percent_estimate(rise)}."
    )
    if "noise" in pairs.gap:
        text += (
            f" Noise of {decimal(pairs.sigma)} on the subject's embeddings, where it is asked about and where it is "
            f"repeated, {counted(pairs.draws, 'draw')} a pair, takes {estimate(pairs.gap['noise'])} nats away."
        )
    small = sum(pairs.small.values())
    return text + (f" In {count(small)} of the runs there is next to nothing to bring back." if small else "")


def _carried(found: Causality) -> list[str]:
    said = []
    for corruption in CORRUPTIONS:  # a file has its own order
        own = find_map(found, corruption, "residual")
        if own is None or "last" not in own.columns:
            continue
        there = arrival(own)
        subject = [column for column in ("subject last", "name") if column in own.columns]
        first = [f"{percent_estimate(_at(own, 0, column))} at {SPOKEN[column]}" for column in subject]
        text = "With another question" if corruption == "question" else "With noise"
        text += f" as the corruption, the residual stream after layer 0 brings back {listed(first)}"
        if there is None:
            text += "; half of the gap never comes back from the last token."
        elif there and there == len(own.effect.value) - 1:  # where it is all of it, in any model
            before = percent_estimate(_at(own, there - 1, "last"))
            text += f"; half of it or more lies at the last token only after the last layer, {before} one layer before."
        else:
            text += (
                f"; from layer {there} on half of it or more comes from the last token: "
                f"{percent_estimate(_at(own, there, 'last'))} there"
                + (f", {percent_estimate(_at(own, there - 1, 'last'))} one layer before." if there else ".")
            )
        said.append(text)
    both = [find_map(found, each, "residual") for each in ("question", "noise")]
    if both[0] is not None and both[1] is not None:
        said.append(_likeness(found))
    return said


def _likeness(found: Causality) -> str:
    """How alike the maps of both corruptions are, over all cells."""
    ours, theirs = [], []
    for site in ("residual", "attention", "ffn"):
        first, second = find_map(found, "question", site), find_map(found, "noise", site)
        if first is None or second is None:
            continue
        for column in set(first.columns) & set(second.columns):
            for layer in range(len(first.effect.value)):
                a, b = _at(first, layer, column).value, _at(second, layer, column).value
                if a is not None and b is not None:
                    ours.append(a)
                    theirs.append(b)
    if len(ours) < 3 or not (np.std(ours) and np.std(theirs)):
        return ""
    return (
        f"The two kinds of corruption agree on where it is: over {count(len(ours))} cells of the maps their effects "
        f"correlate with r = {decimal(float(np.corrcoef(ours, theirs)[0, 1]), 2)}."
        if np.corrcoef(ours, theirs)[0, 1] >= WEAK
        else f"The two kinds of corruption disagree on where it is: over {count(len(ours))} cells of the maps their "
        f"effects correlate with only r = {decimal(float(np.corrcoef(ours, theirs)[0, 1]), 2)}."
    )


def _movers(found: Causality) -> list[str]:
    parts = []
    for site in ("attention", "ffn"):
        own = find_map(found, "question", site)
        if own is None:
            continue
        for column in ("last", "name", "subject last"):
            if column not in own.columns:
                continue
            cells = [_at(own, layer, column) for layer in range(len(own.effect.value))]
            best = max(range(len(cells)), key=lambda layer: cells[layer].value or -np.inf)
            if excludes_zero(cells[best]) and (cells[best].value or 0) >= 0.05:
                name = "the FFN" if site == "ffn" else "attention"
                parts.append(f"{name} of layer {best} at {SPOKEN[column]} {percent_estimate(cells[best])}")
    return [f"Single layers that bring back most: {listed(parts)}."] if parts else []


def _control(found: Causality) -> list[str]:
    own = find_map(found, "question", "residual")
    if own is None or own.control is None:
        return []
    cells = [
        (figure, layer, column)
        for layer in range(len(own.control.value))
        for place, column in enumerate(own.columns)
        if (figure := cell(own.control, layer, place)).value is not None
    ]
    if not cells:
        return []
    figure, layer, column = max(cells, key=lambda each: each[0].value or 0.0)
    text = (
        f"Control: the residual stream of an unrelated question brings back at most {percent_estimate(figure)} "
        f"(after layer {layer}, {SPOKEN[column]})"
    )
    if excludes_zero(figure):
        text += (
            ": any value that drives out the hallucinated answer moves the logit difference, and only what lies above "
            "this speaks for the clean answer"
        )
    return [text + "."]


def _neurons(found: Causality) -> list[str]:
    own = found.neurons
    if own is None:
        return []
    effect, band = own.effect, own.matched
    text = (
        f"The {counted(own.n_neurons, 'H-Neuron')} together, put in at every token that differs, bring back "
        f"{percent_estimate(effect)} of the gap; as many random neurons "
        f"{percent_spread(own.random.low, own.random.high)}, of the same layers {percent_spread(band.low, band.high)}"
    )
    if effect.value is None or band.low is None or band.high is None:
        return [text + "."]
    if band.low <= effect.value <= band.high:
        return [
            text + ". Which answer is given does not go through them more than through other neurons of their layers."
        ]
    how = "more" if effect.value > band.high else "less"
    return [f"{text}: {how} than {counted(len(band.values), 'random set')} of the same layers."]


def _attribution(found: Causality) -> list[str]:
    own = [
        each for each in found.attribution if each.corruption == "question" and each.linear.spearman.value is not None
    ]
    if not own:
        return []
    worst = min(own, key=lambda each: each.linear.spearman.value or 0.0)
    best = max(own, key=lambda each: each.linear.spearman.value or 0.0)
    text = (
        f"Attribution patching ranks patches of {_name(best.site)} best, ρ = {estimate(best.linear.spearman)}, and of "
        f"{_name(worst.site)} worst, {estimate(worst.linear.spearman)}"
    )
    known = [(value, layer) for layer, value in enumerate(worst.by_layer) if value is not None]
    if known:
        value, layer = min(known)
        text += f", there least in layer {layer} ({decimal(value, 2)})"
    better = [each.site for each in own if (each.averaged.spearman.value or 0.0) > (each.linear.spearman.value or 0.0)]
    rest = [each.site for each in own if each.site not in better]
    text += ". The mean of both runs' gradients is "
    if better and rest:
        text += f"nearer for {listed([_name(site) for site in better])}, and further off for "
        text += f"{listed([_name(site) for site in rest])}."
    else:
        text += "nearer everywhere." if better else "nearer nowhere."
    return [text]


def _name(site: str) -> str:
    return {"ffn": "the FFN", "residual": "the residual stream"}.get(site, SITE_NAMES[site].lower())


def _at(own: EffectMap, layer: int, column: str) -> Estimate:
    return cell(own.effect, layer, own.columns.index(column))
