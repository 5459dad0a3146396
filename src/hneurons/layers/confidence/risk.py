"""Risk over coverage: how often an answer is hallucinated among those that a detector is surest of.

Answers are given in the order of their scores, the least doubtful first; after i of n the coverage is i / n and the
risk the share of hallucinations among them. AURC is the risk averaged over i = 1..n, and its excess is AURC less that
of an oracle, which gives every right answer before the first wrong one (Geifman, Uziel and El-Yaniv, arXiv 1805.08206,
section 3). Answers of equal score come in random order: figures are expectations over it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from hneurons.layers.confidence.calibration import chance
from hneurons.layers.confidence.record import RandomRisk, RiskCoverage
from hneurons.probes.bootstrap import Bootstrap

POINTS = 40
"""Coverages at which a curve is written down."""


def aurc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the risk-coverage curve, for many weightings at once, as `hneurons.probes.metrics` has them.

    Args:
        y: (rows,) whether each answer is hallucinated.
        p: (rows,) doubt; low is answered first.
        weights: (resamples, rows) how often each row counts, whole numbers.

    Returns:
        (resamples,) mean risk over the answers given; what chance alone reaches is the mean of y.
    """
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))
    ordered = weights[:, order]
    size = np.add.reduceat(ordered, starts, axis=1)
    wrong = np.add.reduceat(ordered * y[order], starts, axis=1)
    before, wrong_before = np.cumsum(size, axis=1) - size, np.cumsum(wrong, axis=1) - wrong
    # answer j of a block of ties has risk (wrong_before + j * rate) / (before + j),
    # which is rate + (wrong_before - rate * before) / (before + j): the sum over j is one of 1 / (before + j)
    rate = np.divide(wrong, size, out=np.zeros_like(wrong), where=size > 0)
    total = size.sum(axis=1)
    harmonic = _harmonic(int(total.max()))
    steps = harmonic[np.rint(before + size).astype(np.int64)] - harmonic[np.rint(before).astype(np.int64)]
    area: np.ndarray = (wrong + (wrong_before - rate * before) * steps).sum(axis=1) / total
    return area


def oracle_aurc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AURC of an oracle on the same weightings; `p` is not looked at."""
    total, wrong = weights.sum(axis=1), (weights * y).sum(axis=1)
    harmonic = _harmonic(int(total.max()))
    n, m = np.rint(total).astype(np.int64), np.rint(wrong).astype(np.int64)
    area: np.ndarray = (m - (n - m) * (harmonic[n] - harmonic[n - m])) / total
    return area


def excess_aurc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AURC less that of the oracle: 0 is best."""
    excess: np.ndarray = aurc(y, p, weights) - oracle_aurc(y, p, weights)
    return excess


def curve(y: np.ndarray, p: np.ndarray, weights: np.ndarray, coverages: np.ndarray) -> np.ndarray:
    """(resamples, points) risk at each coverage, the share of the weight that is answered; in (0, 1].

    Between two answers, and within a block of ties, the next answer counts in part.
    """
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))
    ordered = weights[:, order]
    size = np.cumsum(np.add.reduceat(ordered, starts, axis=1), axis=1)
    wrong = np.cumsum(np.add.reduceat(ordered * y[order], starts, axis=1), axis=1)
    risks = np.empty((len(weights), len(coverages)))
    for i in range(len(weights)):
        wanted = coverages * size[i, -1]
        risks[i] = np.interp(wanted, np.r_[0.0, size[i]], np.r_[0.0, wrong[i]]) / wanted
    return risks


def risk_coverage(
    eval_set: str,
    scores: dict[str, Float64[np.ndarray, " rows"]],
    y: Bool[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    reference: str,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[RiskCoverage]:
    """Curves of several detectors on one set of answers, each with AURC, and AURC less that of `reference`.

    Args:
        eval_set: its name.
        scores: doubt by detector; probabilities or anything else that ranks.
        y: whether each answer is hallucinated.
        groups: resampled together; all detectors share the resamples.
        reference: one of the detectors, that the others are held against.
        resamples, seed: of the intervals.
    """
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    ones, base = np.ones((1, len(y))), float(y.mean())
    coverages = np.linspace(1 / POINTS, 1, POINTS)
    found = []
    for name, p in scores.items():
        again = _curves(bootstrap, y, p, coverages)
        low, high = np.percentile(again, [2.5, 97.5], axis=0)
        found.append(
            RiskCoverage(
                eval_set=eval_set,
                detector=name,
                n=len(y),
                base=base,
                aurc=bootstrap.estimate(aurc, y, p),
                excess=bootstrap.estimate(excess_aurc, y, p),
                over_entropy=bootstrap.difference(aurc, y, p, scores[reference]),
                coverage=tuple(_rounded(coverages)),
                risk=tuple(_rounded(curve(y, p, ones, coverages)[0])),
                low=tuple(_rounded(low)),
                high=tuple(_rounded(high)),
            )
        )
    return found


def random_risk(
    eval_set: str, draws: Sequence[Float64[np.ndarray, " rows"]], y: Bool[np.ndarray, " rows"]
) -> RandomRisk:
    """The spread of AURC and of the curve over detectors that read random neurons, on one set."""
    ones = np.ones((1, len(y)))
    coverages = np.linspace(1 / POINTS, 1, POINTS)
    curves = np.stack([curve(y, p, ones, coverages)[0] for p in draws])
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    return RandomRisk(
        eval_set=eval_set,
        base=float(y.mean()),
        oracle=float(oracle_aurc(y, y, ones)[0]),
        aurc=chance(np.array([aurc(y, p, ones)[0] for p in draws])),
        coverage=tuple(_rounded(coverages)),
        mean=tuple(_rounded(curves.mean(axis=0))),
        low=tuple(_rounded(low)),
        high=tuple(_rounded(high)),
    )


def _curves(
    bootstrap: Bootstrap, y: np.ndarray, p: np.ndarray, coverages: np.ndarray
) -> Float64[np.ndarray, "resamples points"]:
    """The curve on every resample: rank the rows once, and read the sums off at whole bins of coverage."""
    parts: list[np.ndarray] = []

    def read(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        parts.append(curve(y, p, weights, coverages))
        return np.zeros(len(weights))

    bootstrap.replicates(read, y, p)
    return np.concatenate(parts)


def _harmonic(n: int) -> Float64[np.ndarray, " n"]:
    """H_0..H_n, the sums of 1/i."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])


def _rounded(values: np.ndarray) -> list[float]:
    """Four digits: what a curve is drawn from."""
    return [round(float(each), 4) for each in values]
