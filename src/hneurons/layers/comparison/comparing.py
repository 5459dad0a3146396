"""One set of answers compared: effect sizes, separability and similarity of every layer, before and after matching."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float64

from hneurons.errors import NotEnoughDataError
from hneurons.layers.comparison.chance import Drawn, against, exchanged, finite, flips, null_of, permuted
from hneurons.layers.comparison.cka import gram
from hneurons.layers.comparison.effects import centred, cross_fitted, halves, mean_abs_d, standardised
from hneurons.layers.comparison.matching import describe, match
from hneurons.layers.comparison.record import READS, Across, Adjacent, Compared, Level, Selection
from hneurons.layers.comparison.rows import Rows
from hneurons.layers.comparison.separability import folds, held_out_logits
from hneurons.layers.comparison.similarity import Pairs, across, adjacent
from hneurons.probes import metrics
from hneurons.probes.bootstrap import Bootstrap
from hneurons.progress import track

MIN_EACH = 10
"""Groups of either kind that a comparison takes at least."""
REFITS = 20
"""Permuted labellings that the logistic regression is fitted on."""
CKA_DRAWS = 200
"""Draws of pairs exchanged, and of partners drawn anew."""

States = Float[np.ndarray, "rows layers reads hidden"]


def compare(
    name: str,
    states: States,
    rows: Rows,
    *,
    faithful_from: str | None = None,
    n_bootstrap: int = 1000,
    n_permutations: int = 1000,
    seed: int = 0,
) -> Compared:
    """Compare the faithful with the hallucinated answers of one set, all of them and those that are matched.

    Args:
        name: of the set.
        states: of `collect_states`.
        rows: what is known of the same answers.
        faithful_from: the set that the faithful answers are of, where it is another.
        n_bootstrap: resamples of groups, for intervals.
        n_permutations: permutations of labels, for effect sizes.
        seed: of pairs, halves, folds, resamples and permutations.

    Raises:
        NotEnoughDataError: fewer than `MIN_EACH` groups of either kind.
    """
    check_enough(rows)
    draws = permuted(rows.hallucinated, rows.groups, n_permutations, seed)
    every = _selection(states, rows, draws, n_bootstrap, seed, f"comparing {name}")
    pairs = match(rows, seed)
    matching = describe(rows, pairs)
    # The two of a pair are never parted: a half with more hallucinated answers of one length than faithful ones leaves
    # the other half with fewer, and a fit to length would then be below chance there.
    chosen = replace(rows.take(pairs.ravel()), groups=np.repeat(np.arange(len(pairs)), 2))
    matched: Selection | None = None
    similar: tuple[list[Adjacent], list[Across]] = [], []
    try:
        check_enough(chosen)
    except NotEnoughDataError as error:
        reason = f"of the answers, {len(pairs)} pairs are matched: {error}"
    else:
        reason = ""
        draws = exchanged(flips(len(pairs), n_permutations, seed))
        own = states[pairs.ravel()]
        matched = _selection(own, chosen, draws, n_bootstrap, seed, f"comparing pairs of {name}")
        similar = _similar(own, Pairs.of(len(pairs), min(CKA_DRAWS, n_permutations), seed))
    return Compared(
        eval_set=name,
        faithful_from=faithful_from,
        every=every,
        matching=matching,
        matched=matched,
        adjacent=tuple(similar[0]),
        across=tuple(similar[1]),
        reason=reason,
    )


def check_enough(rows: Rows) -> None:
    """Refuse a selection that is too small to be split.

    Raises:
        NotEnoughDataError: fewer than `MIN_EACH` groups of either kind.
    """
    n = [len(np.unique(rows.groups[rows.hallucinated == kind])) for kind in (False, True)]
    if min(n) < MIN_EACH:
        raise NotEnoughDataError(
            f"there are {n[0]} questions with a faithful and {n[1]} with a hallucinated answer; "
            f"{MIN_EACH} of each are needed"
        )


@dataclass(frozen=True, eq=False)
class _Weights:
    """How often each row counts as hallucinated and as faithful: once as it is, then permuted, then resampled."""

    hallucinated: Float64[np.ndarray, "draws rows"]
    faithful: Float64[np.ndarray, "draws rows"]

    @classmethod
    def of(
        cls,
        y: Bool[np.ndarray, " rows"],
        permuted: Bool[np.ndarray, "permutations rows"],
        counts: Float64[np.ndarray, "resamples rows"],
    ) -> _Weights:
        return cls(np.concatenate([y[None], permuted, counts * y]), np.concatenate([~y[None], ~permuted, counts * ~y]))


def _selection(
    states: States, rows: Rows, draws: Bool[np.ndarray, "draws rows"], n_bootstrap: int, seed: int, doing: str
) -> Selection:
    bootstrap = Bootstrap(rows.groups, resamples=n_bootstrap, seed=seed)
    y, fold = rows.hallucinated, folds(rows.hallucinated, rows.groups, seed)
    weights = _Weights.of(y, draws, bootstrap.totals(np.eye(len(y))))
    first = halves(rows.groups, seed)
    labels = np.concatenate([y[None], draws[:REFITS]])
    baseline, said = (held_out_logits(columns, y[None], fold)[0] for columns in (rows.surface(), rows.spoken()))
    places = [(read, layer) for read in READS for layer in range(states.shape[1])]
    effects, spreads, found = [], [], []
    for read, layer in track(places, doing):
        X = states[:, layer, READS.index(read)]
        Z = standardised(X)
        g = cross_fitted(Z, weights.hallucinated, weights.faithful, first)
        d = mean_abs_d(Z, np.concatenate([y[None], draws]))
        logits = held_out_logits(X, labels, fold)
        by_chance = np.array(
            [metrics.auroc(own, p, np.ones((1, len(y))))[0] for own, p in zip(labels[1:], logits[1:], strict=True)]
        )
        effects.append(Drawn(float(g[0]), g[1 : 1 + len(draws)]))
        spreads.append(Drawn(float(d[0]), d[1:]))
        found.append(
            (
                bootstrap.interval(float(g[0]), centred(float(g[0]), g[1 + len(draws) :])),
                bootstrap.estimate(metrics.auroc, y, logits[0]),
                null_of(by_chance),
                bootstrap.difference(metrics.auroc, y, logits[0], baseline),
                bootstrap.difference(metrics.auroc, y, logits[0], said),
            )
        )
    levels = [
        Level(
            layer=layer, read=read, effect=effect, effect_against=effect_by, spread=finite(spread.value),
            spread_against=spread_by, auroc=auroc, permuted=by_chance, over_baseline=over, over_said=over_said,
        )
        for (read, layer), (effect, auroc, by_chance, over, over_said), effect_by, spread, spread_by in zip(
            places, found, against(effects), spreads, against(spreads), strict=True
        )
    ]  # fmt: skip
    return Selection(
        n_faithful=int((~y).sum()),
        n_hallucinated=int(y.sum()),
        n_groups=bootstrap.n_groups,
        baseline=bootstrap.estimate(metrics.auroc, y, baseline),
        said=bootstrap.estimate(metrics.auroc, y, said),
        levels=tuple(levels),
    )


def _similar(states: States, pairs: Pairs) -> tuple[list[Adjacent], list[Across]]:
    n_layers = states.shape[1]
    grams = {
        (read, layer): gram(states[:, layer, place]) for place, read in enumerate(READS) for layer in range(n_layers)
    }
    return adjacent(grams, n_layers, pairs), across(grams, n_layers, pairs)
