"""Several problems along one grid of C: solved on the candidates, checked on all neurons, until every check passes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from hneurons.probes.candidates import Candidates
from hneurons.probes.columns import Columns
from hneurons.probes.screening import Strongest, strongest
from hneurons.probes.solution import Solution
from hneurons.probes.solver import solve
from hneurons.progress import console

MIN_WORKING_SET = 64
MAX_ROUNDS, MAX_PASSES = 50, 50
"""Working sets that are tried on the candidates at one C, and passes over all neurons."""

CANDIDATE_BYTES = 400 << 20
"""Memory of the candidates, float32."""

MOST_NEW = 1024
"""Columns that a check adds to the candidates for each solution that failed it, at most."""


@dataclass(frozen=True)
class Problem:
    """Rows of the data (a row may come several times, as in a bootstrap sample) and a label for each."""

    rows: Int[np.ndarray, " samples"]
    y: Bool[np.ndarray, " samples"]


def follow(
    columns: Columns,
    problems: Sequence[Problem],
    Cs: Sequence[float],
    scaling: Float64[np.ndarray, " neurons"] | None,
    *,
    free: bool,
    tol: float,
    stop_above: int | None,
    progress: str,
) -> list[list[Solution]]:
    """Solutions of every problem along ascending `Cs`; arguments as of `fit_paths`."""
    n, neurons = columns.shape
    held = Candidates(columns, CANDIDATE_BYTES // (4 * n), scaling)
    trails = [_Trail(problem, free, tol, stop_above) for problem in problems]
    nothing = np.empty(0, dtype=np.int64)
    if held.capacity == neurons:
        held.add(np.arange(neurons), nothing)
    else:
        nulls = np.stack([trail.spread(trail.null, n) for trail in trails], axis=1)
        start = strongest(columns, nulls, most=held.capacity, threshold=0.0, scaling=scaling)
        held.add(_hardest_first(start)[: held.capacity * 3 // 4], nothing)  # the rest is for what the checks find
    for number in range(1, MAX_PASSES + 1):
        for k, C in enumerate(Cs):
            _solve([trail for trail in trails if trail.wants(k)], k, C, held, n)
        unchecked = [(trail, k) for trail in trails for k, step in enumerate(trail.steps) if not step.checked]
        if held.complete or not unchecked:
            break
        if progress:
            steps = sum(len(trail.steps) for trail in trails)
            console.print(f"{progress}: pass {number} over all neurons, {steps - len(unchecked)} of {steps} fits done")
        residuals = np.stack([Cs[k] * trail.spread(trail.steps[k].residual, n) for trail, k in unchecked], axis=1)
        found = strongest(
            columns,
            residuals,
            most=int(np.clip(held.capacity // (2 * len(unchecked)), 16, MOST_NEW)),
            threshold=1.0 + tol,
            excluded=held.neurons,
            scaling=scaling,
        )
        for (trail, k), above, largest in zip(unchecked, found.above, found.largest, strict=True):
            trail.steps[k].check(not above, float(largest))
        held.add(_hardest_first(found), np.concatenate([step.working for trail in trails for step in trail.steps]))
    return [trail.solutions(Cs, scaling) for trail in trails]


@dataclass
class _Step:
    """Where a problem stands at one C; weights are those of the scaled columns.

    `solved`: on the candidates. `checked`: on all neurons. `violation` is the largest on the candidates, and `beyond`
    that among the others when they were last looked at.
    """

    working: Int[np.ndarray, " working"]
    weights: Float64[np.ndarray, " working"]
    intercept: float
    residual: Float64[np.ndarray, " samples"]
    solved: bool = False
    checked: bool = False
    violation: float = np.inf
    beyond: float = 0.0
    passes: int = 0

    def check(self, passed: bool, largest: float) -> None:
        self.checked = self.solved = passed
        if not passed:  # a fresh working set: what was tried in vain is left behind
            support = self.weights != 0
            self.working, self.weights = self.working[support], self.weights[support]
        self.beyond = max(0.0, largest - 1.0)
        self.passes += 1


class _Trail:
    """One problem on its way along the path."""

    def __init__(self, problem: Problem, free: bool, tol: float, stop_above: int | None) -> None:
        self._rows, self._y = problem.rows, problem.y.astype(np.float64)
        self._free, self._tol = free, tol
        self._stop_above = np.inf if stop_above is None else stop_above
        self._intercept = float(logit(self._y.mean())) if free else 0.0
        self.null = expit(np.full(len(self._y), self._intercept)) - self._y
        self.steps: list[_Step] = []

    def spread(self, residual: Float64[np.ndarray, " samples"], n: int) -> Float64[np.ndarray, " rows"]:
        """Residuals of the samples, summed for each row of the data."""
        return np.bincount(self._rows, residual, n)

    def wants(self, k: int) -> bool:
        """Whether step k is to be solved, for the first time or again; the path ends after a step that is too large."""
        ends = next((i for i, step in enumerate(self.steps) if (step.weights > 0).sum() > self._stop_above), None)
        if ends is not None:
            del self.steps[ends + 1 :]
        if k < len(self.steps):
            return not self.steps[k].solved
        return k == len(self.steps) and ends is None

    def begin(self, k: int) -> bool:
        """Make step k from the one before it; whether it is new."""
        if k < len(self.steps):
            return False
        if k == 0:
            nothing = np.empty(0, dtype=np.int64)
            self.steps.append(_Step(nothing, np.empty(0), self._intercept, self.null))
        else:
            last = self.steps[k - 1]
            support = last.weights != 0
            self.steps.append(_Step(last.working[support], last.weights[support], last.intercept, last.residual))
        return True

    def grow(self, k: int, g: Float32[np.ndarray, " held"], held: Candidates, *, new: bool) -> bool:
        """Add the candidates that pull hardest to the working set of step k; `g` is C times their products.

        Returns:
            Whether any was added. None is where no candidate outside the working set pulls more than the penalty
            holds, unless the step is `new`: then as many are added as it has, at least 64.
        """
        step = self.steps[k]
        own = held.places(step.working)
        pull = np.abs(g)
        inside = np.abs(g[own] + np.sign(step.weights))[step.weights != 0]
        pull[own] = 0.0
        step.violation = max(float(pull.max()) - 1.0, float(inside.max(initial=0.0)), 0.0)
        wrong = int((pull > 1.0 + self._tol).sum())
        number = max(MIN_WORKING_SET, len(own))
        if not new:
            number = min(wrong, number)
        number = min(number, len(pull) - len(own))
        if number:
            pull[own] = -1.0
            hardest = np.argpartition(pull, len(pull) - number)[len(pull) - number :]
            step.working = np.concatenate([step.working, held.numbers(hardest)])
            step.weights = np.concatenate([step.weights, np.zeros(number)])
        return number > 0

    def solve(self, k: int, C: float, held: Candidates) -> None:
        """Solve step k on its working set."""
        step = self.steps[k]
        A = held.take(step.working)[:, self._rows].astype(np.float64)
        step.weights, step.intercept, logits = solve(
            A, self._y, C, step.weights, step.intercept, free=self._free, tol=0.3 * self._tol
        )
        step.residual = expit(logits) - self._y

    def solutions(self, Cs: Sequence[float], scaling: Float64[np.ndarray, " neurons"] | None) -> list[Solution]:
        """What was found, for raw contributions."""
        found = []
        for C, step in zip(Cs, self.steps, strict=False):
            order = np.argsort(step.working)
            order = order[step.weights[order] != 0]
            indices, weights = step.working[order], step.weights[order]
            if scaling is not None:
                weights = weights * scaling[indices]
            violation = max(step.violation, step.beyond)
            found.append(Solution(C, indices, weights, step.intercept, violation, max(1, step.passes)))
        return found


def _solve(trails: Sequence[_Trail], k: int, C: float, held: Candidates, n: int) -> None:
    """Solve step k of all `trails` on the candidates: working sets grow until no candidate pulls too hard."""
    new = {id(trail): trail.begin(k) for trail in trails}
    pending = list(trails)
    for _ in range(MAX_ROUNDS):
        if not pending:
            break
        residuals = np.stack([C * trail.spread(trail.steps[k].residual, n) for trail in pending], axis=1)
        growing = []
        for trail, g in zip(pending, held.products(residuals), strict=True):
            if trail.grow(k, g, held, new=new[id(trail)]):
                growing.append(trail)
            new[id(trail)] = False
        _in_threads([partial(trail.solve, k, C, held) for trail in growing])
        pending = growing
    for trail in trails:
        trail.steps[k].solved = True


def _in_threads(solves: Sequence[Callable[[], None]]) -> None:
    """Do small problems side by side, one on a core: their matrices are too small to share one over several."""
    if len(solves) == 1:
        solves[0]()
        return
    with threadpool_limits(1), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done in [pool.submit(each) for each in solves]:
            done.result()


def _hardest_first(found: Strongest) -> Int[np.ndarray, " some"]:
    """The columns of all fits, those that pull hardest on some fit first."""
    order = np.argsort(-np.concatenate(found.pulls), kind="stable")
    hardest: Int[np.ndarray, " some"] = np.concatenate(found.indices)[order]
    return hardest
