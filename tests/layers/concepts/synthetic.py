"""Answers with planted concepts, for the tests of directions."""

from __future__ import annotations

import numpy as np

from hneurons.layers.concepts.probing import Asked
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes.answers import Answers

MODEL = ModelFingerprint(
    name="m", revision=None, model_type="llama", n_layers=4, n_neurons=8, hidden_size=12, weights_digest="ab" * 32
)
PLANTED, WHERE = 2, 5
"""Layer and coordinate that tell: of factual answers this coordinate is larger."""


def planted(n: int, seed: int, shift: float = 3.0, name: str = "planted") -> Answers:
    """Answers whose states are noise but for one coordinate of one layer; entropy lies on another, in every layer."""
    random = np.random.default_rng(seed)
    hallucinated = np.arange(n) % 2 == 0
    entropy = random.exponential(size=n)
    hidden = random.normal(size=(n, MODEL.n_layers, MODEL.hidden_size))
    hidden[:, PLANTED, WHERE] += shift * ~hallucinated
    hidden[:, :, 0] += 2 * (entropy > np.log(2))[:, None]
    return Answers(
        name=name,
        hallucinated=hallucinated,
        groups=np.array([f"g{row // 2}" for row in range(n)]),
        contributions=np.zeros((n, 1)),
        hidden=hidden.astype(np.float32),
        n_answer=random.integers(1, 4, n),
        n_response=random.integers(4, 9, n),
        entropy=entropy,
        questions=tuple(f"which {'x ' * (row % 3)}" for row in range(n)),
    )


def asked(answers: Answers, n_types: int = 6) -> Asked:
    """With kinds and types; a type shows in the states of layer 1 as its own coordinate."""
    types = np.arange(len(answers)) // 2 % n_types
    if answers.hidden is not None:
        answers.hidden[np.arange(len(answers)), 1, 3 + types] += 8
    return Asked(answers, tuple(f"k{each % 2}" for each in types), tuple(f"t{each}" for each in types))
