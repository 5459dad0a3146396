"""Whether a probability of hallucination means what it says.

Bins hold equal numbers of answers, so that no bin is empty and each weighs the same. The calibration error over them,
mean |share hallucinated - mean probability|, is never 0 by chance: even a forecaster that is right in all it says shows
an error, the larger the fewer answers there are. It is therefore held against that forecaster (as the "consistency
bars" of Bröcker and Smith, Weather and Forecasting 22, 2007), and corrected by the bootstrap's estimate of its bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped

from hneurons.layers.confidence.record import Bin, Calibration, Chance, Confident
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.stability import wilson

N_BINS = 10
OWN = "its own probability"
"""What the model itself gives the answer that it gave."""
QUANTILES = (0.5, 0.9)
"""Of the faithful answers' probabilities: what counts as sure, and as very sure."""


def own_doubt(answers: Answers) -> Float64[np.ndarray, " rows"]:
    """1 - the probability that the model gives its own answer: the product over the answer's tokens.

    It is the probability of these very words; another wording of the same answer takes its share of it. Probabilities
    are at temperature 1, before anything is cut off by top-k or top-p.

    Raises:
        ProbeError: log-probabilities or numbers of tokens were not recorded.
    """
    log_prob, n_answer = answers.read("log_prob", "n_answer").T
    doubt: Float64[np.ndarray, " rows"] = -np.expm1(log_prob * n_answer)
    return doubt.clip(0.0, 1.0)


def equal_bins(p: Float64[np.ndarray, " rows"], n_bins: int = N_BINS) -> Int[np.ndarray, " rows"]:
    """The bin of each row, by rank: sizes differ by one at most, but equal probabilities are never parted.

    A run of equal values goes where its middle lies; numbers of bins that stay empty are not used.
    """
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = (ends - counts + ends - 1) / 2
    bins = np.minimum((middle * n_bins / len(p)).astype(np.int64), n_bins - 1)
    found: Int[np.ndarray, " rows"] = np.unique(bins, return_inverse=True)[1][inverse]
    return found


def ece_in(
    bins: Int[np.ndarray, " rows"], values: Float[np.ndarray, "#draws rows"], weights: Float[np.ndarray, "#draws rows"]
) -> Float64[np.ndarray, " drawn"]:
    """Mean |mean of `values`| over bins, by share of rows: `values` are outcome - probability, one row per draw."""
    member = (bins[:, None] == np.arange(bins.max() + 1)).astype(np.float64)
    gaps = (weights * values) @ member
    found: Float64[np.ndarray, " drawn"] = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return found


def calibration(
    eval_set: str,
    source: str,
    y: Bool[np.ndarray, " rows"],
    p: Float64[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    *,
    n_bins: int = N_BINS,
    resamples: int = 1000,
    draws: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Reliability, calibration error and Brier score of one source on one set.

    Args:
        eval_set, source: names.
        y: whether each answer is hallucinated.
        p: the probability that the source gives it.
        groups: resampled together.
        n_bins: bins of equal numbers of answers.
        resamples: of groups, for intervals.
        draws: of outcomes of the forecaster that is right in everything it says. They are independent, so that the
            control is a little narrow where the answers of a group go together.
        seed: of resamples and draws.
    """
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    bins = equal_bins(p, n_bins)
    ones = np.ones((1, len(y)))
    found = float(ece_in(bins, (y - p)[None], ones)[0])

    def again(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return ece_in(bins, (y - p)[None], weights)

    outcomes = np.random.default_rng(seed).random((draws, len(p))) < p
    perfect = ece_in(bins, outcomes - p, ones)
    base = float(y.mean())
    return Calibration(
        eval_set=eval_set,
        source=source,
        n=len(y),
        base=base,
        bins=tuple(_bin(y, p, groups, bins == k, resamples, seed) for k in range(bins.max() + 1)),
        ece=found,
        perfect=chance(perfect, found),
        debiased=debiased(found, bootstrap.replicates(again, y, p)),
        brier=bootstrap.estimate(metrics.brier, y, p),
        brier_constant=base * (1 - base),
    )


def debiased(found: float, replicates: Float64[np.ndarray, " resamples"]) -> Estimate:
    """2 * found - mean(replicates), with the basic bootstrap interval; all three at 0 or above.

    Percentiles of the replicates would not do: resampling adds to an ECE what chance added already, so that they may
    lie above the very figure that they are the interval of.
    """
    low, high = np.percentile(replicates, [2.5, 97.5])
    ends = 2 * found - replicates.mean(), 2 * found - high, 2 * found - low
    value, bottom, top = (max(0.0, float(each)) for each in ends)
    return Estimate(value=value, low=bottom, high=top)


def chance(draws: Float64[np.ndarray, " draws"], found: float | None = None) -> Chance:
    """The spread of draws; `p` that of a draw at least as high as `found`."""
    low, high = np.percentile(draws, [2.5, 97.5])
    p = None if found is None else float((1 + (draws >= found - 1e-12).sum()) / (1 + len(draws)))
    return Chance(mean=float(draws.mean()), low=float(low), high=float(high), draws=len(draws), p=p)


def confident(
    dev: Answers,
    answers: Answers,
    quantiles: Sequence[float] = QUANTILES,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Confident]:
    """Answers that the model is as sure of as of the upper part of its faithful answers on dev.

    Args:
        dev: faithful answers of it say what sure is; no answer of an evaluation set does.
        answers: of an evaluation set.
        quantiles: of the probabilities of faithful dev answers.
        resamples, seed: of intervals over groups.
    """
    sure, theirs = 1 - own_doubt(answers), 1 - own_doubt(dev)[~dev.hallucinated]
    bootstrap = Bootstrap(answers.groups, resamples=resamples, seed=seed)
    y = answers.hallucinated
    found = []
    for quantile in quantiles:
        cut = float(np.quantile(theirs, quantile))
        over = (sure > cut).astype(np.float64)
        found.append(
            Confident(
                eval_set=answers.name,
                quantile=quantile,
                probability=cut,
                n_hallucinated=int(y.sum()),
                n_faithful=int((~y).sum()),
                hallucinated=bootstrap.mean(over, y, "no answer is hallucinated"),
                faithful=bootstrap.mean(over, ~y, "no answer is faithful"),
            )
        )
    return found


def not_too_sure(found: Estimate, groups: Shaped[np.ndarray, " rows"]) -> Estimate:
    """A share of the rows of these groups; where it is 0 or 1, a Wilson interval on the number of groups.

    Resampling rows of one kind gives rows of one kind: its interval would have no width, however few there are.
    """
    if found.value not in (0.0, 1.0):
        return found
    n = len(np.unique(groups))
    low, high = wilson(n if found.value else 0, n)
    return Estimate(value=found.value, low=low, high=high)


def _bin(
    y: Bool[np.ndarray, " rows"],
    p: Float64[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    inside: Bool[np.ndarray, " rows"],
    resamples: int,
    seed: int,
) -> Bin:
    own = y[inside]
    bootstrap = Bootstrap(groups[inside], resamples=resamples, seed=seed)
    found = bootstrap.estimate(metrics.flagged, own, own.astype(np.float64))
    return Bin(n=len(own), probability=float(p[inside].mean()), hallucinated=not_too_sure(found, groups[inside]))
