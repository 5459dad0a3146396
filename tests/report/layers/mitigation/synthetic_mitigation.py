"""An invented comparison: one method that helps, one that harms, one that cannot be told, one without perplexity."""

from __future__ import annotations

from typing import Any

from hneurons.layers.mitigation.record import Depths, Draws, Measure, MethodFound, Mitigation, Price, Steered, Tried
from hneurons.probes.bootstrap import Estimate

NONE = Estimate(value=None, low=None, high=None, reason="gives some token no probability in 5 of 9 passages")


def around(value: float, half: float = 0.02) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def measure(value: float, change: float, half: float = 0.02) -> Measure:
    half = half if change else 0.0
    return Measure(value=around(value), change=around(change, half))


def method(name: str, kind: Any, hallucinated: float, correct: float, **other: Any) -> MethodFound:
    values: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "setting": "" if kind == "unchanged" else "alpha 0",
        "tuned": False,
        "correct": measure(0.4 + correct, correct),
        "hallucinated": measure(0.35 + hallucinated, hallucinated),
        "refused": measure(0.25 - correct - hallucinated, -correct - hallucinated),
        "by_set": {"in-domain": measure(0.3, hallucinated), "invented": measure(0.6, hallucinated / 2)},
        "compliance": measure(0.5, hallucinated / 3),
        "by_benchmark": {"toy/context": measure(0.5, hallucinated / 3)},
        "unparsed": 0.01,
        "known": measure(0.95, correct / 2),
        "perplexity": around(1.0 + abs(correct)),
        "altered": abs(hallucinated),
        "cut_off": 0.0,
        "price": Price(tokens=1.0, unembeddings=1.0, seconds=1.0, seconds_low=0.9, seconds_high=1.1),
        "frontier": False,
    }
    return MethodFound(**{**values, **other})


def make_mitigation(**changes: Any) -> Mitigation:
    dear = Price(tokens=1.98, unembeddings=2.02, seconds=1.9, seconds_low=1.7, seconds_high=2.3)
    values: dict[str, Any] = {
        "methods": (
            method("Unchanged", "unchanged", 0.0, 0.0),
            method("Helper", "scaling", -0.1, 0.01, frontier=True),
            method("Twin", "scaling", -0.101, 0.01),
            method("Harm", "steering", 0.08, -0.09, price=dear),
            method("Nothing <b>", "contrast", 0.01, 0.0, perplexity=NONE),
        ),
        "controls": (
            Draws(
                method="Helper",
                what="as many random neurons",
                hallucinated=(-0.02, 0.01),
                correct=(0.0, -0.01),
                known=(0.0, 0.0),
                compliance=(),
            ),
            Draws(
                method="Harm",
                what="random directions",
                hallucinated=(0.05, 0.09),
                correct=(-0.05, -0.1),
                known=(),
                compliance=(0.1, 0.2),
            ),
        ),
        "steering": tuple(
            Steered(
                layer=layer,
                strength=0.2,
                correct=around(-0.01 * layer),
                hallucinated=around(-0.1 + 0.03 * layer),
                refused=around(0.1 - 0.02 * layer),
                random_correct=(0.0, 0.01),
                random_hallucinated=(-0.01, 0.02),
            )
            for layer in range(6)
        ),
        "depths": Depths(middle=(2, 3), end=(4, 5), hallucinated=around(-0.06), correct=around(0.02, 0.03)),
        "tried": (Tried(method="Helper", setting="alpha 0", correct=0.6, hallucinated=0.2, chosen=True),),
        "tuned_on": 120,
        "rule": "fewest hallucinations",
        "questions": {"in-domain": 50, "invented": 50},
        "layered": 40,
        "known_questions": 60,
        "cases": {"toy/context": 30},
        "titles": {"toy/context": "False context"},
        "text": "plain English",
        "passages": 60,
        "text_tokens": 700,
        "missing": {"Gate": "no token score"},
    }
    return Mitigation(**{**values, **changes})
