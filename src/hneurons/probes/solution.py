"""What the path finds: a sparse set of weights for every C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int

from hneurons.probes.columns import Columns

Scale = Literal["none", "std"]
Intercept = Literal["free", "penalised"]


@dataclass(frozen=True)
class Solution:
    """The probe at one C.

    `indices` are the neurons (flat, ascending) with a weight that is not zero and `weights` their weights on raw
    contributions. `violation` is the largest violation of the optimality conditions, in units of the penalty
    (`violations`), and `n_iter` the number of passes over all neurons it took.
    """

    C: float
    indices: Int[np.ndarray, " nonzero"]
    weights: Float64[np.ndarray, " nonzero"]
    intercept: float
    violation: float
    n_iter: int

    @property
    def positive(self) -> Int[np.ndarray, " positive"]:
        """The H-Neurons: flat numbers of the neurons of positive weight."""
        return self.indices[self.weights > 0]

    def logits(self, X: Columns | Float[np.ndarray, "rows neurons"]) -> Float64[np.ndarray, " rows"]:
        """w.x + b for rows of raw contributions, of which only `indices` are read; positive means hallucinated."""
        read = X[:, self.indices].astype(np.float64) if isinstance(X, np.ndarray) else X.take(self.indices)
        logits: Float64[np.ndarray, " rows"] = read @ self.weights + self.intercept
        return logits


@dataclass(frozen=True)
class Path:
    """Solutions in ascending order of C, and how they were fitted; `deviations` only with `scale="std"`."""

    solutions: tuple[Solution, ...]
    scale: Scale
    intercept: Intercept
    deviations: Float64[np.ndarray, " neurons"] | None
