"""What an answer is said to be by either concept, and the random labels that a probe is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from jaxtyping import Bool, Int

from hneurons.errors import ProbeError
from hneurons.layers.concepts.record import Concept
from hneurons.probes.answers import Answers
from hneurons.questions.loading import rank

CONCEPTS: tuple[Concept, ...] = get_args(Concept)


def entropy_median(answers: Answers) -> float:
    """The median over answers of their mean token entropy, in nats: what is above it is called uncertain.

    Raises:
        ProbeError: entropies were not recorded.
    """
    return float(np.median(answers.read("entropy")[:, 0]))


def labels(answers: Answers, concept: Concept, median: float) -> Bool[np.ndarray, " rows"]:
    """Whether each answer is factual ("factuality"), or of an entropy above `median` nats ("uncertainty").

    Raises:
        ProbeError: there is no such concept, or entropies were not recorded.
    """
    if concept == "factuality":
        return ~answers.hallucinated
    if concept == "uncertainty":
        above: Bool[np.ndarray, " rows"] = answers.read("entropy")[:, 0] > median
        return above
    raise ProbeError(f"there is no concept {concept!r}; choose one of {', '.join(CONCEPTS)}")


def control_labels(types: Sequence[str], seed: int, draw: int) -> Bool[np.ndarray, " rows"]:
    """A random label for each type, the same wherever the type occurs: a control task (Hewitt & Liang 2019, 2).

    The label of a type is a fair coin that depends on the type, the seed and the draw alone, so that training and
    evaluation sets agree on it without being asked together.
    """
    coins = {each: rank(f"control {draw} {each}", seed)[-1] % 2 == 1 for each in set(types)}
    return np.array([coins[each] for each in types], dtype=np.bool_)


def permuted_labels(y: Bool[np.ndarray, " rows"], draws: int, seed: int) -> Bool[np.ndarray, "draws rows"]:
    """The same labels, dealt anew over the rows in each draw."""
    dealt: Bool[np.ndarray, "draws rows"] = y[orders(len(y), draws, seed)]
    return dealt


def orders(n: int, draws: int, seed: int) -> Int[np.ndarray, "draws n"]:
    """Random orders of `n` rows, one a draw."""
    rows = np.broadcast_to(np.arange(n), (draws, n))
    return np.random.default_rng(seed).permuted(rows, axis=1)
