"""What the samples of a question tell of its first answer: semantic entropy and consistency as detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy.stats import false_discovery_control, rankdata

from hneurons.errors import NotEnoughDataError
from hneurons.layers.confidence.calibration import chance
from hneurons.layers.confidence.meaning import AGREEMENT, SEMANTIC, Samples, figures
from hneurons.layers.confidence.record import BySamples, Chance, Pool, Sampled, Signal
from hneurons.probes import metrics
from hneurons.probes.bootstrap import Bootstrap, single_class
from hneurons.probes.controls import permute_labels

ALL, LEFT_OVER = "all questions", "left over by the fit"
FEWEST = 20
"""Answers of either kind without which a pool is left out."""


@dataclass(frozen=True)
class Drawn:
    """One question whose first sample is an answer.

    Attributes:
        group: what resamples keep together.
        hallucinated: the verdict on the first sample.
        samples: all of them, the first included.
        left_over: whether no detector was fitted or tuned on the question.
        answer: figures of doubt of the first answer alone, by name; the same names for every question.
    """

    group: str
    hallucinated: bool
    samples: Samples
    left_over: bool
    answer: Mapping[str, float]


def sampled(drawn: Sequence[Drawn], *, resamples: int = 1000, permutations: int = 1000, seed: int = 0) -> Sampled:
    """How well agreement over samples tells hallucinated first answers, and how many samples it takes.

    Nothing is fitted on the samples, so all questions can be read, and have to be: those left over by a fit that took
    every consistently wrong question are without the very hallucinations that samples cannot tell.

    Args:
        drawn: questions with as many samples each.
        resamples: of groups, for intervals.
        permutations: of labels among groups, for p-values, corrected for the number of figures.
        seed: of both.

    Raises:
        NotEnoughDataError: fewer than `FEWEST` first answers of either kind, or a single sample a question.
    """
    y = np.array([each.hallucinated for each in drawn], dtype=np.bool_)
    n_samples = min((len(each.samples.meanings) for each in drawn), default=0)
    if min(y.sum(), (~y).sum()) < FEWEST or n_samples < 2:
        raise NotEnoughDataError(
            f"of {len(drawn)} training questions whose first sample is an answer {int(y.sum())} are hallucinated, with "
            f"{n_samples} samples each; at least {FEWEST} of either kind and 2 samples are needed: ask more questions"
        )
    left = np.array([each.left_over for each in drawn], dtype=np.bool_)
    pools = []
    for name, inside in ((ALL, np.ones_like(left)), (LEFT_OVER, left)):
        if min((y & inside).sum(), (~y & inside).sum()) >= FEWEST:
            chosen = [drawn[i] for i in np.flatnonzero(inside).tolist()]
            pools.append(_pool(name, chosen, resamples=resamples, permutations=permutations, seed=seed))
    bootstrap = Bootstrap(_groups(drawn), resamples=resamples, seed=seed)
    return Sampled(
        samples=n_samples,
        clusters=float(np.mean([each.samples.meanings.max() + 1 for each in drawn])),
        wordings=float(np.mean([len(each.samples.texts) for each in drawn])),
        pools=tuple(pools),
        growing=tuple(_by_samples(drawn, y, k, bootstrap) for k in range(2, n_samples + 1)),
    )


def permuted_aurocs(
    labels: Bool[np.ndarray, "permutations rows"], p: Float64[np.ndarray, " rows"]
) -> Float64[np.ndarray, " permutations"]:
    """AUROC of `p` for each row of labels."""
    ranks, n = rankdata(p), labels.sum(axis=1)
    found: Float64[np.ndarray, " permutations"] = (labels @ ranks - n * (n + 1) / 2) / (n * (len(p) - n))
    return found


def permuted_labels(
    y: Bool[np.ndarray, " rows"], groups: Shaped[np.ndarray, " rows"], permutations: int, seed: int = 0
) -> Bool[np.ndarray, "permutations rows"]:
    """Labels permuted among groups, a row for each permutation."""
    random = np.random.default_rng(seed)
    return np.stack([permute_labels(y, groups, random) for _ in range(permutations)])


def two_sided(draws: Float64[np.ndarray, " permutations"], found: float) -> Chance:
    """The spread of permuted AUROCs, with the p-value of one as far from 0.5 as `found`."""
    spread = chance(draws)
    p = float((1 + (np.abs(draws - 0.5) >= abs(found - 0.5) - 1e-12).sum()) / (1 + len(draws)))
    return spread.model_copy(update={"p": p})


def corrected(found: Sequence[Chance | None]) -> list[Chance | None]:
    """The same with `q`: p corrected for the number of tests by Benjamini and Hochberg."""
    p = [each.p for each in found if each is not None and each.p is not None]
    q = iter(false_discovery_control(p) if p else ())
    return [each if each is None or each.p is None else each.model_copy(update={"q": float(next(q))}) for each in found]


def _pool(name: str, drawn: Sequence[Drawn], *, resamples: int, permutations: int, seed: int) -> Pool:
    y, groups = np.array([each.hallucinated for each in drawn], dtype=np.bool_), _groups(drawn)
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    rows = [figures(each.samples) for each in drawn]
    scores = {key: ("samples", np.array([row[key] for row in rows])) for key in rows[0]}
    scores |= {key: ("answer", np.array([each.answer[key] for each in drawn])) for key in drawn[0].answer}
    labels, ones = permuted_labels(y, groups, permutations, seed), np.ones((1, len(y)))
    chances = corrected(
        [two_sided(permuted_aurocs(labels, p), float(metrics.auroc(y, p, ones)[0])) for _, p in scores.values()]
    )
    reference = scores[SEMANTIC][1]
    signals = [
        Signal(
            name=key,
            reads=reads,
            auroc=bootstrap.estimate(metrics.auroc, y, p, single_class(y)),
            chance=found,
            over_entropy=bootstrap.difference(metrics.auroc, y, p, reference, single_class(y)),
        )
        for (key, (reads, p)), found in zip(scores.items(), chances, strict=True)
    ]
    return Pool(
        name=name,
        n=len(y),
        n_groups=bootstrap.n_groups,
        n_hallucinated=int(y.sum()),
        always_wrong=bootstrap.mean(
            np.array([each.samples.meanings.max() == 0 for each in drawn], dtype=np.float64), y
        ),
        signals=tuple(signals),
    )


def _by_samples(drawn: Sequence[Drawn], y: Bool[np.ndarray, " rows"], k: int, bootstrap: Bootstrap) -> BySamples:
    rows = [figures(each.samples.first(k), AGREEMENT, SEMANTIC) for each in drawn]
    semantic, agreement = (np.array([row[key] for row in rows]) for key in (SEMANTIC, AGREEMENT))
    return BySamples(
        k=k,
        semantic_entropy=bootstrap.estimate(metrics.auroc, y, semantic),
        agreement=bootstrap.estimate(metrics.auroc, y, agreement),
    )


def _groups(drawn: Sequence[Drawn]) -> Shaped[np.ndarray, " rows"]:
    return np.array([each.group for each in drawn])
