"""What this part shows, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.layers.concepts.record import Concept, Concepts, Moved, Reading
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.concepts.reading import (
    baseline_of,
    moves,
    pictured_set,
    pictures,
    readings,
    removals,
    selectivities,
    set_names,
)
from hneurons.report.numbers import counted, decimal, difference, estimate, listed, signed


def headlines(found: Concepts) -> list[str]:
    """What matters most, for whoever reads no further."""
    return [each for each in (selectivity_sentence(found), removal_sentence(found)) if each]


def sentences(found: Concepts) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    told = [
        selectivity_sentence(found),
        outside_sentence(found),
        means_sentence(found),
        removal_sentence(found),
        steering_sentence(found),
    ]
    told += [f"{what.capitalize()} left out: {why}." for what, why in found.missing.items()]
    return [each for each in told if each]


def probe_sentence(found: Concepts) -> str:
    """How well either concept is told by the logistic probe of its best layer."""
    return " ".join(_told(found, concept) for concept in ("factuality", "uncertainty"))


def _told(found: Concepts, concept: Concept) -> str:
    layer = found.best[concept]
    own = [readings(found, concept, "logistic", name)[layer] for name in set_names(found)]
    figures = [
        f"{estimate(each.auroc)} on {each.eval_set}{_spread(each)}" for each in own if each.auroc.value is not None
    ]
    undefined = [each.eval_set for each in own if each.auroc.value is None]
    words = f"{concept.capitalize()} is read after layer {layer}, where AUROC on held-out training questions is highest"
    words += f"; AUROC is {listed(figures)}." if figures else "."
    return f"{words} On {listed(undefined)} all answers are of one kind." if undefined else words


def _spread(each: Reading) -> str:
    band = each.permuted
    return "" if band is None else f" (permuted labels {decimal(band.low, 2)} to {decimal(band.high, 2)})"


def selectivity_sentence(found: Concepts) -> str:
    """Whether the probe does better on factuality than on labels without meaning."""
    layer = found.best["factuality"]
    own = [selectivities(found, "factuality", name)[layer] for name in set_names(found)]
    asked = [each for each in own if each.selectivity.value is not None]
    if not asked:
        return "Control tasks could not be asked: no evaluation set has answers of types that were trained on."
    figures = [f"{difference(each.selectivity)} on {each.eval_set}" for each in asked]
    below = [each for each in asked if each.selectivity.high is not None and each.selectivity.high < 0]
    above = [each for each in asked if each.selectivity.low is not None and each.selectivity.low > 0]
    if len(below) == len(asked):
        verdict = (
            "the same probe learns labels that were dealt at random to types of answers BETTER than factuality, so its "
            "accuracy by itself does not show that factuality has a direction of its own"
        )
    elif len(above) == len(asked):
        verdict = "the probe does better on factuality than on labels dealt at random to types of answers"
    else:
        verdict = "the probe does not do better everywhere on factuality than on labels dealt at random to types"
    return (
        f"Selectivity in layer {layer} (accuracy for factuality less that of control tasks over "
        f"{counted(found.n_types, 'type')}) is {listed(figures)}: {verdict}."
    )


def outside_sentence(found: Concepts) -> str:
    """What the question gives away by itself."""
    asked = [baseline_of(found, "factuality", name) for name in set_names(found)]
    asked = [each for each in asked if each.auroc.value is not None]
    figures = [
        f"{decimal(each.auroc.value)} on {each.eval_set} (the probe's gain {difference(each.gain)})" for each in asked
    ]
    if not figures:
        return ""
    return f"Kind of question and lengths alone tell factual answers with an AUROC of {listed(figures)}."


def means_sentence(found: Concepts) -> str:
    """How far the difference of means carries, which is the direction to steer along."""
    layer = found.best["factuality"]
    fitted = {each.how: each for each in found.fitted if (each.concept, each.layer) == ("factuality", layer)}
    own = [readings(found, "factuality", "means", name)[layer] for name in set_names(found)]
    figures = [f"{estimate(each.auroc)} on {each.eval_set}" for each in own if each.auroc.value is not None]
    if not figures:
        return ""
    return (
        f"The difference of means in the same layer reaches {decimal(fitted['means'].auroc)} on held-out training "
        f"questions (the logistic probe {decimal(fitted['logistic'].auroc)}) and {listed(figures)}: training answers "
        "are those that never changed over samples, evaluation answers are not chosen so."
    )


def angle_sentence(found: Concepts) -> str:
    """Whether the directions are one, none of each other's business, or what their labels make them."""
    layer = found.best["factuality"]
    each = found.angles[layer]
    value = each.cosine.value
    if value is None:
        return f"The cosine in layer {layer} is not defined: {each.cosine.reason}."
    if each.together.low <= value <= each.together.high:
        verdict = "no more than the overlap of the labels gives by itself"
    elif value < each.together.low:
        verdict = "more opposed than the overlap of the labels gives by itself"
    else:
        verdict = "less opposed than the overlap of the labels gives by itself"
    return (
        f"In layer {layer} the directions have a cosine of {estimate(each.cosine)} (permuted labels "
        f"{decimal(each.independent.low, 2)} to {decimal(each.independent.high, 2)}; permuted together, so that they "
        f"correlate at {signed(found.label_correlation, 2)} as they do, {decimal(each.together.low, 2)} to "
        f"{decimal(each.together.high, 2)}): {verdict}. The logistic directions: {decimal(each.logistic, 2)}."
    )


def removal_sentence(found: Concepts) -> str:
    """Whether factuality survives without uncertainty, on the set with most answers."""
    name = pictured_set(found)
    if name is None:
        return ""
    each = removals(found, name)[found.best["factuality"]]
    if each.refit.value is None or each.within.value is None:
        return ""
    beyond = _above(each.within_gain) and each.within.low is not None and each.within.low > 0.5
    control = each.refit_control
    spread = "" if control is None else f", with directions of permuted labels instead {decimal(control.mean)}"
    return (
        f"On {name}, with the uncertainty direction projected out of layer {each.layer} a refitted probe tells factual "
        f"answers with an AUROC of {estimate(each.refit)} (before {estimate(each.refit_before)}{spread}). Among "
        "answers of like entropy the probe reaches "
        f"{estimate(each.within)} (kind of question and lengths {estimate(each.outside_within)}, the probe's gain "
        f"{difference(each.within_gain)}; entropy itself {estimate(each.entropy_within)}), so it "
        f"{'tells something' if beyond else 'is NOT shown to tell anything'} that entropy and question do not; "
        f"over all answers entropy alone reaches {estimate(each.entropy)}."
    )


def picture_sentence(found: Concepts) -> str:
    """What the pictures may not say."""
    name = pictured_set(found)
    if name is None:
        return ""
    parts = []
    for how, label in (("pca", "PCA"), ("umap", "UMAP")):
        own = pictures(found, how, name)
        if own:
            best = max(own, key=lambda each: each.flat.purity.value or 0.0)
            parts.append(
                f"{label} keeps at most {decimal(best.flat.purity.value, 2)} neighbours of one's own kind (layer "
                f"{best.layer}; {decimal(best.full.purity.value, 2)} in all dimensions, by chance "
                f"{decimal(best.flat.purity_permuted.high, 2)} at most), silhouette {decimal(best.flat.silhouette, 2)}"
            )
    n = pictures(found, "pca", name)[0].n
    return (
        f"{counted(n, 'answer')} of {name}, laid out by what was fitted on training answers. {'; '.join(parts)}: "
        "the two kinds overlap far more than probes suggest where such numbers are near a half and near 0."
    )


def steering_sentence(found: Concepts) -> str:
    """What it does to add the direction, beside directions of permuted labels of the same length."""
    own = moves(found, "permuted")
    if found.steering is None or not own:
        return ""
    forward = [each for each in own if each.strength > 0]
    backward = [each for each in own if each.strength < 0]
    layer = min(forward, key=lambda each: abs(each.layer - found.best["factuality"])).layer
    chosen = _move(forward, layer)
    last = max(chosen.reading)
    signs = all(_last(each) > 0 for each in forward) and all(_last(each) < 0 for each in backward)
    moved = (
        "moves its own reading after the last layer as the sign says, from every layer"
        if signs
        else "does NOT move its own reading after the last layer as the sign says from every layer"
    )
    better = [each.layer for each in forward if _above(each.log_prob.difference)]
    raises = [each.layer for each in forward if _above(each.log_prob.value)]
    parts = [
        f"Adding {decimal(chosen.strength, 0)} deviations towards factual where answers of "
        f"{found.steering.eval_set} are made {moved} (added after layer {layer}: "
        f"{signed(chosen.reading[last].value.value, 2)} deviations)",
        f"the log-probability of right answers changes by {difference(chosen.log_prob.value)} nats a token there, less "
        f"that of {found.steering.n_draws} directions of permuted labels {difference(chosen.log_prob.difference)}; "
        f"entropy by {difference(chosen.entropy.value)}",
        f"it raises right answers above 0 in {_layers(raises)} and above those directions in {_layers(better)}",
    ]
    if chosen.correct is not None:
        parts.append(
            f"where wrong answers turned wrong, the right token changes by {difference(chosen.correct.value)} "
            f"({counted(found.steering.n_forks, 'answer')})"
        )
    return f"{'; '.join(parts)}."


def _above(figure: Estimate) -> bool:
    return figure.low is not None and figure.low > 0


def _layers(layers: Sequence[int]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {listed([str(each) for each in layers])}" if layers else "no layer"


def _move(own: Sequence[Moved], layer: int) -> Moved:
    return next(each for each in own if each.layer == layer)


def _last(each: Moved) -> float:
    return each.reading[max(each.reading)].value.value or 0.0
