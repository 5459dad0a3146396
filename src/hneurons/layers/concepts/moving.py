"""What it does to add the factuality direction after a layer: to its own reading further on, and to what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float64

from hneurons.layers.concepts.cases import Cases, Read, Reader
from hneurons.layers.concepts.controls import band
from hneurons.layers.concepts.directions import Directions
from hneurons.layers.concepts.record import Effect, Moved, Steering
from hneurons.probes.bootstrap import Bootstrap

STRENGTH = 2.0
"""Deviations of the training states along the direction that are added, and taken off."""
N_DRAWS = 8
"""Control directions of either kind: random ones, and differences of means under permuted labels."""


def control_directions(
    directions: Directions, permuted: Float64[np.ndarray, "draws hidden"], layer: int, *, seed: int = 0
) -> dict[str, Float64[np.ndarray, "_ hidden"]]:
    """Unit vectors to hold a layer's direction against: Gaussian ones, and `permuted` (differences of means)."""
    random = np.random.default_rng((seed, layer)).normal(size=(N_DRAWS, directions.card.model.hidden_size))
    return {
        "random": random / np.linalg.norm(random, axis=1, keepdims=True),
        "permuted": permuted / np.linalg.norm(permuted, axis=1, keepdims=True),
    }


def move_layer(
    reader: Reader,
    directions: Directions,
    layer: int,
    controls: Mapping[str, Float64[np.ndarray, "_ hidden"]],
    *,
    strength: float = STRENGTH,
) -> Read:
    """Cases read with the factuality direction of a layer added and taken off, and with each control added.

    Returns:
        What `Reader.read` does, with a first axis of variants: forward, backward, then the controls in their order.
    """
    length = strength * directions.scale("factuality", layer)
    unit = directions.direction("factuality", layer)
    variants = [length * unit, -length * unit]
    variants += [length * torch.from_numpy(each) for draws in controls.values() for each in draws]
    read = [reader.read(layer, variant) for variant in variants]
    return {name: np.stack([each[name] for each in read]) for name in read[0]}


def moved(
    cases: Cases,
    directions: Directions,
    layer: int,
    untouched: Mapping[str, np.ndarray],
    steered: Mapping[str, np.ndarray],
    controls: Mapping[str, int],
    *,
    strength: float = STRENGTH,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Moved]:
    """Mean changes with intervals over groups, forward and backward, each beside each kind of control.

    Args:
        cases: what was read.
        directions: by which.
        layer: where.
        untouched: of `Reader.read` without anything added, along the differences of means for factuality.
        steered: of `move_layer`.
        controls: how many directions of each kind, in the order in which they were added.
        strength: how much was added, in deviations.
        resamples, seed: of the intervals.
    """
    scales = [directions.scale("factuality", each) for each in range(directions.card.model.n_layers)]
    changes = {name: steered[name] - untouched[name][None] for name in steered}
    changes["along"] = changes["along"] / np.array(scales)
    groups, found = np.array(cases.groups), []
    boots = {
        role: Bootstrap(groups[rows], resamples=resamples, seed=seed)
        for role in ("right", "correct", "given")
        if len(rows := cases.rows(role))
    }

    def effect(values: np.ndarray, role: str, variant: int, taken: slice) -> Effect | None:
        if role not in boots:
            return None
        own = values[:, cases.rows(role)]
        control = own[taken]
        return Effect(
            value=boots[role].mean(own[variant]),
            control=band(control.mean(axis=1)),
            difference=boots[role].mean(own[variant] - control.mean(axis=0)),
        )

    def certain(values: np.ndarray, role: str, variant: int, taken: slice) -> Effect:
        made = effect(values, role, variant, taken)
        assert made is not None  # `make_cases` sees to it that there are right answers
        return made

    for variant, sign in enumerate((1, -1)):
        start = 2
        for kind, count in controls.items():
            taken = slice(start, start + count)
            start += count
            found.append(
                Moved(
                    layer=layer,
                    strength=sign * strength,
                    control=kind,  # type: ignore[arg-type]
                    reading={
                        later: certain(changes["along"][..., later], "right", variant, taken)
                        for later in range(layer, len(scales))
                    },
                    log_prob=certain(changes["log_prob"], "right", variant, taken),
                    entropy=certain(changes["entropy"], "right", variant, taken),
                    correct=effect(changes["log_prob"], "correct", variant, taken),
                    given=effect(changes["log_prob"], "given", variant, taken),
                )
            )
    return found


def steering(eval_set: str, cases: Cases, moves: Sequence[Moved]) -> Steering:
    """All layers of one set."""
    counts = {role: len(cases.rows(role)) for role in ("right", "correct")}
    return Steering(
        eval_set=eval_set,
        n_faithful=counts["right"],
        n_forks=counts["correct"],
        n_draws=N_DRAWS,
        moved=tuple(moves),
    )
