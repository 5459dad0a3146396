"""What the checkpoints of a training run show: how near weights are to their last state, and all of it in sentences.

The H-Neurons were found in the tuned model. Whether they told anything before there was one, and when their weights
came to rest, is read off the models along the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int

from hneurons.errors import ProbeError
from hneurons.origins.drift import Distances, ranks, scores
from hneurons.origins.record import Checkpoint, DriftToLast
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.controls import Band, band, draw_neurons
from hneurons.probes.labels import Neuron, flat
from hneurons.probes.names import RANDOM, REFIT

DRAWS = 200
"""Sets of other neurons that the H-Neurons' distance is held against."""

_NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)")


def natural(value: str) -> tuple[bool, float, str]:
    """Sorting key: by the leading number ("5-10" before "20-50"), what has none behind, by its letters."""
    found = _NUMBER.match(value)
    return found is None, float(found[1]) if found else 0.0, value


def drift_to_last(
    found: Distances, hneurons: Sequence[Neuron], *, draws: int = DRAWS, resamples: int = 2000, seed: int = 0
) -> DriftToLast:
    """How far a checkpoint's H-Neurons are from their weights in the last one, beside other neurons.

    Args:
        found: distances from the checkpoint to the last.
        hneurons: (layer, index) of each.
        draws: sets of other neurons, of each kind.
        resamples: of the H-Neurons, for the interval of their mean.
        seed: of draws and resamples.
    """
    n_neurons = found.up.shape[1]
    each: Float64[np.ndarray, " neurons"] = ((found.up + found.down) / 2).ravel()
    chosen = flat(hneurons, n_neurons)
    mean_rank = None
    if len(chosen) and each.any():  # where nothing has moved, all ranks are ties
        mean_rank = float(ranks(scores(found, "up+down")).ravel()[chosen].mean())
    return DriftToLast(
        hneurons=_mean(each[chosen], resamples, seed),
        random=_drawn(each, chosen, n_neurons, draws, seed, layer_matched=False),
        matched=_drawn(each, chosen, n_neurons, draws, seed, layer_matched=True),
        mean_rank=mean_rank,
    )


def _mean(values: Float64[np.ndarray, " chosen"], resamples: int, seed: int) -> Estimate:
    """The mean over neurons, with its interval over resampled neurons."""
    if not len(values):
        return Estimate(value=None, low=None, high=None, reason="the probe has no H-Neuron")
    if len(values) == 1:
        return Estimate(value=float(values[0]), low=None, high=None, reason="a single H-Neuron; no interval")
    bootstrap = Bootstrap(np.arange(len(values)), resamples=resamples, seed=seed)
    return bootstrap.interval(float(values.mean()), bootstrap.totals(values[:, None])[:, 0] / len(values))


def _drawn(
    each: Float64[np.ndarray, " neurons"],
    chosen: Int[np.ndarray, " chosen"],
    n_neurons: int,
    draws: int,
    seed: int,
    *,
    layer_matched: bool,
) -> Band:
    try:
        drawn = draw_neurons(chosen, len(each), n_neurons, draws=draws, layer_matched=layer_matched, seed=seed)
    except ProbeError as error:
        return band([], str(error))
    return band([float(each[neurons].mean()) for neurons in drawn])


def sentences(checkpoints: Sequence[Checkpoint], by: str | None) -> tuple[str, ...]:
    """What the checkpoints show, also where that is nothing.

    Args:
        checkpoints: by step, at least one.
        by: the field of the strata.
    """
    return (*_accuracy(checkpoints, by), _detection(checkpoints), _settling(checkpoints))


def _accuracy(checkpoints: Sequence[Checkpoint], by: str | None) -> list[str]:
    """When accuracy passes half of what it comes to, where most and where least of the field is."""
    values = [stratum.value for stratum in checkpoints[-1].strata]
    if not values or by is None:
        first = checkpoints[-1].asked[0].eval_set
        return [_half(f"on {first}", checkpoints, lambda each: each.asked[0].accuracy)[0]]
    said, steps = [], []
    for value in dict.fromkeys((values[-1], values[0])):
        sentence, step = _half(f"where {by} is {value}", checkpoints, _of_stratum(value))
        said.append(sentence)
        steps.append(step)
    if len(values) > 1 and None not in steps:
        most, least = (int(step) for step in steps if step is not None)
        what = (
            f"{least - most:,} steps before"
            if most < least
            else f"{most - least:,} steps AFTER"
            if most > least
            else "at the same step as"
        )
        said.append(f"Where {by} is {values[-1]}, half of the final accuracy is passed {what} where it is {values[0]}.")
    return said


def _of_stratum(value: str) -> Callable[[Checkpoint], Estimate]:
    def find(checkpoint: Checkpoint) -> Estimate:
        return next(stratum.accuracy for stratum in checkpoint.strata if stratum.value == value)

    return find


def _half(
    where: str, checkpoints: Sequence[Checkpoint], accuracy: Callable[[Checkpoint], Estimate]
) -> tuple[str, int | None]:
    """The sentence, and the first step at which accuracy is half of the last one or more."""
    last = accuracy(checkpoints[-1])
    final = last.value
    if final is None:
        return f"Accuracy {where} is not defined ({last.reason}).", None
    if not final:
        return f"Accuracy {where} is 0 at the last step, {checkpoints[-1].step:,}.", None
    place = next(i for i, each in enumerate(checkpoints) if (accuracy(each).value or 0.0) >= final / 2)
    reached = accuracy(checkpoints[place]).value or 0.0
    end = f"{_percent(final)}{_interval(last, _percent)} at step {checkpoints[-1].step:,}"
    step = checkpoints[place].step
    if place == 0:
        return f"Accuracy {where} comes to {end}; half of that it has from the first checkpoint, step {step:,}.", step
    return f"Accuracy {where} comes to {end}, and passes half of that at step {step:,} ({_percent(reached)}).", step


def _detection(checkpoints: Sequence[Checkpoint]) -> str:
    """From which step on the H-Neurons tell more than random neurons, on the first set."""
    first = checkpoints[-1].asked[0].eval_set
    rows = [(each.step, *_auroc(each, first)) for each in checkpoints]
    reason = next((ours.reason for _, ours, _ in reversed(rows) if ours.value is None), "")
    known = [
        (step, ours.value, drawn.low, drawn.high)
        for step, ours, drawn in rows
        if ours.value is not None and drawn.low is not None and drawn.high is not None
    ]
    what = f"On {first}, the H-Neurons' AUROC (refit)"
    if not known:
        return f"{what} cannot be held against random neurons' at any checkpoint ({reason or 'no draws'})."
    above = [value > high for _, value, _, high in known]
    since = len(above) - next((i for i, each in enumerate(reversed(above)) if not each), len(above))
    drawn = "the interval of the draws of as many random neurons"
    missing = [step for step, *_ in rows if step not in {step for step, *_ in known}]
    undefined = f" At step {_steps(missing)} it is not defined." if missing else ""
    at_end = _against(known[-1])
    if since < len(known):
        begin = "" if since == len(known) - 1 else f"{_against(known[since])}, "
        earlier = [step for (step, *_), up in zip(known[:since], above[:since], strict=True) if up]
        before = f" It is above at step {_steps(earlier)} too, but falls back in between." if earlier else ""
        return f"{what} lies above {drawn} from step {known[since][0]:,} on ({begin}{at_end}).{before}{undefined}"
    if any(above):
        steps = [step for (step, *_), up in zip(known, above, strict=True) if up]
        return f"{what} lies above {drawn} at step {_steps(steps)}, but NOT at the end ({at_end}).{undefined}"
    return f"{what} lies above {drawn} at NONE of {len(known)} checkpoints ({at_end}).{undefined}"


def _auroc(checkpoint: Checkpoint, eval_set: str) -> tuple[Estimate, Band]:
    none = Estimate(value=None, low=None, high=None, reason="not measured")
    figures = (each.auroc for each in checkpoint.figures if (each.eval_set, each.detector) == (eval_set, REFIT))
    controls = (each.auroc for each in checkpoint.controls if (each.eval_set, each.control) == (eval_set, RANDOM))
    return next(figures, none), next(controls, band([]))


def _against(row: tuple[int, float, float, float]) -> str:
    step, value, low, high = row
    return f"{value:.3f} against {low:.3f} to {high:.3f} at step {step:,}"


def _settling(checkpoints: Sequence[Checkpoint]) -> str:
    """Whether the H-Neurons' weights come near their last state before those of neurons of the same layers do."""
    if len(checkpoints) < 2:
        return "There is no checkpoint before the last, so how weights settle is not known."
    before = [(each.step, each.drift) for each in checkpoints[:-1] if each.drift is not None]
    if not before:
        return "How weights settle is not known: no checkpoint before the last could be compared with it."
    missing = [each.step for each in checkpoints[:-1] if each.drift is None]
    not_all = f" At step {_steps(missing)} it could not be measured." if missing else ""
    known = [
        (step, drift.hneurons.value, drift.matched.low, drift.matched.high)
        for step, drift in before
        if drift.hneurons.value is not None and drift.matched.low is not None and drift.matched.high is not None
    ]
    if not known:
        drift = before[-1][1]
        return f"How weights settle cannot be compared ({drift.hneurons.reason or drift.matched.reason})."
    nearer = [step for step, value, low, _ in known if value < low]
    further = [step for step, value, _, high in known if value > high]
    n = len(known)
    if not nearer and not further:
        return (
            "The H-Neurons' weights settle NEITHER earlier nor later than those of random neurons of the same layers: "
            f"at all of {n} checkpoints before the last their distance to it is within the interval of the draws."
            f"{not_all}"
        )
    parts = [
        f"{word} the interval of the draws at {len(steps)} of {n} checkpoints (step {_steps(steps)})"
        for word, steps in (("below", nearer), ("above", further))
        if steps
    ]
    verdict = (
        "settle earlier than"
        if len(nearer) > n / 2 and not further
        else "settle later than"
        if len(further) > n / 2 and not nearer
        else "settle NEITHER clearly earlier nor later than"
    )
    return (
        f"The H-Neurons' weights {verdict} those of random neurons of the same layers: their distance to the last "
        f"checkpoint is {' and '.join(parts)}.{not_all}"
    )


def _steps(steps: Sequence[int]) -> str:
    """0, 50 and 1,000."""
    words = [f"{step:,}" for step in steps]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _interval(figure: Estimate, form: Callable[[float], str]) -> str:
    return "" if figure.low is None or figure.high is None else f" [{form(figure.low)}, {form(figure.high)}]"
