"""The sparse path: ours, warm-started over ten C, against scikit-learn's liblinear, cold for each C.

    python benchmarks/path.py
    python benchmarks/path.py --rows 200 --neurons 256 1024     # a try in seconds

Both minimise C * sum log(1 + exp(-y (w.x + b))) + ||w||_1 + |b| (liblinear's objective, intercept penalised) on the
same float32 data and the same C, one after the other in one process; liblinear with scikit-learn's default tolerance.
Columns are heavy-tailed (log-normal with bursts, about 1e-3), correlated through twenty shared factors, and twenty of
them tell. What is printed, for each number of neurons:

    seconds       wall time of the whole path; compilation of skglm's loops is before it and printed by itself
    ratio         liblinear's seconds over ours; `ratio, CPU` is of processor seconds, for a machine that is busy
    excess        how much larger liblinear's objective is than ours, at most, as a share (negative: smaller)
    violation     the largest violation of the optimality conditions, in units of the penalty, of each
    overlap       Jaccard of the selected neurons, lowest and at the last C
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from hneurons.probes.path import Problem, c_grid, fit_path, violations
from hneurons.probes.solution import Solution
from hneurons.probes.solver import warm_up
from hneurons.probes.stability import jaccard


def make_data(rows: int, neurons: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Contributions (rows, neurons) as float32 in Fortran order, and labels."""
    random = np.random.default_rng(seed)
    y = random.random(rows) < 0.5
    factors = random.normal(size=(rows, 20)).astype(np.float32)
    tells = set(random.choice(neurons, min(20, neurons), replace=False).tolist())
    X = np.empty((rows, neurons), dtype=np.float32, order="F")
    for j in range(neurons):
        log = random.normal(-7.0, 0.7) + factors @ random.normal(0.0, 0.1, 20) + random.normal(0.0, 0.5, rows)
        log += (random.random(rows) < 0.01) * random.exponential(0.4, rows)
        X[:, j] = np.minimum(np.exp(log + 0.5 * y * (j in tells)), 1.0)
    return X, y


def objective(X: np.ndarray, y: np.ndarray, solution: Solution) -> float:
    """The objective with a penalised intercept, in float64."""
    z = solution.logits(X)
    loss = np.logaddexp(0, np.where(y, -z, z)).sum()
    return float(solution.C * loss + np.abs(solution.weights).sum() + abs(solution.intercept))


def liblinear(X: np.ndarray, y: np.ndarray, C: float) -> Solution:
    """One cold fit."""
    model = LogisticRegression(solver="liblinear", l1_ratio=1.0, C=C, random_state=0).fit(X, y)
    indices = np.flatnonzero(model.coef_[0])
    weights = model.coef_[0, indices].astype(np.float64)
    return Solution(C, indices, weights, float(model.intercept_[0]), float("nan"), int(model.n_iter_[0]))


def compare(rows: int, neurons: int, values: int, span: float) -> dict[str, float | int | str]:
    """Both paths on one data set."""
    X, y = make_data(rows, neurons)
    Cs = c_grid(X, y, values, span)
    began, busy = time.perf_counter(), time.process_time()
    ours = fit_path(X, y, Cs, intercept="penalised").solutions
    seconds, ours_busy = time.perf_counter() - began, time.process_time() - busy
    began, busy = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = [liblinear(X, y, C) for C in Cs]
    cold, cold_busy = time.perf_counter() - began, time.process_time() - busy
    excess = [objective(X, y, b) / objective(X, y, a) - 1 for a, b in zip(ours, theirs, strict=True)]
    overlap = [jaccard(a.indices, b.indices) for a, b in zip(ours, theirs, strict=True) if len(a.indices)]
    problem = Problem(np.arange(rows), y)
    return {
        "rows": rows,
        "neurons": neurons,
        "values of C": values,
        "ours, seconds": seconds,
        "liblinear, seconds": cold,
        "ratio": cold / seconds,
        "ratio, CPU": cold_busy / ours_busy,
        "excess": max(excess),
        "violation, ours": max(solution.violation for solution in ours),
        "violation, liblinear": max(violations(X, problem, theirs, intercept="penalised")),
        "overlap, lowest": min(overlap, default=1.0),
        "overlap, last": overlap[-1] if overlap else 1.0,
        "selected, last": len(ours[-1].indices),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--neurons", type=int, nargs="+", default=[6144, 49152])
    parser.add_argument("--values", type=int, default=10, help="how many values of C")
    parser.add_argument("--span", type=float, default=100.0, help="last C over the smallest with a neuron in it")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    began = time.perf_counter()
    warm_up()
    print(f"compilation {time.perf_counter() - began:.1f} s; {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "skglm", "numba")))
    found = []
    for neurons in args.neurons:
        found.append(compare(args.rows, neurons, args.values, args.span))
        print(
            "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in found[-1].items()), flush=True
        )
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
