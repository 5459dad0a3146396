"""What it does to add the factuality direction after a layer: to its own reading further on, and to what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from hneurons.contributions import Item, Recording
from hneurons.contributions.recording import record
from hneurons.errors import NotEnoughDataError
from hneurons.interventions.steering import steer
from hneurons.layers.answered import Answered
from hneurons.layers.concepts.controls import band, mean_estimate
from hneurons.layers.concepts.directions import Directions
from hneurons.layers.concepts.record import Effect, Moved, Steering
from hneurons.models.language_model import LanguageModel
from hneurons.probes.bootstrap import Bootstrap

STRENGTH = 2.0
"""Deviations of the training states along the direction that are added, and taken off."""
N_DRAWS = 8
"""Control directions of either kind: random ones, and differences of means under permuted labels."""


@dataclass(frozen=True)
class Cases:
    """What is read while a model is steered: right answers as they were given, and tokens where wrong ones turned."""

    items: tuple[Item, ...]
    groups: tuple[str, ...]
    roles: tuple[str, ...]

    def rows(self, role: str) -> np.ndarray:
        """Numbers of the items of one role: "right" (answers), "correct" and "given" (the tokens of a fork)."""
        return np.flatnonzero([each == role for each in self.roles])


def make_cases(answered: Sequence[Answered]) -> Cases:
    """Faithful answers, and the two tokens at which hallucinated ones part from the right answer, where it is known.

    Raises:
        NotEnoughDataError: no faithful answer.
    """
    items, groups, roles = [], [], []
    for each in answered:
        fork = each.fork
        asked = [] if each.hallucinated else [("right", each.response_ids, each.answer)]
        if each.hallucinated and fork is not None and fork.correct is not None:
            before = each.response_ids[: fork.index]
            asked.append(("correct", (*before, fork.correct), (fork.index,)))
            asked.append(("given", (*before, fork.given), (fork.index,)))
        for name, response, answer in asked:
            items.append(
                Item(key=f"{each.key} {name}", prompt_ids=each.prompt_ids, response_ids=response, answer=answer)
            )
            groups.append(each.group)
            roles.append(name)
    if "right" not in roles:
        raise NotEnoughDataError("there is no faithful answer to steer; ask a set that has both kinds")
    return Cases(tuple(items), tuple(groups), tuple(roles))


def read_cases(
    model: LanguageModel,
    cases: Cases,
    axes: Float64[np.ndarray, "layers hidden"],
    *,
    layer: int | None = None,
    added: Float[Tensor, " hidden"] | None = None,
    positions: Literal["at", "before"] = "before",
    batch_rows: int = 64,
) -> dict[str, Float64[np.ndarray, "*any"]]:
    """Readings of every case, with `added` put on the stream after `layer` from where the response is begun.

    Args:
        model: any loaded model.
        cases: what is read.
        axes: a vector in each layer, along which the mean state over the answer tokens is taken.
        layer: where it is added; the model is left alone if left out.
        added: the vector.
        positions: where the states along the axes are read.
        batch_rows: rows of a forward batch.

    Returns:
        "along" (cases, layers); "log_prob" and "entropy" (cases,), means over the answer tokens in nats.
    """
    found: dict[str, list[np.ndarray]] = {"along": [], "log_prob": [], "entropy": []}
    for start in range(0, len(cases.items), batch_rows):
        items = cases.items[start : start + batch_rows]
        sink = _Along(axes)
        recording = Recording(hidden=True, positions=positions)
        if layer is None or added is None:
            rows = record(model, items, recording, sink)
        else:
            where = [list(range(len(item.prompt_ids) - 1, len(item))) for item in items]
            with steer(model, layer, added, positions=where):
                rows = record(model, items, recording, sink)
        found["along"].append(np.stack(sink.found, axis=1))
        found["log_prob"].append(np.array([row.logprob for row in rows[: len(items)]], dtype=np.float64))
        found["entropy"].append(np.array([row.entropy for row in rows[: len(items)]], dtype=np.float64))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def control_directions(
    directions: Directions, permuted: Float64[np.ndarray, "draws hidden"], layer: int, *, seed: int = 0
) -> dict[str, Float64[np.ndarray, "draws hidden"]]:
    """Unit vectors to hold a layer's direction against: Gaussian ones, and `permuted` (differences of means)."""
    random = np.random.default_rng((seed, layer)).normal(size=(N_DRAWS, directions.card.model.hidden_size))
    return {
        "random": random / np.linalg.norm(random, axis=1, keepdims=True),
        "permuted": permuted / np.linalg.norm(permuted, axis=1, keepdims=True),
    }


def move_layer(
    model: LanguageModel,
    cases: Cases,
    directions: Directions,
    layer: int,
    controls: Mapping[str, Float64[np.ndarray, "draws hidden"]],
    *,
    strength: float = STRENGTH,
    batch_rows: int = 64,
) -> dict[str, Float64[np.ndarray, "*any"]]:
    """Readings with the factuality direction of a layer added and taken off, and with each control added.

    Returns:
        The arrays of `read_cases`, each with a first axis of variants: forward, backward, then the controls in their
        order. "along" is of the differences of means of every layer, in deviations of the training states.
    """
    directions.require(model.fingerprint)
    axes, positions = directions.vectors["factuality", "means"], directions.card.positions
    length = strength * directions.scale("factuality", layer)
    unit = directions.direction("factuality", layer)
    variants = [length * unit, -length * unit]
    variants += [length * torch.from_numpy(each) for draws in controls.values() for each in draws]
    read = [
        read_cases(model, cases, axes, layer=layer, added=variant, positions=positions, batch_rows=batch_rows)
        for variant in variants
    ]
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
        untouched: of `read_cases` without anything added.
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
            value=mean_estimate(own[variant], boots[role]),
            control=band(control.mean(axis=1)),
            difference=mean_estimate(own[variant] - control.mean(axis=0), boots[role]),
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


class _Along:
    """A sink that keeps nothing of the states but how far they lie along a vector of each layer."""

    def __init__(self, axes: Float64[np.ndarray, "layers hidden"]) -> None:
        self._axes = axes
        self.found: list[np.ndarray] = []

    def contributions(
        self, layer: int, answer: Float[Tensor, "items neurons"], other: Float[Tensor, "others neurons"]
    ) -> None:
        """Contributions are not asked for."""

    def hidden(self, layer: int, answer: Float[Tensor, "items hidden"], other: Float[Tensor, "others hidden"]) -> None:
        """Projects the mean states of a layer."""
        self.found.append(answer.double().cpu().numpy() @ self._axes[layer])
