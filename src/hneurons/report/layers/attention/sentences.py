"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.attention.record import Attention, Contrast, LayerShares, Share
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.attention.reading import (
    NAMES,
    contrasts,
    head_name,
    measured,
    share,
    sign,
    telling,
    texts,
)
from hneurons.report.numbers import counted, decimal, listed, percent, points_estimate


def headlines(found: Attention) -> list[str]:
    """What matters most, for whoever reads no further."""
    return [_focus(contrast) for contrast in contrasts(found)]


def sentences(found: Attention) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    said = []
    for contrast in contrasts(found):
        said += [_focus(contrast), _heads(contrast), _held_out(contrast)]
    switched = f", to which the model was switched from {found.before}," if found.used != found.before else ""
    said.append(
        f"Weights are those of the model's own {found.used} attention{switched} read at the positions that predict the "
        f"answer tokens of {_both_kinds(found)}; they say where information may come from, not that it is used."
    )
    said += [f"Left out: {reason}." for reason in found.missing.values()]
    return [each for each in said if each]


def _both_kinds(found: Attention) -> str:
    return ", and of ".join(
        f"{each.n_first} {each.first} and {each.n_second} {each.second} {texts(each)}" for each in contrasts(found)
    )


def _focus(contrast: Contrast) -> str:
    """Whether the second kind looks more at what the contrast is about."""
    name = telling(contrast)
    own = _share(contrast.whole, name)
    less = f"{contrast.second} less {contrast.first}"
    first = (
        f"{_lead(contrast)} {percent(own.first)} of the attention is on the {NAMES[name]} in {contrast.first} and "
        f"{percent(own.second)} in {contrast.second} {texts(contrast)}, where uniform attention would give "
        f"{percent(own.first_uniform)} and {percent(own.second_uniform)}. Over uniform the difference is "
        f"{points_estimate(own.lift)} points ({less}, 95% interval), that of the plain shares "
        f"{points_estimate(own.share)}: "
    )
    verdict = _verdict(name, own, contrast)
    layers = [
        f"{each.layer} ({points_estimate(_share(each, name).lift)})"
        for each in contrast.layers
        if _sign(_share(each, name).lift)
    ]
    looked = f"{counted(len(contrast.layers), 'layer')} looked at, not corrected"
    where = f" The lift's interval leaves out 0 in layer{'s' if len(layers) > 1 else ''} {listed(layers)} ({looked})."
    none = f" In no single layer does the lift's interval leave out 0 ({looked})."
    return first + verdict + (where if layers else none)


def _lead(contrast: Contrast) -> str:
    return "While an answer is decided," if contrast.name == "answers" else f"{contrast.title}:"


def _verdict(name: str, own: Share, contrast: Contrast) -> str:
    lift, plain = _sign(own.lift), _sign(own.share)
    many = f"{contrast.second} {texts(contrast)}"
    if lift and lift == plain:
        more = "more" if lift > 0 else "less"
        return f"in {many} the model looks {more} at the {NAMES[name]}, whatever its length."
    if lift or plain:
        return f"only one of the two leaves out 0, so that it may be the length of the {NAMES[name]} that differs."
    return f"no sign that it looks more, or less, at the {NAMES[name]} in {many}."


def _heads(contrast: Contrast) -> str:
    lift, plain = measured(contrast, "lift"), measured(contrast, "share")
    by_chance = max(lift.permuted, plain.permuted, key=lambda each: each.mean)
    entropy = measured(contrast, "entropy")
    return (
        f"Head by head, {contrast.n_both} of {counted(lift.n_tests, 'combination')} of head and segment differ in lift "
        f"and in share ({lift.n_different} in lift, {plain.n_different} in share; Benjamini–Hochberg, 5%); "
        f"with permuted labels it is {decimal(by_chance.mean, 2)} on average and at most {by_chance.most} "
        f"({by_chance.draws} permutations). How widely a head looks, its entropy, differs in {entropy.n_different} of "
        f"{counted(entropy.n_tests, 'head')}."
    )


def _held_out(contrast: Contrast) -> str:
    lift = measured(contrast, "lift")
    halves = lift.halves
    if halves is None:
        return f"Heads could not be held out: {lift.reason}."
    if not halves.n_chosen:
        return (
            f"On one half of the groups alone ({halves.n_choose} {texts(contrast)}) no head differs after correction, "
            "so that there is none to confirm on the other."
        )
    strongest = halves.heads[0]
    return (
        f"Chosen on one half of the groups and measured on the other, {halves.n_confirmed} of {halves.n_chosen} are "
        f"confirmed, and the differences keep {decimal(halves.kept, 2)} of the size by which they were chosen "
        f"(1 would be no winner's curse). The strongest is {head_name(strongest)} on the {NAMES[strongest.segment]}: "
        f"{points_estimate(strongest.held_out)} points on the half that did not choose it."
    )


def _share(layer: LayerShares, name: str) -> Share:
    own = share(layer, name)
    if own is None:
        raise KeyError(name)
    return own


def _sign(figure: Estimate) -> int:
    return sign(figure.low, figure.high)
