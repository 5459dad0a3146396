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

NO_ANSWER = "there is no such answer"
NO_EFFECT = "the total effect is zero"


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
        nie=bootstrap.mean(indirect, rows, NO_ANSWER),
        nde=bootstrap.mean(direct, rows, NO_ANSWER),
        interaction=bootstrap.mean(rest, rows, NO_ANSWER),
        nie_share=bootstrap.ratio(indirect, total, rows, NO_EFFECT),
        nde_share=bootstrap.ratio(direct, total, rows, NO_EFFECT),
        interaction_share=bootstrap.ratio(rest, total, rows, NO_EFFECT),
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
        logprob=bootstrap.mean(moved[:, LOGPROB], rows, NO_ANSWER),
        margin=bootstrap.mean(np.nan_to_num(moved[:, MARGIN]), rivalled, NO_ANSWER) if rivalled.any() else None,
        first=bootstrap.mean(moved[:, FIRST], rows, NO_ANSWER),
        rate=bootstrap.mean(ablated[:, FIRST], rows, NO_ANSWER),
    )


def unchanged(
    bootstrap: Bootstrap, intact: Float64[np.ndarray, "answers 3"], rows: Bool[np.ndarray, " answers"]
) -> Intact:
    """The answers `rows` as they are."""
    rivalled = rows & ~np.isnan(intact[:, MARGIN])
    return Intact(
        n=int(rows.sum()),
        logprob=bootstrap.mean(intact[:, LOGPROB], rows, NO_ANSWER),
        margin=bootstrap.mean(np.nan_to_num(intact[:, MARGIN]), rivalled, NO_ANSWER) if rivalled.any() else None,
        rate=bootstrap.mean(intact[:, FIRST], rows, NO_ANSWER),
    )


def between(
    bootstrap: Bootstrap, values: Float64[np.ndarray, " answers"], hallucinated: Bool[np.ndarray, " answers"]
) -> Estimate:
    """Mean over hallucinated answers less mean over faithful ones, with its interval over groups."""
    return bootstrap.gap(values, hallucinated, ~hallucinated, "answers of one kind only")


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
