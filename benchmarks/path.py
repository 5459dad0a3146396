"""The sparse path from disk: at the size of real models, and against what others hold in memory.

    python benchmarks/path.py --part scale                                # 458,752 neurons: a model of 7B or 8B
    python benchmarks/path.py --part scale --neurons 2293760 --no-resamples   # 70B; 18 GB of disk
    python benchmarks/path.py --part against --adelie OTHER/bin/python    # adelie needs numpy 1, so a python of its own
    python benchmarks/path.py --part scale --neurons 5000 --quick         # a try

The matrix is made up (see `contributions.py`: Atlas's marginals and correlations, 40 neurons planted): 2,000 answers
and as many other-token vectors, ten values of C over a factor of 100. It is written once, by a process of its own, as
halves scaled by column, and fitted from that file.

scale     seconds of the path, from the choice of the grid to the float64 certificate; of 5 folds and 100 half-samples
          over the same grid; peak memory above the interpreter with everything imported; planted neurons found
against   the same path beside liblinear (cold for each C), saga, skglm (warm along C) and adelie (its own path), which
          all hold the matrix; and what storing halves does to the solutions
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from skglm.datafits import Logistic
from skglm.penalties import L1
from skglm.solvers import ProxNewton
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from contributions import MadeUp, make_up
from figures import Figure, add_json, save
from hneurons.probes.columns_file import FileColumns
from hneurons.probes.following import Problem
from hneurons.probes.path import c_grid, fit_path, fit_paths, violations
from hneurons.probes.solution import Solution
from hneurons.probes.solver import warm_up
from hneurons.probes.stability import jaccard

T = TypeVar("T")
VALUES = 10
ADELIE = """
import json, sys, time
import adelie, numpy as np
X, y = np.asfortranarray(np.load(sys.argv[1]).T), np.load(sys.argv[2]).astype(np.float32)
penalties = np.array(json.loads(sys.argv[3]), dtype=np.float32)
began = time.perf_counter()
state = adelie.grpnet(
    adelie.matrix.dense(X, n_threads=2), adelie.glm.binomial(y, dtype=np.float32), lmda_path=penalties, intercept=True,
    early_exit=False, adev_tol=1.0, ddev_tol=0.0, tol=1e-7, progress_bar=False,
)
seconds = time.perf_counter() - began
betas = state.betas.toarray()
print(json.dumps({"seconds": seconds, "supports": [np.flatnonzero(b).tolist() for b in betas]}))
"""


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and its seconds."""
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


def megabytes() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def made(folder: Path, neurons: int, responses: int, stored: str) -> tuple[FileColumns, MadeUp]:
    """The matrix in a file, written by another process, so that this one's memory tells of the fit alone."""
    file = folder / f"{neurons}-{stored}.safetensors"
    if not file.exists():
        script = Path(__file__).with_name("contributions.py")
        given = ["--make", str(file), "--neurons", str(neurons), "--responses", str(responses), "--stored", stored]
        _, seconds = timed(lambda: subprocess.run([sys.executable, str(script), *given], check=True))
        print(f"{file.name} of {file.stat().st_size / 1e9:.2f} GB made in {seconds:.0f} s", flush=True)
    return FileColumns.open(file), make_up(neurons, responses)


def plain_pass(columns: FileColumns) -> float:
    """Seconds of reading the file once and doing nothing with it."""
    return timed(lambda: sum(float(block[0, 0]) for _, block in columns.blocks()))[1]


def scale(columns: FileColumns, data: MadeUp, resamples: int, settings: dict[str, int]) -> list[Figure]:
    """The path on one file, alone and resampled."""
    y, before = data.hallucinated, megabytes()
    reading = plain_pass(columns)
    (Cs, path), seconds = timed(lambda: _path(columns, y))
    violation = max(solution.violation for solution in path)
    passes = max(solution.n_iter for solution in path) + 3  # the grid, the first candidates, the certificate
    what = "path of ten C, from the file to the float64 certificate"
    found = [
        Figure(what=what, against="", value=seconds, unit="s", at_most=120 if settings["neurons"] <= 458752 else None,
               settings=settings, note=f"{passes} passes; largest violation {violation:.1e}"),
        Figure(what=what, against="reading the file once and nothing else", value=seconds / reading, settings=settings,
               note=f"one reading takes {reading:.1f} s"),
        Figure(what="peak memory above the interpreter, the path", against="", value=megabytes() - before, unit="MB",
               at_most=1536, settings=settings),
    ]  # fmt: skip
    for k, solution in enumerate(path):
        hits = np.isin(data.planted, solution.positive).sum()
        print(
            f"C {solution.C:8.3g}: {len(solution.indices):4d} weights, {len(solution.positive):4d} positive, "
            f"recall {hits / len(data.planted):.2f}, precision {hits / max(1, len(solution.positive)):.2f}, "
            f"violation {solution.violation:.1e}, passes {solution.n_iter}",
            flush=True,
        )
        if k in (3, 5, 7, 9):
            found += _found(data, solution, k, settings)
    if resamples:
        problems = _resampled(y, resamples)
        together, seconds = timed(lambda: fit_paths(columns, problems, Cs, progress="resamples"))
        violation = max(solution.violation for each in together for solution in each)
        found += [
            Figure(what=f"5 folds and {resamples} half-samples, ten C each", against="", value=seconds, unit="s",
                   at_most=600, settings=settings, note=f"largest violation {violation:.1e}, in float32"),
            Figure(what="peak memory above the interpreter, resamples too", against="", value=megabytes() - before,
                   unit="MB", at_most=1536, settings=settings),
        ]  # fmt: skip
        for k in (3, 5):
            often = _often([path[k] for path in together[5:]], columns.shape[1])
            hits = np.isin(data.planted, often).sum()
            found.append(
                Figure(what=f"planted neurons among those of half of the half-samples, C number {k + 1}", against="",
                       value=float(hits / max(1, len(often))), unit="precision", settings=settings,
                       note=f"{len(often)} neurons; recall {hits / len(data.planted):.2f}")
            )  # fmt: skip
    return found


def _path(columns: FileColumns, y: np.ndarray) -> tuple[tuple[float, ...], tuple[Solution, ...]]:
    Cs = c_grid(columns, y, VALUES)
    return Cs, fit_path(columns, y, Cs).solutions


def _found(data: MadeUp, solution: Solution, k: int, settings: dict[str, int]) -> list[Figure]:
    hits, chosen = int(np.isin(data.planted, solution.positive).sum()), len(solution.positive)
    note = f"{chosen} H-Neurons, recall {hits}/{len(data.planted)}"
    return [
        Figure(what=f"planted neurons among the H-Neurons, C number {k + 1} of ten", against="", unit="precision",
               value=hits / max(1, chosen), settings=settings, note=note)
    ]  # fmt: skip


def _resampled(y: np.ndarray, resamples: int) -> list[Problem]:
    """Five folds, each without a fifth of the answers and their other-token vectors, and halves of them."""
    random = np.random.default_rng(0)
    answers = len(y) // 2

    def problem(kept: np.ndarray) -> Problem:
        rows = np.sort(np.concatenate([kept, kept + answers]))
        return Problem(rows, y[rows])

    fold = random.permutation(answers) % 5
    folds = [problem(np.flatnonzero(fold != k)) for k in range(5)]
    return folds + [problem(random.permutation(answers)[: answers // 2]) for _ in range(resamples)]


def _often(solutions: list[Solution], neurons: int) -> np.ndarray:
    counts = np.bincount(np.concatenate([solution.positive for solution in solutions]), minlength=neurons)
    return np.flatnonzero(counts >= len(solutions) / 2)


def against(folder: Path, neurons: int, responses: int, args: argparse.Namespace) -> list[Figure]:
    """All solvers on one matrix, those in memory on the float32 numbers that the file holds as halves."""
    columns, data = made(folder, neurons, responses, "float16")
    y, settings = data.hallucinated, {"neurons": neurons, "rows": data.rows}
    (Cs, ours), seconds = timed(lambda: _path(columns, y))
    X = np.empty((neurons, data.rows), dtype=np.float32)
    for start, block in columns.blocks():
        X[start : start + block.shape[1]] = block.T
    X, whole = X.T, Problem(np.arange(data.rows), y)
    print(f"{neurons} neurons: ours {seconds:.1f} s a path", flush=True)

    def figure(name: str, theirs: float, note: str, goal: float | None = None) -> Figure:
        print(f"  {name}: {theirs:.1f} s a C; {note}", flush=True)
        return Figure(what=f"{name}, seconds for one C", against="ours, a tenth of the path", at_least=goal,
                      value=theirs / (seconds / VALUES), settings=settings, note=note)  # fmt: skip

    found = []
    chosen = [Cs[k] for k in args.compared]
    for name, options in (("liblinear", {"solver": "liblinear"}), ("saga", {"solver": "saga", "max_iter": args.saga})):
        if neurons > args.most.get(name, neurons):
            continue
        fits, theirs = timed(lambda o=options: [_sklearn(X, y, C, o) for C in chosen])
        kind = "penalised" if name == "liblinear" else "free"
        missed = max(violations(X, whole, fits, intercept=kind))
        overlap = min(jaccard(ours[Cs.index(C)].indices, fit.indices) for C, fit in zip(chosen, fits, strict=True))
        goal = 50 if name == "liblinear" and neurons == max(args.neurons) else None
        found.append(figure(name, theirs / len(chosen), f"violation {missed:.1e}, overlap {overlap:.2f}", goal))
    if neurons <= args.most.get("skglm", neurons):
        fits, theirs = timed(lambda: _skglm(X, y, Cs))
        overlap = min(jaccard(a.indices, b.indices) for a, b in zip(ours, fits, strict=True))
        missed = max(violations(X, whole, fits))
        found.append(figure("skglm, warm along C", theirs / VALUES, f"violation {missed:.1e}, overlap {overlap:.2f}"))
    if args.adelie:
        supports, theirs = _adelie(args.adelie, folder, X, y, Cs)
        overlap = min(jaccard(a.indices, b) for a, b in zip(ours, supports, strict=True))
        found.append(figure("adelie, warm along C", theirs / VALUES, f"overlap {overlap:.2f}"))
    return [*found, *_halves(folder, neurons, responses, Cs, ours, settings)]


def _sklearn(X: np.ndarray, y: np.ndarray, C: float, options: dict[str, object]) -> Solution:
    """One cold fit with scikit-learn's own tolerance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(l1_ratio=1.0, C=C, random_state=0, **options).fit(X, y)
    indices = np.flatnonzero(model.coef_[0])
    weights = model.coef_[0, indices].astype(np.float64)
    return Solution(C, indices, weights, float(model.intercept_[0]), float("nan"), int(model.n_iter_[0]))


def _skglm(X: np.ndarray, y: np.ndarray, Cs: tuple[float, ...]) -> list[Solution]:
    """Its own working sets, from one C to the next; columns in the units of the penalty, or it stops at once."""
    signed, found = np.where(y, 1.0, -1.0), []
    start, logits = np.zeros(X.shape[1] + 1), np.zeros(len(y))
    unit = X.astype(np.float64, order="F")
    for C in Cs:
        factor = C * len(y)
        unit *= factor
        start[:-1] /= factor
        logits = unit @ start[:-1] + start[-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver = ProxNewton(tol=1e-4, max_iter=50, max_pn_iter=100)
            start = solver.solve(unit, signed, Logistic(), L1(1.0), start, logits)[0]
        unit /= factor
        start[:-1] *= factor
        indices = np.flatnonzero(start[:-1])
        found.append(Solution(C, indices, start[indices].copy(), float(start[-1]), float("nan"), 0))
    return found


def _adelie(python: str, folder: Path, X: np.ndarray, y: np.ndarray, Cs: tuple[float, ...]) -> tuple[list, float]:
    np.save(folder / "X.npy", X.T)
    np.save(folder / "y.npy", y)
    penalties = json.dumps([1 / (C * len(y)) for C in Cs])
    command = [python, "-c", ADELIE, str(folder / "X.npy"), str(folder / "y.npy"), penalties]
    done = subprocess.run(command, capture_output=True, text=True)
    (folder / "X.npy").unlink()
    if done.returncode:
        sys.exit(f"adelie failed: {done.stderr.strip().splitlines()[-1]}")
    said = json.loads(done.stdout.splitlines()[-1])
    return said["supports"], said["seconds"]


def _halves(
    folder: Path, neurons: int, responses: int, Cs: tuple[float, ...], halves: tuple[Solution, ...], settings: dict
) -> list[Figure]:
    """The same path on the float32 numbers: what rounding to halves did."""
    columns, data = made(folder, neurons, responses, "float32")
    exact = fit_path(columns, data.hallucinated, Cs).solutions
    whole = Problem(np.arange(data.rows), data.hallucinated)
    missed = max(violations(columns, whole, halves))
    same = [jaccard(a.positive, b.positive) for a, b in zip(exact, halves, strict=True)]
    columns.path.unlink()
    return [
        Figure(what="H-Neurons of the path on halves and of that on float32, Jaccard, lowest over C", against="",
               value=min(same), unit="Jaccard", settings=settings,
               note=f"the solutions on halves miss optimality on float32 by {missed:.1e} of the penalty")
    ]  # fmt: skip


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("scale", "against"), default="scale")
    parser.add_argument("--neurons", type=int, nargs="+", help="458752, or 6144 24576 98304")
    parser.add_argument("--responses", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--no-resamples", action="store_true")
    parser.add_argument("--compared", type=int, nargs="+", default=[5], help="which C liblinear and saga fit, from 0")
    parser.add_argument("--saga", type=int, default=100, help="epochs")
    parser.add_argument("--adelie", help="a python that has adelie")
    parser.add_argument("--folder", type=Path, help="where the matrices are made, and kept")
    parser.add_argument("--quick", action="store_true", help="400 responses and 4 resamples")
    add_json(parser)
    args = parser.parse_args()
    args.most = {"saga": 24576, "skglm": 24576}  # beyond that they take too long
    args.neurons = args.neurons or ([458752] if args.part == "scale" else [6144, 24576, 98304])
    responses, resamples = (400, 4) if args.quick else (args.responses, args.resamples)
    warm_up()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for neurons in args.neurons:
            if args.part == "against":
                found += against(folder, neurons, responses, args)
            else:
                columns, data = made(folder, neurons, responses, "float16")
                settings = {"neurons": neurons, "rows": data.rows}
                found += scale(columns, data, 0 if args.no_resamples else resamples, settings)
                if args.folder is None:
                    columns.path.unlink()
    for figure in found:
        print(f"{figure.settings['neurons']:8d}  {figure.what}: {figure.value:.3g} {figure.unit}  {figure.note}")
    save(args.json, found)


if __name__ == "__main__":
    main()
