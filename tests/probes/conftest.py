"""A made-up world of contributions: heavy tails, correlations, groups, and neurons that are known to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from hneurons.probes.answers import Answers
from hneurons.probes.solver import warm_up

CONSONANTS, VOWELS = "bcdfghklmnprstvz", "aeiou"


@dataclass(frozen=True)
class World:
    """Answers, their other-token vectors, and the planted neurons (flat numbers)."""

    answers: Answers
    other: np.ndarray
    has_other: np.ndarray
    planted: np.ndarray
    n_layers: int
    n_neurons: int


def make_world(
    n: int = 600,
    n_layers: int = 4,
    n_neurons: int = 64,
    planted: int = 8,
    shift: float = 0.8,
    group_size: int = 2,
    seed: int = 0,
    sample: int = 0,
    only: bool | None = None,
) -> World:
    """`seed` fixes the model (which neurons tell, how neurons correlate), `sample` the questions asked of it.

    A contribution is exp(level of the neuron + shared factors + noise + a rare burst), about 1e-3 with a heavy tail,
    and at most 1. Planted neurons are `shift` higher in log where the answer is hallucinated, and `shift` / 2 higher at
    answer tokens than at others. Groups share part of their noise, as two questions on one city do.
    """
    model, draw = np.random.default_rng(seed), np.random.default_rng([seed, sample])
    d = n_layers * n_neurons
    level = model.normal(-7.0, 0.7, d)
    loading = model.normal(0.0, 0.1, (20, d))
    chosen = np.sort(model.choice(d, planted, replace=False))
    direction = model.normal(size=(n_layers, 16))

    group = np.arange(n) // group_size
    y = draw.random(n) < 0.5 if only is None else np.full(n, only)

    def contributions(lift: np.ndarray) -> np.ndarray:
        factors = draw.normal(size=(group.max() + 1, 20))[group] * 0.7 + draw.normal(size=(n, 20)) * 0.7
        log = level + factors @ loading + draw.normal(0.0, 0.5, (n, d))
        log += (draw.random((n, d)) < 0.01) * draw.exponential(0.4, (n, d))
        log[:, chosen] += lift[:, None]
        return np.minimum(np.exp(log), 1.0).astype(np.float32)

    answer = contributions(shift * y)
    other = contributions(np.full(n, -shift / 2))
    has_other = draw.random(n) < 0.7
    other[~has_other] = np.nan
    n_answer = draw.poisson(2 + y) + 1
    certainty = draw.normal(1.0 * y, 1.0)
    strength = 0.4 * np.linspace(0.0, 1.0, n_layers) ** 3
    hidden = draw.normal(size=(n, n_layers, 16)) + (y[:, None] - 0.5)[:, :, None] * strength[:, None] * direction
    names = tuple(_name(draw, bool(flag)) for flag in y)
    answers = Answers(
        name=f"world {seed}.{sample}",
        hallucinated=y,
        groups=np.array([f"{sample}/{g}" for g in group]),
        contributions=answer,
        hidden=hidden.astype(np.float32),
        n_answer=n_answer,
        n_response=n_answer + has_other * draw.poisson(3, n),
        log_prob=-np.logaddexp(0, certainty),
        entropy=np.logaddexp(0, certainty + draw.normal(0, 0.3, n)),
        questions=tuple(f"In which country is {name}?" for name in names),
    )
    return World(answers, other, has_other, chosen, n_layers, n_neurons)


def _name(draw: np.random.Generator, hallucinated: bool) -> str:
    letters = "".join(draw.choice(list(CONSONANTS)) + draw.choice(list(VOWELS)) for _ in range(3))
    return (letters + ("ville" if hallucinated and draw.random() < 0.3 else "")).capitalize()


@pytest.fixture(scope="session")
def world() -> World:
    """600 training answers of 4 x 64 neurons, 8 of them planted."""
    return make_world()


@pytest.fixture(scope="session")
def worlds() -> Callable[..., World]:
    """`make_world`, for tests that need another one."""
    return make_world


@pytest.fixture(scope="session")
def dev() -> Answers:
    """300 held-out answers of the same world."""
    return make_world(n=300, sample=1).answers


@pytest.fixture(scope="session")
def test_set() -> Answers:
    """300 more."""
    return make_world(n=300, sample=2).answers


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """Compile the solver once, before any test's time is taken."""
    warm_up()
