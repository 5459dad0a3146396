"""Made-up contributions of any number of neurons, with the statistics of real ones, and neurons planted among them.

    python benchmarks/contributions.py RUN                          # take the statistics anew from a finished run
    python benchmarks/contributions.py --make FILE --neurons 458752    # write a matrix

`contributions.safetensors` holds what 512 neurons of Atlas (7.1M, the study of `hneurons demo`) did on its 2,400
training rows (600 hallucinated and 600 faithful answers, 1,200 other-token vectors): for each neuron the quantiles of
its logarithm, and its loadings on the 50 leading factors of the normal scores; for each kind of row the mean and
deviation of each factor.

Neuron j of the made-up matrix copies one of the 512 at random: z = loadings . factors + noise, x = exp(quantile(z)). So
columns have Atlas's skew and tails, are correlated through the factors, and differ between the kinds of rows as far as
the factors do. A planted neuron's z is besides raised by `effect` in hallucinated rows: it is the only kind of neuron
that knows more than the factors tell.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit, prange
from safetensors.numpy import load_file, save_file
from scipy.stats import norm, rankdata

from hneurons.probes.columns_file import write_columns
from hneurons.probes.labels import training_rows
from hneurons.study.measuring import read_measured
from hneurons.study.run import Run

STATISTICS = Path(__file__).with_name("contributions.safetensors")
NEURONS, FACTORS = 512, 50
GRID = np.linspace(-4, 4, 33)
"""Normal scores at which quantiles are kept."""

BLOCK = 512


@dataclass(frozen=True)
class MadeUp:
    """Rows as of "3-vs-1": hallucinated answers, faithful ones, and as many other-token vectors as answers."""

    hallucinated: np.ndarray
    is_other: np.ndarray
    planted: np.ndarray
    neurons: int
    seed: int
    effects: np.ndarray
    factors: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.hallucinated)

    def blocks(self) -> Iterator[np.ndarray]:
        """(rows, width) in float32, column after column; the same for the same seed."""
        statistics = load_file(STATISTICS)
        quantiles, loadings = (statistics[name].astype(np.float32) for name in ("quantiles", "loadings"))
        effect = np.zeros(self.neurons, dtype=np.float32)
        effect[self.planted] = self.effects
        for start in range(0, self.neurons, BLOCK):
            random = np.random.default_rng((self.seed, start))
            width = min(BLOCK, self.neurons - start)
            copied = random.integers(len(quantiles), size=width)
            own = loadings[copied] + random.normal(0, 0.03, (width, FACTORS)).astype(np.float32)
            common = np.minimum((own**2).sum(axis=1), 0.95)
            z = own @ self.factors.T
            z += random.standard_normal((width, self.rows), dtype=np.float32) * np.sqrt(1 - common)[:, None]
            z += effect[start : start + width, None] * self.hallucinated
            _exponentiate(z, quantiles[copied])
            yield z.T


@njit(parallel=True, cache=True)
def _exponentiate(z: np.ndarray, quantiles: np.ndarray) -> None:
    """z to exp(quantile(z)), in place, by straight lines between the quantiles that are kept."""
    for j in prange(z.shape[0]):
        for i in range(z.shape[1]):
            at = min(max((z[j, i] + 4.0) * 4.0, 0.0), 31.999)
            k = int(at)
            part = at - k
            z[j, i] = np.exp((1.0 - part) * quantiles[j, k] + part * quantiles[j, k + 1])


def make_up(neurons: int, responses: int = 2000, planted: int = 40, seed: int = 0) -> MadeUp:
    """`responses` answers, half of them hallucinated, and their other-token vectors."""
    random = np.random.default_rng(seed)
    statistics = load_file(STATISTICS)
    half = responses // 2
    kinds = np.repeat([0, 1, 2], [half, responses - half, responses])  # hallucinated, faithful, other
    factors = random.standard_normal((len(kinds), FACTORS))
    factors = statistics["means"][kinds] + statistics["deviations"][kinds] * factors
    chosen = np.sort(random.choice(neurons, min(planted, neurons), replace=False))
    effects = random.uniform(0.4, 0.8, len(chosen)).astype(np.float32)
    return MadeUp(kinds == 0, kinds == 2, chosen, neurons, seed, effects, factors.astype(np.float32))


def take_statistics(run: Run) -> dict[str, np.ndarray]:
    """What `contributions.safetensors` holds, from a finished run."""
    fit = read_measured(run, "train", "fit", with_other=True)
    rows = training_rows("3-vs-1", fit.answers.hallucinated, fit.answers.groups, fit.has_other)
    X = rows.matrix(fit.answers.contributions, fit.other).astype(np.float64)
    scores = norm.ppf((rankdata(X, axis=0) - 0.5) / len(X))
    left, size, right = np.linalg.svd(scores, full_matrices=False)
    factors = left[:, :FACTORS] * np.sqrt(len(X))
    loadings = right[:FACTORS].T * size[:FACTORS] / np.sqrt(len(X))
    kinds = np.where(rows.is_other, 2, np.where(rows.y, 0, 1))
    kept = np.random.default_rng(0).choice(X.shape[1], NEURONS, replace=False)
    quantiles = np.quantile(np.log(np.maximum(X[:, kept], 1e-9)), norm.cdf(GRID), axis=0).T
    found = {
        "quantiles": quantiles.astype(np.float16),
        "loadings": loadings[kept].astype(np.float16),
        "means": np.stack([factors[kinds == kind].mean(axis=0) for kind in range(3)]),
        "deviations": np.stack([factors[kinds == kind].std(axis=0) for kind in range(3)]),
    }
    return {name: np.ascontiguousarray(array) for name, array in found.items()}  # safetensors writes memory as it lies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--make", type=Path, metavar="FILE")
    parser.add_argument("--neurons", type=int, default=458752)
    parser.add_argument("--responses", type=int, default=2000)
    parser.add_argument("--stored", choices=("float32", "float16"), default="float16")
    args = parser.parse_args()
    if args.make:
        data = make_up(args.neurons, args.responses)
        write_columns(args.make, data.blocks(), data.rows, data.neurons, args.stored)
    elif args.run:
        save_file(take_statistics(Run.open(args.run)), STATISTICS)
    else:
        parser.error("name a finished run, or give --make FILE")


if __name__ == "__main__":
    main()
