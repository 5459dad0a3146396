"""What a generated token costs under each method: counted, and timed in turn in one run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from hneurons.layers.mitigation.harness import answer, counting
from hneurons.layers.mitigation.methods import Method, Shown
from hneurons.layers.mitigation.record import Price
from hneurons.models.language_model import LanguageModel
from hneurons.responses.sampling import Prompt, Sampling

ROUNDS = 3
"""How often every method answers the timed batch; first come the rounds, then the methods, so that a machine that
slows down slows all of them."""


@dataclass(frozen=True)
class Spent:
    """By method: tokens that passed the layers and the unembedding, tokens generated, and seconds by round."""

    layers: Int64[np.ndarray, " methods"]
    unembedding: Int64[np.ndarray, " methods"]
    generated: Int64[np.ndarray, " methods"]
    seconds: Float64[np.ndarray, "methods rounds"]


def spend(
    model: LanguageModel,
    methods: Sequence[Method],
    prompts: Sequence[Prompt],
    shown: Sequence[Shown],
    sampling: Sampling,
    rounds: int = ROUNDS,
) -> Spent:
    """Let every method answer one batch, round after round, and count and time it."""
    counts = np.zeros((3, len(methods)), dtype=np.int64)
    seconds = np.zeros((len(methods), rounds))
    answer(model, methods[0], prompts, shown, sampling)  # what is slow the first time alone is nobody's
    for turn in range(rounds):
        for k, method in enumerate(methods):
            with counting(model) as count:
                began = time.perf_counter()
                said = answer(model, method, prompts, shown, sampling)
                seconds[k, turn] = time.perf_counter() - began
            counts[:, k] = count.layers, count.unembedding, sum(each.n_tokens for each in said)
    return Spent(counts[0], counts[1], counts[2], seconds)


def prices(spent: Spent) -> tuple[Price, ...]:
    """Costs of a generated token as multiples of the first method's, which is the unchanged model."""
    made = np.maximum(spent.generated, 1)
    layers, unembedding = spent.layers / made, spent.unembedding / made
    seconds = spent.seconds / made[:, None]
    ratios = seconds / seconds[:1]
    return tuple(
        Price(
            tokens=float(layers[k] / layers[0]),
            unembeddings=float(unembedding[k] / unembedding[0]),
            seconds=float(np.median(ratios[k])),
            seconds_low=float(ratios[k].min()),
            seconds_high=float(ratios[k].max()),
        )
        for k in range(len(made))
    )
