"""Whether the H-Neurons rank among the neurons that changed least, and whether their layers alone would explain it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy import stats

from hneurons.errors import ProbeError, ProbeMismatchError
from hneurons.origins.record import RankTest, Score
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.controls import Band, band
from hneurons.probes.labels import Neuron

_CHUNK = 2**20
"""Neurons that are drawn at a time."""

_ROUNDING = 1e-12
"""Means of ranks that are this near are equal: they are sums of the same ranks in another order."""


def rank_test(
    score: Score,
    ranks: Float64[np.ndarray, "layers neurons"],
    hneurons: Sequence[Neuron],
    *,
    draws: int = 10_000,
    resamples: int = 2000,
    seed: int = 0,
) -> RankTest:
    """The mean rank of the H-Neurons against 0.5 and against that of as many neurons drawn at random.

    The t-test is the one of the paper (arXiv 2512.01797, section 6). It takes every neuron as an independent draw from
    all; but layers drift unequally, and H-Neurons gather in some. So as many neurons as the H-Neurons have in each
    layer are drawn without replacement from all neurons of that layer, H-Neurons included, which is a permutation test
    of which neurons of a layer bear the name.

    Args:
        score: what the ranks are by; kept in the record.
        ranks: of every neuron of the model, 0 changed most, 1 least.
        hneurons: (layer, index) of each.
        draws: draws of each permutation test.
        resamples: of the H-Neurons, for the interval of their mean rank.
        seed: of all draws.

    Raises:
        ProbeError: there are no H-Neurons, or one is named twice.
        ProbeMismatchError: an H-Neuron is none of the ranked neurons.
    """
    check_neurons(hneurons, ranks.shape)
    layers = np.array([layer for layer, _ in hneurons])
    own = ranks[layers, [index for _, index in hneurons]]
    n, mean = len(own), float(own.mean())
    random = np.random.default_rng(seed)
    anywhere = sums_of_draws(ranks.ravel(), n, draws, random) / n
    within = np.zeros(draws)
    for layer, count in zip(*np.unique(layers, return_counts=True), strict=True):
        within += sums_of_draws(ranks[layer], int(count), draws, random) / n
    varied = n > 1 and float(np.ptp(own)) > 0
    t = stats.ttest_1samp(own, 0.5, alternative="greater") if varied else None
    return RankTest(
        score=score,
        n=n,
        mean_rank=_mean(own, resamples, seed),
        t=None if t is None else float(t.statistic),
        t_p=None if t is None else float(t.pvalue),
        draws=draws,
        random=_spread(anywhere),
        random_p=_share(anywhere >= mean - _ROUNDING),
        random_p_more=_share(anywhere <= mean + _ROUNDING),
        matched=_spread(within),
        matched_p=_share(within >= mean - _ROUNDING),
        matched_p_more=_share(within <= mean + _ROUNDING),
    )


def check_neurons(hneurons: Sequence[Neuron], shape: tuple[int, ...]) -> None:
    """Raise unless there are neurons, each once, of a model of `shape` (layers, neurons of each)."""
    if not hneurons:
        raise ProbeError("there are no H-Neurons to rank; fit a probe that selects some (a larger C)")
    if len(set(hneurons)) < len(hneurons):
        raise ProbeError("an H-Neuron is named twice; name each once")
    for layer, index in hneurons:
        if not (0 <= layer < shape[0] and 0 <= index < shape[1]):
            raise ProbeMismatchError(
                f"there is no neuron {index} in layer {layer} of a model of {shape[0]} layers of {shape[1]:,} neurons; "
                "the H-Neurons are of another model"
            )


def sums_of_draws(
    values: Float64[np.ndarray, " pool"], size: int, draws: int, random: np.random.Generator
) -> Float64[np.ndarray, " draws"]:
    """Sums of `size` values drawn from the pool without replacement, as many times as there are draws.

    What is drawn twice is drawn again until all are different, so that the work depends on `size` and not on the pool.
    Since no step prefers a neuron to another, every set of that size is as likely. Where more than half are to be
    drawn, those that stay behind are.
    """
    if 2 * size > len(values):
        return np.asarray(values.sum() - sums_of_draws(values, len(values) - size, draws, random))
    if size == 0:
        return np.zeros(draws)
    at_a_time = max(1, _CHUNK // size)
    return np.concatenate(
        [
            values[_distinct(len(values), size, min(at_a_time, draws - done), random)].sum(axis=1)
            for done in range(0, draws, at_a_time)
        ]
    )


def _distinct(pool: int, size: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Numbers below `pool`, (draws, size), no two alike in a row."""
    found = np.sort(random.integers(pool, size=(draws, size)), axis=1)
    open_ = np.arange(draws)  # rows in which a number may stand twice
    while len(open_):
        again = np.zeros((len(open_), size), dtype=bool)
        again[:, 1:] = found[open_, 1:] == found[open_, :-1]
        open_, again = open_[again.any(axis=1)], again[again.any(axis=1)]
        rows = found[open_]
        rows[again] = random.integers(pool, size=int(again.sum()))
        found[open_] = np.sort(rows, axis=1)
    return found


def _mean(own: Float64[np.ndarray, " chosen"], resamples: int, seed: int) -> Estimate:
    if len(own) < 2:
        return Estimate(value=float(own[0]), low=None, high=None, reason="a single H-Neuron; no interval")
    bootstrap = Bootstrap(np.arange(len(own)), resamples=resamples, seed=seed)
    return bootstrap.interval(float(own.mean()), bootstrap.totals(own[:, None])[:, 0] / len(own))


def _spread(means: Float64[np.ndarray, " draws"]) -> Band:
    """Mean and percentiles alone: ten thousand values would be most of a run's results."""
    return band(means.tolist()).model_copy(update={"values": ()})


def _share(as_far: np.ndarray) -> float:
    """The p-value of a permutation test, the H-Neurons themselves counted as one of the draws."""
    return float((1 + as_far.sum()) / (1 + len(as_far)))
