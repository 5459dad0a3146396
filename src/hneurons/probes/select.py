"""The choice of C: held-out accuracy plus what the model still knows without its H-Neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict

from hneurons.errors import ProbeError
from hneurons.probes import metrics
from hneurons.probes.columns import Columns
from hneurons.probes.labels import Neuron, neurons
from hneurons.probes.solution import Solution

KnownAccuracy = Callable[[tuple[Neuron, ...]], float]
MAX_VIOLATION = 1e-2


class CurvePoint(BaseModel):
    """One C on the path: what it selects and what that scores; `excluded` says why it could not be chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    C: float
    n_nonzero: int
    n_hneurons: int
    per_mille: float
    violation: float
    heldout_accuracy: float
    heldout_auroc: float | None
    known_accuracy: float | None
    score: float | None
    excluded: str = ""


@dataclass(frozen=True)
class Choice:
    """The solution chosen (`solutions[index]`), and the whole curve it was chosen from.

    `max_ratio` is the cap that was in force, as a share of all neurons.
    """

    index: int
    solution: Solution
    neurons: tuple[Neuron, ...]
    curve: tuple[CurvePoint, ...]
    max_ratio: float


def choose(
    solutions: Sequence[Solution],
    X_dev: Columns | Float[np.ndarray, "heldout neurons"],
    y_dev: Bool[np.ndarray, " heldout"],
    n_neurons: int,
    known_accuracy: KnownAccuracy | None = None,
    max_ratio: float = 0.01,
) -> Choice:
    """Choose C by the rule of H-Neurons, arXiv 2512.01797.

    The score is the probe's accuracy at probability 0.5 on held-out answers plus the model's accuracy on questions it
    knows while the H-Neurons are scaled by 0. Ties go to the fewest H-Neurons, then to the smallest C. A solution is
    excluded when it has no H-Neuron, more than `max_ratio` of all neurons, or has not converged; `known_accuracy`
    is not called for those.

    Args:
        solutions: along the path.
        X_dev, y_dev: answer vectors and labels of questions that are neither trained nor tested on; only the columns of
            the solutions are read.
        n_neurons: neurons of one layer.
        known_accuracy: takes (layer, index) pairs, gives an accuracy in [0, 1]; called once per distinct set. Left
            out, the score is held-out accuracy alone.
        max_ratio: largest share of all neurons that may be H-Neurons.

    Raises:
        ProbeError: no solution is eligible; the message names the reasons.
    """
    rows, total = X_dev.shape
    if not len(y_dev) or rows != len(y_dev) or total % n_neurons:
        raise ProbeError(f"{rows} held-out rows of {total} neurons do not fit {len(y_dev)} labels, {n_neurons} a layer")
    known: dict[tuple[Neuron, ...], float] = {}
    curve, ones = [], np.ones((1, len(y_dev)))
    for solution in solutions:
        chosen = neurons(solution.positive, n_neurons)
        z = solution.logits(X_dev)
        heldout = float(metrics.accuracy(y_dev, z, ones, threshold=0.0)[0])
        auroc = float(metrics.auroc(y_dev, z, ones)[0])
        excluded = _excluded(solution, total, max_ratio)
        if not excluded and known_accuracy is not None and chosen not in known:
            known[chosen] = known_accuracy(chosen)
        knows = None if excluded else known.get(chosen)
        curve.append(
            CurvePoint(
                C=solution.C,
                n_nonzero=len(solution.indices),
                n_hneurons=len(chosen),
                per_mille=1000 * len(chosen) / total,
                violation=solution.violation,
                heldout_accuracy=heldout,
                heldout_auroc=None if np.isnan(auroc) else auroc,
                known_accuracy=knows,
                score=None if excluded else heldout + (knows or 0.0),
                excluded=excluded,
            )
        )
    scored = [(point.score, -point.n_hneurons, -point.C, i) for i, point in enumerate(curve) if point.score is not None]
    if not scored:
        reasons = ", ".join(sorted({point.excluded for point in curve})) or "the path is empty"
        raise ProbeError(
            f"no C can be chosen: {reasons}; widen the grid of C, raise max_ratio or collect more questions"
        )
    index = max(scored)[-1]
    best = solutions[index]
    return Choice(index, best, neurons(best.positive, n_neurons), tuple(curve), max_ratio)


def _excluded(solution: Solution, total: int, max_ratio: float) -> str:
    count = len(solution.positive)
    if not count:
        return "no neuron of positive weight"
    if count > max_ratio * total:
        return f"more than {max_ratio:.2%} of all neurons"
    return f"not converged (violation above {MAX_VIOLATION:g})" if solution.violation > MAX_VIOLATION else ""
