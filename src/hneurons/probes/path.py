"""The sparse probe over a grid of C: warm starts, screening, and a certificate for every solution.

    minimise over w, b    C * sum_i log(1 + exp(-y_i (w.x_i + b))) + ||w||_1

as in the paper (H-Neurons, arXiv 2512.01797), but with b not penalised. The paper's code fits with liblinear, which
penalises b as the weight of a constant column of ones; `intercept="penalised"` is that objective. `scale="none"` is the
paper's: the penalty acts on raw contributions, so a neuron that varies little in absolute terms needs a large weight
and is rarely chosen; `scale="std"` divides every column by its standard deviation over the training rows first, which
treats neurons alike and changes the set. Weights are always returned for raw contributions.

Many problems (resamples, permuted labels) go along the path in step and share every pass over the data: a pass costs
one matrix product for all of them. Between passes, each is solved by skglm on its working set of columns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.special import expit, logit

from hneurons.errors import ProbeError
from hneurons.probes.columns import Columns, as_columns, correlate, deviations
from hneurons.probes.solution import Intercept, Path, Scale, Solution
from hneurons.probes.solver import solve
from hneurons.progress import track

MIN_WORKING_SET = 64
MAX_PASSES = 50


@dataclass(frozen=True)
class Problem:
    """Rows of the data (a row may come several times, as in a bootstrap sample) and a label for each."""

    rows: Int[np.ndarray, " samples"]
    y: Bool[np.ndarray, " samples"]


def fit_path(
    X: Columns | Float[np.ndarray, "rows neurons"],
    y: Bool[np.ndarray, " rows"],
    Cs: Sequence[float],
    *,
    scale: Scale = "none",
    intercept: Intercept = "free",
    tol: float = 1e-4,
) -> Path:
    """Fit the sparse probe at every C, each from the solution before it.

    Args:
        X: contributions of the training rows, float32 or float64.
        y: True for hallucinated.
        Cs: values of C, any order (`c_grid` proposes some).
        scale: what the penalty acts on, see the module's docstring.
        intercept: whether the intercept is free or penalised as liblinear does it.
        tol: optimality violation to accept, in units of the penalty.

    Raises:
        ProbeError: one label only, lengths that differ, values that are not finite, C not positive.
    """
    columns = as_columns(X)
    problem = Problem(np.arange(columns.shape[0]), y)
    deviation = deviations(columns) if scale == "std" else None
    (solutions,) = fit_paths(columns, [problem], Cs, deviation=deviation, intercept=intercept, tol=tol, exact=True)
    return Path(solutions, scale, intercept, deviation)


def c_grid(
    X: Columns | Float[np.ndarray, "rows neurons"],
    y: Bool[np.ndarray, " rows"],
    n: int = 10,
    span: float = 100.0,
    *,
    scale: Scale = "none",
) -> tuple[float, ...]:
    """`n` values of C, ascending by equal factors, the last `span` times the smallest C with a neuron in it.

    Below C_min = 1 / max_j |sum_i (mean(y) - y_i) x_ij| every weight is zero (free intercept). Contributions are about
    1e-3, so useful C are large and differ from model to model; only their ratio to C_min means something.

    Raises:
        ProbeError: as `fit_path`; `n` or `span` too small; no neuron varies with the label.
    """
    columns = as_columns(X)
    if n < 1 or span <= 1:
        raise ProbeError(f"a grid of C needs n >= 1 and span > 1, not n={n} and span={span:g}")
    check(columns, [Problem(np.arange(columns.shape[0]), y)], [1.0])
    gradient = np.abs(correlate(columns, (y.mean() - y.astype(np.float64))[:, None], exact=True)[0])
    if scale == "std":
        gradient = gradient * inverse(deviations(columns))
    steepest = float(gradient.max())
    if steepest <= 0:
        raise ProbeError("no neuron's contribution differs between the labels; the recorded contributions are constant")
    return tuple(float(span ** ((k + 1) / n) / steepest) for k in range(n))


def fit_paths(
    X: Columns | Float[np.ndarray, "rows neurons"],
    problems: Sequence[Problem],
    Cs: Sequence[float],
    *,
    deviation: Float64[np.ndarray, " neurons"] | None = None,
    intercept: Intercept = "free",
    tol: float = 1e-3,
    stop_above: int | None = None,
    exact: bool = False,
    progress: str = "",
) -> list[tuple[Solution, ...]]:
    """Fit many problems on one matrix along one grid of C, in step.

    Args:
        X: the rows that the problems draw from.
        problems: rows and labels of each.
        Cs: values of C.
        deviation: what columns are divided by (`scale="std"`); columns where it is 0 are never chosen.
        intercept, tol: as `fit_path`.
        stop_above: a problem's path ends after the first solution with more positive neurons than this.
        exact: measure `Solution.violation` in float64 over all neurons; otherwise in the precision of the data.
        progress: description of a progress bar over C, if any.

    Returns:
        For every problem its solutions in ascending order of C.
    """
    columns = as_columns(X)
    check(columns, problems, Cs)
    scaling = None if deviation is None else inverse(deviation)
    runs = [_Run(problem, columns.shape[1], intercept == "free", tol) for problem in problems]
    _pass(columns, runs, scaling)
    ordered = sorted(float(C) for C in Cs)
    found: list[list[Solution]] = [[] for _ in problems]
    active = list(range(len(runs)))
    for C in track(ordered, progress) if progress else ordered:
        for i in active:
            runs[i].begin(C)
        pending = active
        while pending:
            union = np.unique(np.concatenate([runs[i].working for i in pending]))
            table = columns.take(union).T
            if scaling is not None:
                table = table * scaling[union, None]
            for i in pending:
                runs[i].solve(C, table, union)
            _pass(columns, [runs[i] for i in pending], scaling)
            pending = [i for i in pending if not runs[i].accepted(C)]
        for i in active:
            found[i].append(runs[i].solution(C, scaling))
        active = [i for i in active if stop_above is None or len(found[i][-1].positive) <= stop_above]
    if exact:
        for path, problem in zip(found, problems, strict=True):
            measured = violations(columns, problem, path, deviation=deviation, intercept=intercept)
            path[:] = [replace(solution, violation=v) for solution, v in zip(path, measured, strict=True)]
    return [tuple(path) for path in found]


def violations(
    X: Columns | Float[np.ndarray, "rows neurons"],
    problem: Problem,
    solutions: Sequence[Solution],
    *,
    deviation: Float64[np.ndarray, " neurons"] | None = None,
    intercept: Intercept = "free",
) -> list[float]:
    """By how much each solution misses optimality, in float64 and from nothing but its weights.

    With residuals r_i = sigmoid(w.x_i + b) - y_i and g_j = C sum_i r_i x_ij (x_ij divided by the deviation where one
    is given), a solution is optimal when g_j = -sign(w_j) for w_j != 0 and |g_j| <= 1 elsewhere. The violation is
    the largest distance from that, so its unit is the penalty; a free intercept adds |mean_i r_i|, a penalised one is
    a column of ones.
    """
    columns = as_columns(X)
    y = problem.y.astype(np.float64)
    residuals = np.empty((len(y), len(solutions)))
    for k, solution in enumerate(solutions):
        logits = columns.take(solution.indices) @ solution.weights + solution.intercept
        residuals[:, k] = expit(logits[problem.rows]) - y
    spread = np.zeros((columns.shape[0], len(solutions)))
    np.add.at(spread, problem.rows, residuals)
    found = []
    for solution, gradient, residual in zip(
        solutions, correlate(columns, spread, exact=True), residuals.T, strict=True
    ):
        g = solution.C * (gradient if deviation is None else gradient * inverse(deviation))
        distance = np.maximum(np.abs(g) - 1.0, 0.0)
        distance[solution.indices] = np.abs(g[solution.indices] + np.sign(solution.weights))
        if intercept == "free":
            constant = abs(float(residual.mean()))
        else:
            slope, b = solution.C * float(residual.sum()), solution.intercept
            constant = max(abs(slope) - 1.0, 0.0) if b == 0 else abs(slope + float(np.sign(b)))
        found.append(max(float(distance.max()), constant))
    return found


def inverse(deviation: Float64[np.ndarray, " neurons"]) -> Float64[np.ndarray, " neurons"]:
    """1 / deviation, and 0 where a column is constant, so that it is never chosen."""
    inverted = np.zeros_like(deviation)
    np.divide(1.0, deviation, out=inverted, where=deviation > 0)
    return inverted


def check(columns: Columns, problems: Sequence[Problem], Cs: Sequence[float]) -> None:
    """Refuse what cannot be fitted, with the reason."""
    for problem in problems:
        if len(problem.rows) != len(problem.y):
            raise ProbeError(f"there are {len(problem.rows)} rows of contributions and {len(problem.y)} labels")
        if problem.y.all() or not problem.y.any():
            kind = "hallucinated" if problem.y.all() else "faithful"
            raise ProbeError(f"all {len(problem.y)} training rows are {kind}; a probe needs both kinds")
    if not len(Cs) or min(Cs) <= 0:
        raise ProbeError(f"C must be positive and there must be at least one; got {list(Cs)}")


class _Run:
    """One problem on its way along the path; weights here are those of the (scaled) columns that are penalised."""

    def __init__(self, problem: Problem, neurons: int, free: bool, tol: float) -> None:
        self.rows = problem.rows
        self.y = problem.y.astype(np.float64)
        self.free, self.tol = free, tol
        self.working = np.empty(0, dtype=np.int64)
        self.weights = np.empty(0)
        self.intercept = float(logit(self.y.mean())) if free else 0.0
        self.residual = expit(np.full(len(self.y), self.intercept)) - self.y
        self.gradient = np.zeros(neurons, dtype=np.float32)
        self.passes = 0

    def begin(self, C: float) -> None:
        """Start a C: the last support, and the columns that pull most."""
        keep = self.weights != 0
        self.working, self.weights = self.working[keep], self.weights[keep]
        self.passes = 0
        self._grow(np.abs(self.gradient), max(MIN_WORKING_SET, len(self.working)))

    def solve(self, C: float, table: Float64[np.ndarray, "union rows"], union: Int[np.ndarray, " union"]) -> None:
        """Solve on the working set."""
        A = table[np.searchsorted(union, self.working)][:, self.rows].T
        self.weights, self.intercept, logits = solve(
            A, self.y, C, self.weights, self.intercept, free=self.free, tol=0.3 * self.tol
        )
        self.residual = expit(logits) - self.y

    def accepted(self, C: float) -> bool:
        """Whether no neuron outside the working set pulls more than the penalty holds; else the set grows."""
        self.passes += 1
        pull = np.abs(self.gradient)
        pull[self.working] = 0.0
        wrong = int((pull * C > 1.0 + self.tol).sum())
        if not wrong or self.passes >= MAX_PASSES:
            return True
        self._grow(pull, min(wrong, max(MIN_WORKING_SET, len(self.working))))
        return False

    def solution(self, C: float, scaling: Float64[np.ndarray, " neurons"] | None) -> Solution:
        """What was found, for raw contributions."""
        order = np.argsort(self.working)
        order = order[self.weights[order] != 0]
        indices, penalised = self.working[order], self.weights[order]
        g = C * self.gradient.astype(np.float64)
        distance = np.maximum(np.abs(g) - 1.0, 0.0)
        distance[indices] = np.abs(g[indices] + np.sign(penalised))
        weights = penalised if scaling is None else penalised * scaling[indices]
        return Solution(C, indices, weights, self.intercept, float(distance.max()), self.passes)

    def _grow(self, pull: Float[np.ndarray, " neurons"], number: int) -> None:
        """Add the `number` columns outside the working set that pull most."""
        pull = pull.copy()
        pull[self.working] = -1.0
        number = min(number, len(pull) - len(self.working))
        new = np.argpartition(pull, len(pull) - number)[len(pull) - number :] if number else np.empty(0, dtype=np.int64)
        self.working = np.concatenate([self.working, new])
        self.weights = np.concatenate([self.weights, np.zeros(len(new))])


def _pass(columns: Columns, runs: Sequence[_Run], scaling: Float64[np.ndarray, " neurons"] | None) -> None:
    """One pass over the data: the gradients of all runs."""
    rows = columns.shape[0]
    residuals = np.stack([np.bincount(run.rows, run.residual, rows) for run in runs], axis=1)
    for run, gradient in zip(runs, correlate(columns, residuals, exact=False), strict=True):
        run.gradient = gradient if scaling is None else (gradient * scaling).astype(np.float32)
