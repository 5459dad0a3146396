"""The sparse path: ours, warm-started over ten C, against scikit-learn's liblinear, cold for each C.

    python benchmarks/path.py
    python benchmarks/path.py --rows 200 --neurons 256 1024     # a try in seconds

liblinear minimises C * sum log(1 + exp(-y (w.x + b))) + ||w||_1 + |b|. We leave b unpenalised, which is the probe's own
objective ("free"), and for comparison also fit liblinear's ("penalised": columns cannot be centred then, and coordinate
descent is slower). All three see the same float32 data and the same C, one after the other in one process; liblinear
runs with scikit-learn's default tolerance. Columns are heavy-tailed (log-normal with bursts, about 1e-3), correlated
through twenty shared factors, and twenty of them tell. What is printed, for each number of neurons:

    wall, cpu     seconds of the whole path: wall time, and processor time for a machine that is busy with other things;
                  compilation of skglm's loops is before it and printed by itself
    ratio         liblinear's seconds over ours
    violation     the largest violation of the optimality conditions over C, in units of the penalty
    excess        how much larger liblinear's objective is than ours (penalised), at most, as a share
    overlap       Jaccard of the neurons selected by liblinear with ours, lowest over C
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from figures import Figure, add_json, save
from hneurons.probes.following import Problem
from hneurons.probes.path import c_grid, fit_path, violations
from hneurons.probes.solution import Solution
from hneurons.probes.solver import warm_up
from hneurons.probes.stability import jaccard

T = TypeVar("T")


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


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """What `work` returns, and its wall and processor seconds."""
    wall, busy = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - busy


def compare(rows: int, neurons: int, values: int, span: float) -> dict[str, float | int]:
    """All three paths on one data set."""
    X, y = make_data(rows, neurons)
    Cs = c_grid(X, y, values, span)
    free, *seconds_free = timed(lambda: fit_path(X, y, Cs).solutions)
    same, *seconds_same = timed(lambda: fit_path(X, y, Cs, intercept="penalised").solutions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs, *seconds_theirs = timed(lambda: [liblinear(X, y, C) for C in Cs])
    found: dict[str, float | int] = {"rows": rows, "neurons": neurons, "values of C": values}
    for k, unit in enumerate(("wall", "cpu")):
        found[f"liblinear {unit}"] = seconds_theirs[k]
        for name, seconds in (("free", seconds_free), ("penalised", seconds_same)):
            found[f"{name} {unit}"] = seconds[k]
            found[f"{name} ratio {unit}"] = seconds_theirs[k] / seconds[k]
    problem = Problem(np.arange(rows), y)
    found["liblinear violation"] = max(violations(X, problem, theirs, intercept="penalised"))
    found["free violation"] = max(solution.violation for solution in free)
    found["penalised violation"] = max(solution.violation for solution in same)
    found["excess"] = max(objective(X, y, b) / objective(X, y, a) - 1 for a, b in zip(same, theirs, strict=True))
    for name, ours in (("free", free), ("penalised", same)):
        found[f"{name} overlap"] = min(jaccard(a.indices, b.indices) for a, b in zip(ours, theirs, strict=True))
    found["selected at the last C"] = len(free[-1].indices)
    return found


def figures(found: dict[str, float | int]) -> list[Figure]:
    """liblinear's processor seconds over ours, with either intercept."""
    settings = {name: found[name] for name in ("rows", "neurons", "values of C")}
    shown = {"free": "the path, intercept free", "penalised": "the path, intercept penalised as liblinear's"}
    return [
        Figure(
            what="liblinear, cold for each C: processor seconds",
            against=against,
            value=found[f"{name} ratio cpu"],
            settings=settings,
            note=f"wall {found[f'{name} ratio wall']:.3g}; violation of ours {found[f'{name} violation']:.2g}",
        )
        for name, against in shown.items()
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--neurons", type=int, nargs="+", default=[6144, 49152])
    parser.add_argument("--values", type=int, default=10, help="how many values of C")
    parser.add_argument("--span", type=float, default=100.0, help="last C over the smallest with a neuron in it")
    add_json(parser)
    args = parser.parse_args()
    began = time.perf_counter()
    warm_up()
    print(f"compilation {time.perf_counter() - began:.1f} s; {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "skglm", "numba")))
    found = []
    for neurons in args.neurons:
        found.append(compare(args.rows, neurons, args.values, args.span))
        print()
        for name, value in found[-1].items():
            print(f"{name:24s} {value:.3g}" if isinstance(value, float) else f"{name:24s} {value}", flush=True)
    save(args.json, [figure for each in found for figure in figures(each)])


if __name__ == "__main__":
    main()
