"""What a detector is, and the ones that read contributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.special import expit, logit

from hneurons.errors import ProbeError
from hneurons.probes.answers import Answers
from hneurons.probes.columns import Columns
from hneurons.probes.logistic import Logistic, fit_logistic
from hneurons.probes.solution import Solution
from hneurons.probes.solver import free_intercept

Features = Callable[[Answers], Columns | np.ndarray]
D = TypeVar("D", "LogisticDetector", "ProbeDetector", "Recalibrated")


@runtime_checkable
class Detector(Protocol):
    """Gives every answer a probability of hallucination, and flags it from a threshold chosen on held-out rows."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    @property
    def threshold(self) -> float:
        """Probability from which an answer is flagged."""

    def scores(self, answers: Answers) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""


@dataclass(frozen=True)
class LogisticDetector:
    """A logistic model over some features of the answers."""

    name: str
    features: Features
    model: Logistic
    threshold: float = 0.5
    detail: str = ""

    def scores(self, answers: Answers) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""
        return self.model.probabilities(self.features(answers))


@dataclass(frozen=True)
class ProbeDetector:
    """The sparse probe itself, as fitted: all its weights, positive and negative."""

    name: str
    solution: Solution
    threshold: float = 0.5

    def scores(self, answers: Answers) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination, as the training scheme's balance of labels has it."""
        p: Float64[np.ndarray, " rows"] = expit(self.solution.logits(answers.contributions))
        return p


@dataclass(frozen=True)
class Recalibrated:
    """Another detector, its logits rescaled and shifted on held-out rows (Platt): same ranking, honest probabilities.

    "3-vs-1" trains on three times as many faithful rows as hallucinated ones, so the probe's own probabilities are too
    low on a balanced set.
    """

    name: str
    detector: Detector
    model: Logistic
    threshold: float = 0.5

    def scores(self, answers: Answers) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""
        return self.model.probabilities(_logits(self.detector, answers))


def detect_by(name: str, features: Features, train: Answers, dev: Answers, detail: str = "") -> LogisticDetector:
    """Fit a logistic detector on `train`, with its C and threshold from `dev`."""
    model = fit_logistic(features(train), train.hallucinated, features(dev), dev.hallucinated)
    return with_threshold(LogisticDetector(name, features, model, detail=detail), dev)


def detect_by_neurons(
    name: str, indices: Int[np.ndarray, " neurons"], train: Answers, dev: Answers
) -> LogisticDetector:
    """Fit on the contributions of these neurons (flat numbers), as `detect_by`.

    Raises:
        ProbeError: no neuron.
    """
    if not len(indices):
        raise ProbeError(f"{name}: there is no neuron to fit on")

    def features(answers: Answers) -> Float[np.ndarray, "rows neurons"]:
        return answers.contributions.take(indices)

    return detect_by(name, features, train, dev, detail=f"{len(indices)} neurons")


def recalibrate(detector: Detector, dev: Answers) -> Recalibrated:
    """Rescale a detector's logits on held-out rows.

    A detector that ranks `dev` the wrong way round is shifted only: recalibration never turns a ranking.
    """
    z = _logits(detector, dev)
    model = fit_logistic(z, dev.hallucinated, z, dev.hallucinated, Cs=(1.0,))
    if model.weights[0] <= 0:
        shift = free_intercept(z[:, 0], dev.hallucinated.astype(np.float64))
        model = replace(model, weights=np.ones(1), intercept=shift)
    return with_threshold(Recalibrated(f"{detector.name}, recalibrated", detector, model), dev)


def with_threshold(detector: D, dev: Answers) -> D:
    """The detector with the threshold of `best_threshold` on `dev`."""
    return replace(detector, threshold=best_threshold(dev.hallucinated, detector.scores(dev)))


def best_threshold(y: Bool[np.ndarray, " rows"], p: Float64[np.ndarray, " rows"]) -> float:
    """Threshold of best balanced accuracy, halfway between two scores; among equals the one nearest to 0.5."""
    values, inverse = np.unique(p, return_inverse=True)
    cuts = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [1.0]])
    below = np.cumsum(np.bincount(inverse, ~y), dtype=np.float64) / max(1, int((~y).sum()))
    missed = np.cumsum(np.bincount(inverse, y), dtype=np.float64) / max(1, int(y.sum()))
    reached = np.concatenate([[0.0], below - missed])
    best = cuts[reached >= reached.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _logits(detector: Detector, answers: Answers) -> Float64[np.ndarray, "rows 1"]:
    z: Float64[np.ndarray, "rows 1"] = logit(np.clip(detector.scores(answers), 1e-12, 1 - 1e-12))[:, None]
    return z
