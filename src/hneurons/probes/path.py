"""The sparse probe over a grid of C: warm starts, screening, and a certificate for every solution.

    minimise over w, b    C * sum_i log(1 + exp(-y_i (w.x_i + b))) + ||w||_1

as in the paper (H-Neurons, arXiv 2512.01797), but with b not penalised. The paper's code fits with liblinear, which
penalises b as the weight of a constant column of ones; `intercept="penalised"` is that objective. `scale="none"` is the
paper's: the penalty acts on raw contributions, so a neuron that varies little in absolute terms needs a large weight
and is rarely chosen; `scale="std"` divides every column by its standard deviation over the training rows first, which
treats neurons alike and changes the set. Weights are always returned for raw contributions.

The matrix is read as a stream and memory does not grow with the number of neurons. A first pass finds the candidates:
the columns that pull hardest where all weights are zero. On these, held in memory, the whole path is solved: C after C,
each from the solution before it, on working sets that grow until no candidate pulls too hard (`solver` does each of
these small problems). Then one pass over all neurons checks every C of every problem (resamples, permuted labels) at
once; columns that pull too hard become candidates, and the solutions they belong to are solved again from where they
are, until a pass finds nothing more. (The strong rule of Tibshirani et al., 2012, screens for one C at a time, and so
takes a pass for each.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.special import expit

from hneurons.errors import ProbeError
from hneurons.probes.columns import Columns, as_columns, correlated, deviations
from hneurons.probes.following import Problem, follow
from hneurons.probes.solution import Intercept, Path, Scale, Solution

TOGETHER = 32
"""Problems that share their passes; more of them would need more candidates in memory."""


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
    residual = y.mean() - y.astype(np.float64)
    factors = np.ones(columns.shape[1]) if scale == "none" else inverse(deviations(columns))
    steepest = 0.0
    for start, products in correlated(columns, residual[:, None]):
        pulls = np.abs(products[:, 0]) * factors[start : start + len(products)]
        steepest = max(steepest, float(pulls.max()))
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
        progress: description of a progress bar over rounds of passes, if any.

    Returns:
        For every problem its solutions in ascending order of C.
    """
    columns = as_columns(X)
    check(columns, problems, Cs)
    scaling = None if deviation is None else inverse(deviation)
    ordered = sorted(float(C) for C in Cs)
    found: list[list[Solution]] = []
    for first in range(0, len(problems), TOGETHER):
        group = problems[first : first + TOGETHER]
        found += follow(
            columns,
            group,
            ordered,
            scaling,
            free=intercept == "free",
            tol=tol,
            stop_above=stop_above,
            progress=progress,
        )
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
    found = [_constant_violation(solution, residuals[:, k], intercept) for k, solution in enumerate(solutions)]
    factors = None if deviation is None else inverse(deviation)
    spread *= [solution.C for solution in solutions]
    for start, products in correlated(columns, spread):
        g = products.T
        stop = start + g.shape[1]
        if factors is not None:
            g *= factors[start:stop]
        distance = np.maximum(np.abs(g) - 1.0, 0.0)
        for k, solution in enumerate(solutions):
            within = slice(*np.searchsorted(solution.indices, (start, stop)))
            own = solution.indices[within] - start
            distance[k, own] = np.abs(g[k, own] + np.sign(solution.weights[within]))
        found = np.maximum(found, distance.max(axis=1)).tolist()
    return found


def _constant_violation(solution: Solution, residual: Float64[np.ndarray, " samples"], intercept: Intercept) -> float:
    if intercept == "free":
        return abs(float(residual.mean()))
    slope, b = solution.C * float(residual.sum()), solution.intercept
    return max(abs(slope) - 1.0, 0.0) if b == 0 else abs(slope + float(np.sign(b)))


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
