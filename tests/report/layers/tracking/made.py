"""A made-up record of tracking, complete."""

from __future__ import annotations

from tests.layers.tracking.made import made_set
from tests.layers.tracking.test_drift import benchmark, case, drifted

from hneurons.layers.tracking.drift import drift
from hneurons.layers.tracking.record import LensFit, Tracking
from hneurons.probes.bootstrap import Estimate


def curve(n: int, start: float) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(value=start * (n - 1 - d), low=start * (n - 1 - d) - 0.1, high=start * (n - 1 - d) + 0.1)
        for d in range(n)
    )


def made(layers: int = 6) -> Tracking:
    depths = layers + 1
    fit = LensFit(
        n_answers=20, n_tokens=300, steps=60, start="ridge", n_held_out=10, n_held_out_tokens=150,
        logit=curve(depths, 1.0), tuned=curve(depths, 0.5), gain=curve(depths, 0.5),
    )  # fmt: skip
    return Tracking(
        n_layers=layers,
        residual=0.0,
        fit=fit,
        sets=(
            made_set(80, depths).found("first"),
            made_set(40, depths, 1).found("second <b>", "first"),
            made_set(20, depths, one_kind=True).found("third"),
        ),
        drifts=(
            drift(benchmark([case(0)]), drifted(60, depths), layers, 0, resamples=100, seed=0),
            drift(benchmark([case(0)]), drifted(30, depths, wordings=False, seed=2), layers, 3, resamples=100, seed=0),
        ),
        missing={"falseqa": "0 of its cases have a neutral twin, and 10 are needed"},
    )
