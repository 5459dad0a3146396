"""How much of the selection is the data's accident: over resamples, over C, over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtri

from hneurons.errors import ProbeError
from hneurons.probes.columns import Columns
from hneurons.probes.following import Problem
from hneurons.probes.labels import Neuron, neurons
from hneurons.probes.path import fit_paths
from hneurons.probes.solution import Intercept, Solution

Resampling = Literal["half", "bootstrap"]
Members = Iterable[int] | Int[np.ndarray, " _"]
"""A set of neurons, by flat number."""


class Frequency(BaseModel):
    """How often a neuron had a positive weight over the resamples, with a 95% Wilson interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    neuron: Neuron
    selected: int
    resamples: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Stability:
    """Selection counts over resamples, one row per C, of the neurons that some resample selected at some C (ascending).

    `Cs` are those of the full data; each resample was fitted at C * n / n_resample, which keeps the penalty per row.
    `jaccard[k]` is the mean overlap between pairs of resamples at Cs[k], NaN where they select nothing. A resample
    whose path ended early (`stop_above`) does not count at the C it did not reach: `fitted[k]` did.
    """

    Cs: tuple[float, ...]
    resampling: Resampling
    selected: Int[np.ndarray, " selected"]
    counts: Int[np.ndarray, "C selected"]
    fitted: Int[np.ndarray, " C"]
    sizes: Float64[np.ndarray, " C"]
    jaccard: Float64[np.ndarray, " C"]

    def frequencies(self, k: int, n_neurons: int, at_least: int = 1) -> tuple[Frequency, ...]:
        """Neurons selected at least `at_least` times at Cs[k], most frequent first."""
        counts, fitted = self.counts[k], int(self.fitted[k])
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= max(1, at_least)]
        found = []
        for neuron, i in zip(neurons(self.selected[order], n_neurons), order, strict=True):
            low, high = wilson(int(counts[i]), fitted)
            found.append(
                Frequency(
                    neuron=neuron,
                    selected=int(counts[i]),
                    resamples=fitted,
                    share=float(counts[i] / fitted),
                    low=low,
                    high=high,
                )
            )
        return tuple(found)


def resampled_selection(
    X: Columns | Float[np.ndarray, "rows neurons"],
    y: Bool[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    Cs: Sequence[float],
    *,
    resampling: Resampling = "half",
    resamples: int = 50,
    deviation: Float64[np.ndarray, " neurons"] | None = None,
    intercept: Intercept = "free",
    stop_above: int | None = None,
    seed: int = 0,
) -> Stability:
    """Refit the path on resampled groups and count which neurons get a positive weight at each C.

    Args:
        X, y, groups: training rows, as the probe was fitted on.
        Cs: on the scale of the full data, ascending up to the chosen one, say.
        resampling: "half" draws half of the groups without replacement (stability selection), "bootstrap" as many
            groups as there are with replacement.
        stop_above: end a resample's path once it selects more neurons than this.

    Raises:
        ProbeError: as `fit_paths`; a resample without both labels.
    """
    random = np.random.default_rng(seed)
    problems = [Problem(rows, y[rows]) for rows in (resample(groups, resampling, random) for _ in range(resamples))]
    ordered = sorted(Cs)
    n = len(y)
    paths = fit_resamples(X, problems, ordered, n, deviation, intercept, stop_above)
    selected = np.unique(np.concatenate([solution.positive for path in paths for solution in path]))
    counts = np.zeros((len(ordered), len(selected)), dtype=np.int64)
    fitted = np.zeros(len(ordered), dtype=np.int64)
    sizes, overlap = np.full(len(ordered), np.nan), np.full(len(ordered), np.nan)
    for k in range(len(ordered)):
        sets = [path[k].positive for path in paths if len(path) > k]
        fitted[k] = len(sets)
        for chosen in sets:
            counts[k, np.searchsorted(selected, chosen)] += 1
        if sets:
            sizes[k] = np.mean([len(chosen) for chosen in sets])
            overlap[k] = mean_jaccard(sets)
    return Stability(tuple(ordered), resampling, selected, counts, fitted, sizes, overlap)


def fit_resamples(
    X: Columns | Float[np.ndarray, "rows neurons"],
    problems: Sequence[Problem],
    Cs: Sequence[float],
    n: int,
    deviation: Float64[np.ndarray, " neurons"] | None,
    intercept: Intercept,
    stop_above: int | None,
) -> list[tuple[Solution, ...]]:
    """Paths of resamples at C * n / rows of the resample (their mean, so that all share one grid)."""
    size = float(np.mean([len(problem.rows) for problem in problems]))
    return fit_paths(
        X,
        problems,
        [C * n / size for C in Cs],
        deviation=deviation,
        intercept=intercept,
        stop_above=stop_above,
        progress="fitting resamples",
    )


def resample(
    groups: Shaped[np.ndarray, " rows"], resampling: Resampling, random: np.random.Generator
) -> Int[np.ndarray, " samples"]:
    """Rows of randomly drawn groups, whole groups at a time."""
    _, member = np.unique(groups, return_inverse=True)
    n = int(member.max()) + 1
    if n < 2:
        raise ProbeError("there is one group of training rows only; resampling needs more")
    if resampling == "half":
        counts = np.zeros(n, dtype=np.int64)
        counts[random.permutation(n)[: n // 2]] = 1
    else:
        counts = random.multinomial(n, np.full(n, 1 / n))
    return np.repeat(np.arange(len(member)), counts[member])


def jaccard(a: Members, b: Members) -> float:
    """Shared part of two sets, |a and b| / |a or b|; NaN for two empty sets."""
    first, second = set(map(int, a)), set(map(int, b))
    return len(first & second) / len(first | second) if first | second else float("nan")


def jaccard_matrix(sets: Sequence[Members]) -> Float64[np.ndarray, "sets sets"]:
    """`jaccard` of all pairs: of the solutions along a path, or of runs with several seeds."""
    chosen = [np.unique(np.fromiter(members, dtype=np.int64)) for members in sets]
    names = np.unique(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
    member = np.array([np.isin(names, one) for one in chosen], dtype=np.float64).reshape(len(chosen), len(names))
    shared = member @ member.T
    size = member.sum(axis=1)
    united = size[:, None] + size[None, :] - shared
    matrix = np.full(shared.shape, np.nan)
    np.divide(shared, united, out=matrix, where=united > 0)
    return matrix


def mean_jaccard(sets: Sequence[Members]) -> float:
    """Mean over pairs of different sets; NaN with fewer than two sets, or where every pair is empty."""
    matrix = jaccard_matrix(sets)
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    pairs = pairs[~np.isnan(pairs)]
    return float(pairs.mean()) if len(pairs) else float("nan")


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share."""
    if not trials:
        return 0.0, 1.0
    z = float(ndtri(0.5 + level / 2))
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
