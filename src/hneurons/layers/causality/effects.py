"""From readings to figures: effects with intervals over groups, and what separates two kinds of answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy.stats import false_discovery_control

from hneurons.layers.causality.ablation import FIRST, LOGPROB, MARGIN
from hneurons.layers.causality.mediation_record import Change, Effects, Intact
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.controls import Band, permute_labels

SMALL = 1e-9
"""A total effect that is smaller has no shares."""


def mean(
    bootstrap: Bootstrap, values: Float64[np.ndarray, " rows"], rows: Bool[np.ndarray, " rows"] | None = None
) -> Estimate:
    """The mean over `rows` (all if left out), with its interval over groups."""
    return ratio(bootstrap, values, np.ones(len(values)), rows, "there is no such answer")


def ratio(
    bootstrap: Bootstrap,
    over: Float64[np.ndarray, " rows"],
    under: Float64[np.ndarray, " rows"],
    rows: Bool[np.ndarray, " rows"] | None = None,
    undefined: str = "the total effect is zero",
) -> Estimate:
    """Mean of `over` by mean of `under`, over `rows`, with its interval over groups: no mean of ratios."""
    kept = np.ones(len(over), dtype=bool) if rows is None else rows
    columns = np.where(kept[:, None], np.stack([over, under], axis=1), 0.0)
    value, replicates = _divided(columns.sum(axis=0)[None]), _divided(bootstrap.totals(columns))
    return bootstrap.interval(float(value[0]), replicates, undefined)


def effects(
    bootstrap: Bootstrap,
    total: Float64[np.ndarray, " pairs"],
    indirect: Float64[np.ndarray, " pairs"],
    direct: Float64[np.ndarray, " pairs"],
) -> Effects:
    """Means and shares of the indirect and the direct effect, and of what they leave of the total.

    A pair of which the indirect effect is NaN was not asked, and counts in neither, nor in the total.
    """
    rest, rows = total - indirect - direct, np.isfinite(indirect)
    return Effects(
        nie=mean(bootstrap, indirect, rows),
        nde=mean(bootstrap, direct, rows),
        interaction=mean(bootstrap, rest, rows),
        nie_share=ratio(bootstrap, indirect, total, rows),
        nde_share=ratio(bootstrap, direct, total, rows),
        interaction_share=ratio(bootstrap, rest, total, rows),
    )


def change(
    bootstrap: Bootstrap,
    intact: Float64[np.ndarray, "answers 3"],
    ablated: Float64[np.ndarray, "answers 3"],
    rows: Bool[np.ndarray, " answers"],
) -> Change:
    """What ablation changes in the answers `rows`; readings as of `Forks.read`."""
    moved = ablated - intact
    rivalled = rows & ~np.isnan(moved[:, MARGIN])
    return Change(
        logprob=mean(bootstrap, moved[:, LOGPROB], rows),
        margin=mean(bootstrap, np.nan_to_num(moved[:, MARGIN]), rivalled) if rivalled.any() else None,
        first=mean(bootstrap, moved[:, FIRST], rows),
        rate=mean(bootstrap, ablated[:, FIRST], rows),
    )


def unchanged(
    bootstrap: Bootstrap, intact: Float64[np.ndarray, "answers 3"], rows: Bool[np.ndarray, " answers"]
) -> Intact:
    """The answers `rows` as they are."""
    rivalled = rows & ~np.isnan(intact[:, MARGIN])
    return Intact(
        n=int(rows.sum()),
        logprob=mean(bootstrap, intact[:, LOGPROB], rows),
        margin=mean(bootstrap, np.nan_to_num(intact[:, MARGIN]), rivalled) if rivalled.any() else None,
        rate=mean(bootstrap, intact[:, FIRST], rows),
    )


def between(
    bootstrap: Bootstrap, values: Float64[np.ndarray, " answers"], hallucinated: Bool[np.ndarray, " answers"]
) -> Estimate:
    """Mean over hallucinated answers less mean over faithful ones, with its interval over groups."""
    columns = np.stack(
        [np.where(hallucinated, values, 0), hallucinated, np.where(hallucinated, 0, values), ~hallucinated], axis=1
    ).astype(np.float64)

    def apart(sums: Float64[np.ndarray, "resamples 4"]) -> Float64[np.ndarray, " resamples"]:
        return np.asarray(_divided(sums[:, :2]) - _divided(sums[:, 2:]))

    value = float(apart(columns.sum(axis=0)[None])[0])
    return bootstrap.interval(value, apart(bootstrap.totals(columns)), "answers of one kind only")


def permuted(
    values: Float64[np.ndarray, "answers components"],
    hallucinated: Bool[np.ndarray, " answers"],
    sets: Shaped[np.ndarray, " answers"],
    groups: Shaped[np.ndarray, " answers"],
    *,
    permutations: int,
    seed: int,
) -> Float64[np.ndarray, " components"]:
    """Two-sided p-value of every component's difference between the kinds: verdicts are exchanged within each set.

    What lies between sets is taken off first. The labels of a group stay together (`permute_labels`), and all
    components see the same permutations. p = (1 + those at least as far from zero) / (1 + permutations).
    """
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(sets == name) for name in np.unique(sets)]
    values = values.copy()
    for place in places:
        values[place] -= values[place].mean(axis=0)
    seen = np.abs(_apart(values, hallucinated))
    beyond = np.zeros(values.shape[1])
    for _ in range(permutations):
        labels = hallucinated.copy()
        for place in places:
            labels[place] = permute_labels(hallucinated[place], groups[place], random)
        beyond += np.abs(_apart(values, labels)) >= seen - 1e-12
    return np.asarray((1 + beyond) / (1 + permutations))


def corrected(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's q-values of tests that belong together."""
    return [float(q) for q in false_discovery_control(np.asarray(p))] if len(p) else []


def band(values: Sequence[float | None]) -> Band:
    """A control's draws: mean and percentiles."""
    kept = [each for each in values if each is not None]
    if not kept:
        return Band(mean=None, low=None, high=None, values=(), reason="there is no draw")
    low, high = np.percentile(kept, [2.5, 97.5])
    return Band(mean=float(np.mean(kept)), low=float(low), high=float(high), values=tuple(kept))


def _apart(
    values: Float64[np.ndarray, "answers components"], hallucinated: Bool[np.ndarray, " answers"]
) -> Float64[np.ndarray, " components"]:
    return np.asarray(values[hallucinated].mean(axis=0) - values[~hallucinated].mean(axis=0))


def _divided(sums: Float64[np.ndarray, "resamples 2"]) -> Float64[np.ndarray, " resamples"]:
    small = np.abs(sums[:, 1]) < SMALL
    return np.where(small, np.nan, sums[:, 0] / np.where(small, 1.0, sums[:, 1]))
