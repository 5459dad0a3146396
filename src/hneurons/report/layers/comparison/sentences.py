"""What the comparison shows, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.layers.comparison.record import READS, Across, Compared, Comparison, Null, Read
from hneurons.report.layers.comparison.reading import (
    ALPHA,
    NAMES,
    beats,
    beats_said,
    changed,
    differs,
    first_that_stays,
    of_read,
    shown,
    strongest,
)
from hneurons.report.numbers import counted, decimal, difference, estimate, listed, spread


def headlines(found: Comparison) -> list[str]:
    """What matters most, for whoever reads no further."""
    return _over_sets(found)


def sentences(found: Comparison) -> list[str]:
    """Over all sets first, then each set: what is left after matching, where the kinds differ, how alike they are."""
    said = [
        "States are read at the positions that predict the answer's tokens, and faithful answers are compared with "
        "hallucinated ones that agree in kind of question, number of answer tokens and, within a tenth, length. What "
        "is said is not matched; how far it alone tells the kinds apart stands beside.",
        *_over_sets(found),
    ]
    for compared in found.sets:
        said += [_left(compared), _apart(compared), *_removed(compared), *_alike(compared)]
    said += [f"{name} is not compared: {reason}." for name, reason in found.missing.items()]
    return said


def _over_sets(found: Comparison) -> list[str]:
    places = {each.eval_set: strongest(shown(each)) for each in found.sets}
    told = {name: place for name, place in places.items() if place is not None and differs(place)}
    if not told:
        return ["On no set do the two kinds differ at any layer by more than permuted labels do."]
    late = sum(place.layer >= 2 * found.n_layers / 3 for place in told.values())
    ffn = 0
    for each in found.sets:
        own, other = strongest(shown(each), "ffn"), strongest(shown(each), "attention")
        ffn += own is not None and other is not None and (own.effect.value or 0) > (other.effect.value or 0)
    n = len(found.sets)
    return [
        f"The kinds differ at some layer on {len(told)} of {counted(n, 'set')}; the largest difference lies in the "
        f"last third of the {counted(found.n_layers, 'layer')} on {late} of them. What the FFN writes differs more "
        f"than what attention writes, each at its own best layer, on {ffn} of {n}."
    ]


def _left(compared: Compared) -> str:
    matching, every = compared.matching, compared.every
    said = (
        f"{compared.eval_set}: of {every.n_faithful} faithful and {every.n_hallucinated} hallucinated answers, "
        f"{counted(matching.n_pairs, 'pair')} match"
    )
    if compared.matched is None:
        said += f", too few ({compared.reason}); figures are those before matching"
    else:
        said += (
            f"; length and kind alone tell them apart with AUROC {estimate(compared.matched.baseline)}, and with "
            f"{estimate(every.baseline)} before"
        )
    if compared.faithful_from is not None:
        said += (
            f". Its faithful answers are those of {compared.faithful_from}, so what differs may also be what the "
            "questions of the two sets differ in"
        )
    return f"{said}."


def _apart(compared: Compared) -> str:
    selection, place = shown(compared), strongest(shown(compared))
    if place is None:
        return "No effect size is defined."
    starts = []
    for read in READS:
        first = first_that_stays(selection.levels, read)
        n_layers = len(of_read(selection.levels, read))
        if first is None:
            some = sum(differs(each) for each in of_read(selection.levels, read))
            starts.append(f"the {NAMES[read]} " + (f"at {counted(some, 'layer')}, not the last" if some else "nowhere"))
        else:
            starts.append(f"the {NAMES[read]} from layer {first} on" if first < n_layers - 1 else _at_last(read, first))
    where = f"Beyond permuted labels (false discovery rate {ALPHA:.0%}), the kinds differ in {listed(starts)}"
    n, n_over = len(selection.levels), sum(beats(each) for each in selection.levels)
    n_said = sum(beats_said(each) for each in selection.levels)
    return (
        f"{where}. The largest effect is g = {estimate(place.effect)}, {NAMES[place.read]} of layer {place.layer}, "
        f"where permuted labels give {_range(place.effect_against.null)}; there a linear model reaches AUROC "
        f"{estimate(place.auroc)} against {_range(place.permuted)} of permuted labels, "
        f"{difference(place.over_baseline)} over length and kind, {difference(place.over_said)} over these and the "
        f"answer's first token (alone {estimate(selection.said)}). States tell more than the former at {n_over} of {n} "
        f"places, more than the latter at {n_said}."
    )


def _at_last(read: Read, layer: int) -> str:
    return f"the {NAMES[read]} at the last layer, {layer}"


def _removed(compared: Compared) -> list[str]:
    """What matching removes."""
    if compared.matched is None:
        return []
    after = {(each.read, each.layer): differs(each) for each in compared.matched.levels}
    gone = [each for each in compared.every.levels if differs(each) and not after[each.read, each.layer]]
    before = sum(differs(each) for each in compared.every.levels)
    said = f"Before matching, {before} of {len(after)} places differ, after it {sum(after.values())}"
    if gone:
        layers = [str(layer) for layer in sorted({each.layer for each in gone})]
        said += (
            f"; what goes is at layer{'s' if len(layers) > 1 else ''} {listed(layers)}, with the length and kind that "
            "are matched, or for want of answers"
        )
    return [f"{said}."]


def _alike(compared: Compared) -> list[str]:
    said = []
    below = [each for each in compared.across if each.exchanged.q < ALPHA]
    stream = [each.cka.value for each in compared.across if each.read == "residual" and each.cka.value is not None]
    if stream:
        said.append(
            f"Over the pairs, the residual streams of faithful and of hallucinated answers are arranged alike with CKA "
            f"{decimal(min(stream), 2)} to {decimal(max(stream), 2)}, by layer. Where the two of a pair are exchanged "
            f"at random it is higher at {len(below)} of {len(compared.across)} places of all reads"
            + (f", by {decimal(_largest_gap(below), 3)} at most." if below else ".")
        )
    steps = changed(compared.adjacent)
    if compared.adjacent:
        text = f"From a layer to the next, the kinds differ at {len(steps)} of {len(compared.adjacent)} steps"
        if steps:
            most = steps[0]
            text += (
                f", most in the {NAMES[most.read]} of layer {most.layer} to {most.layer + 1}: CKA "
                f"{estimate(most.hallucinated)} within hallucinated answers, {estimate(most.faithful)} within "
                f"faithful ones (difference {difference(most.difference)}; {_range(most.against.null)} where pairs are "
                "exchanged)"
            )
        said.append(f"{text}.")
    return said


def _largest_gap(below: Sequence[Across]) -> float:
    return max((each.exchanged.null.mean or 0.0) - (each.cka.value or 0.0) for each in below)


def _range(null: Null) -> str:
    return spread(null.low, null.high)
