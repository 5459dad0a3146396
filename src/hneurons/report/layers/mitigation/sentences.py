"""What this part shows, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.layers.mitigation.record import Draws, MethodFound, Mitigation
from hneurons.probes.bootstrap import Estimate
from hneurons.report.numbers import counted, listed, percent_estimate, points, points_estimate, points_spread, times

NOTHING = 1e-9


def headlines(found: Mitigation) -> list[str]:
    """What matters most, for whoever reads no further."""
    return [*_helps(found), *_fails(found)]


def sentences(found: Mitigation) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    said = [_terms(found), *_helps(found), *_fails(found), *_yields(found), *_controls(found), *_depth(found)]
    said += _prices(found)
    said += [f"{name} could not be had: {reason}." for name, reason in found.missing.items()]
    return said


def moves(change: Estimate) -> int:
    """-1 or 1 where an interval lies below or above zero, else 0."""
    if change.low is None or change.high is None:
        return 0
    return -1 if change.high < 0 else 1 if change.low > 0 else 0


def _terms(found: Mitigation) -> str:
    intact = found.methods[0]
    sets = listed([f"{count} of {name}" for name, count in found.questions.items()])
    return (
        f"{counted(len(found.methods) - 1, 'method')} and the unchanged model were asked the same "
        f"{counted(sum(found.questions.values()), 'question')} ({sets}), whatever became of them before, greedily. "
        f"Unchanged, the model hallucinates on {percent_estimate(intact.hallucinated.value)} of them, is right on "
        f"{percent_estimate(intact.correct.value)} and declines the rest. Settings were chosen on "
        f"{counted(found.tuned_on, 'held-out training question')}: {found.rule}."
    )


def _helps(found: Mitigation) -> list[str]:
    """Methods under which hallucinations fall beyond the interval, the strongest first, and what they cost."""
    helping = [each for each in found.methods[1:] if moves(each.hallucinated.change) < 0]
    helping.sort(key=lambda each: each.hallucinated.change.value or 0.0)
    if not helping:
        return ["No method lowers the share of hallucinated answers beyond its interval."]
    return [
        f"{each.name} ({each.setting}) lowers hallucinated answers by {_by(each.hallucinated.change)} points, and "
        f"{_costs(each)}."
        for each in helping
    ]


def _costs(each: MethodFound) -> str:
    parts = []
    for name, change in (("right answers", each.correct.change), ("known questions right", each.known.change)):
        word = {-1: "lowers", 1: "raises", 0: "leaves"}[moves(change)]
        within = "within their interval " if word == "leaves" else ""
        parts.append(f"{word} {name} {within}({points_estimate(change)})")
    return " and ".join(parts)


def _by(change: Estimate) -> str:
    """2.5 [0.5, 5.0]: a fall, without its sign."""
    if change.value is None or change.low is None or change.high is None:
        return points_estimate(change)
    return f"{-100 * change.value:.1f} [{-100 * change.high:.1f}, {-100 * change.low:.1f}]"


def _fails(found: Mitigation) -> list[str]:
    """Methods that raise hallucinations, and those that do nothing that can be seen."""
    said = []
    worse = [each for each in found.methods[1:] if moves(each.hallucinated.change) > 0]
    if worse:
        told = [f"{each.name} ({points_estimate(each.hallucinated.change)})" for each in worse]
        said.append(f"Beyond their intervals more answers are hallucinated under {listed(told)}, in points.")
    still = [each for each in found.methods[1:] if not moves(each.hallucinated.change)]
    if still:
        told = [f"{each.name} ({points_estimate(each.hallucinated.change)})" for each in still]
        said.append(f"Within their intervals nothing changes in hallucinated answers under {listed(told)}, in points.")
    return said


def _yields(found: Mitigation) -> list[str]:
    """Methods under which the model yields more, or less, to what misleads."""
    told = [
        f"{each.name} ({points_estimate(each.compliance.change)})"
        for each in found.methods[1:]
        if each.compliance is not None and moves(each.compliance.change)
    ]
    if not found.cases:
        return []
    return [f"Compliance changes beyond its interval under {listed(told) if told else 'no method'}, in points."]


def _controls(found: Mitigation) -> list[str]:
    said = []
    for control in found.controls:
        method = next((each for each in found.methods if each.name == control.method), None)
        if method is None or method.hallucinated.change.value is None:
            continue
        low, high = min(control.hallucinated), max(control.hallucinated)
        change = method.hallucinated.change.value
        beyond = change < low - NOTHING
        n = len(control.hallucinated)
        said.append(
            f"Control for {control.method}, {n} draws: {control.what} give {points_spread(low, high)} points of "
            f"hallucinated answers, where the method has {points(change)}: {'beyond' if beyond else 'NOT beyond'} "
            f"all of them{_other(method, control)}."
        )
    return said


def _other(method: MethodFound, control: Draws) -> str:
    """What the control says of right answers, where it and the method are both known."""
    if method.correct.change.value is None:
        return ""
    low, high = min(control.correct), max(control.correct)
    return f" (right answers {points(method.correct.change.value)} against {points_spread(low, high)})"


def _depth(found: Mitigation) -> list[str]:
    if not found.steering or found.depths is None:
        return []
    depths = found.depths
    word = {-1: "Yes", 1: "No, on the contrary", 0: "That cannot be told"}[moves(depths.hallucinated)]
    own = [each for each in found.steering if moves(each.hallucinated) < 0]
    beyond = [
        each
        for each in found.steering
        if each.hallucinated.value is not None and each.hallucinated.value < min(each.random_hallucinated) - NOTHING
    ]
    return [
        f"Is the middle of the model a better place to steer than its end? {word}: steered by "
        f"{found.steering[0].strength:g} of the stream's length, the mean change in hallucinated answers over layers "
        f"{_layers(depths.middle)} less that over layers {_layers(depths.end)} is "
        f"{points_estimate(depths.hallucinated)} points, in right answers {points_estimate(depths.correct)}. "
        f"Hallucinations fall beyond the interval in {_some(own)}, and further than under every random direction in "
        f"{_some(beyond)}."
    ]


def _some(layers: Sequence[object]) -> str:
    found = [getattr(each, "layer", None) for each in layers]
    if not found:
        return "no layer"
    return f"layer {found[0]}" if len(found) == 1 else f"layers {listed([str(each) for each in found])}"


def _layers(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _prices(found: Mitigation) -> list[str]:
    dear = [each for each in found.methods[1:] if each.price.tokens > 1.05 or each.price.unembeddings > 1.05]
    if not dear:
        return []
    told = [
        f"{each.name} {times(each.price.tokens, 2)} the tokens through the layers, {times(each.price.unembeddings, 2)} "
        f"through the unembedding (about {times(each.price.seconds, 1)} the time here)"
        for each in dear
    ]
    return [f"For each token generated, {'; '.join(told)}; all others pass within 5% of what the unchanged model does."]
