"""How factuality and uncertainty relate: their angle, what is left of one without the other, and across sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.special import expit

from hneurons.layers.concepts.controls import aurocs, band, mean_differences, one_kind
from hneurons.layers.concepts.directions import Directions, fit_one
from hneurons.layers.concepts.labels import labels, orders, permuted_labels
from hneurons.layers.concepts.probing import Asked, Boots, fit_outside, scores
from hneurons.layers.concepts.record import Angle, Band, Concept, Removed, Transfer
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap
from hneurons.probes.logistic import fit_logistic
from hneurons.probes.metrics import Metric

DRAWS = 500
"""Permutations for the angle between directions."""
STRATA = 10
"""Parts of a set by entropy, within which answers are compared."""
FOLDS = 5
REMOVED = 5
"""Directions of permuted labels that are projected out, to see what taking any direction away does."""


def angle(directions: Directions, layer: int, fit: Asked, *, resamples: int = 200, seed: int = 0) -> Angle:
    """Cosine between the two differences of means of a layer, with its interval over groups and two nulls.

    States do not fill their space evenly, so two directions without any meaning are not as nearly orthogonal as random
    vectors are; hence labels are permuted. And the labels overlap, which alone turns the directions towards or away
    from each other; hence they are also permuted together.
    """
    median, X = directions.card.entropy_median, fit.states[:, layer].astype(np.float64)
    f, u = (labels(fit.answers, concept, median) for concept in ("factuality", "uncertainty"))
    value = cosine(*(directions.vectors[concept, "means"][layer] for concept in ("factuality", "uncertainty")))
    ones = np.ones((len(X), 1))
    parts = [np.concatenate([ones, X], axis=1) * mask[:, None] for mask in (f, ~f, u, ~u)]
    bootstrap = Bootstrap(fit.answers.groups, resamples=resamples, seed=seed)
    totals = bootstrap.totals(np.concatenate(parts, axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one kind has no direction
        means = [part[:, 1:] / part[:, :1] for part in np.split(totals, 4, axis=1)]
    replicates = _cosines(means[0] - means[1], means[2] - means[3])
    apart = _cosines(
        mean_differences(X, permuted_labels(f, DRAWS, seed)), mean_differences(X, permuted_labels(u, DRAWS, seed + 1))
    )
    dealt = orders(len(X), DRAWS, seed)
    alike = _cosines(mean_differences(X, f[dealt]), mean_differences(X, u[dealt]))
    weights = [directions.vectors[concept, "logistic"][layer] for concept in ("factuality", "uncertainty")]
    return Angle(
        layer=layer,
        cosine=bootstrap.interval(value, replicates),
        independent=_banded(apart),
        together=_banded(alike),
        logistic=cosine(*weights),
    )


def removed(
    directions: Directions,
    layer: int,
    fit: Asked,
    dev: Asked,
    sets: Sequence[Asked],
    boot: Boots,
    *,
    draws: int = REMOVED,
    seed: int = 0,
) -> list[Removed]:
    """What tells factual answers once uncertainty is taken out: of the states, or by comparing like with like.

    Out of the states: h - u (u.h), u the unit difference of means. What is left has equal means for certain and
    uncertain answers of the training set, so no linear probe tells them there. That is little: entropy is graded, and
    the states may hold more of it than which half it lies in. Like with like: only answers of one tenth of a set by
    their entropy are compared.
    """
    median = directions.card.entropy_median
    u = directions.vectors["uncertainty", "means"][layer]
    f = directions.vectors["factuality", "means"][layer]
    X, X_dev = without(fit.states[:, layer], u), without(dev.states[:, layer], u)
    refits = {
        concept: fit_logistic(X, labels(fit.answers, concept, median), X_dev, labels(dev.answers, concept, median))
        for concept in ("factuality", "uncertainty")
    }
    outside = fit_outside(directions, "factuality", fit, dev)
    others = _instead(directions, layer, fit, dev, draws, seed)
    found = []
    for asked in sets:
        factual, uncertain = (labels(asked.answers, concept, median) for concept in ("factuality", "uncertainty"))
        states, bootstrap, why = asked.states[:, layer], boot(asked.answers), one_kind(factual, "factuality")
        left = without(states, u)
        p = scores(directions, states, "factuality", layer, "means")
        q = expit((left @ f - (left @ f).mean()) / directions.scale("factuality", layer))
        probe = scores(directions, states, "factuality", layer, "logistic")
        entropy = expit(-asked.answers.read("entropy")[:, 0])
        within = alike(asked.answers)
        # Where nothing linear is left the fit is flat: what it puts out differs in its last digits, and is made equal.
        flat = np.round(refits["uncertainty"].probabilities(left), 6)
        found.append(
            Removed(
                layer=layer,
                eval_set=asked.answers.name,
                before=bootstrap.estimate(metrics.auroc, factual, p, why),
                after=bootstrap.estimate(metrics.auroc, factual, q, why),
                difference=bootstrap.difference(metrics.auroc, factual, q, p, why),
                refit_before=bootstrap.estimate(metrics.auroc, factual, probe, why),
                refit=bootstrap.estimate(metrics.auroc, factual, refits["factuality"].probabilities(left), why),
                refit_control=band(
                    np.array([aurocs(factual, (without(states, v) @ w)[:, None])[0] for v, w in others])
                ),
                uncertainty_left=bootstrap.estimate(metrics.auroc, uncertain, flat, one_kind(uncertain, "uncertainty")),
                within=bootstrap.estimate(within, factual, probe, why),
                outside_within=bootstrap.estimate(within, factual, outside(asked), why),
                within_gain=bootstrap.difference(within, factual, probe, outside(asked), why),
                entropy=bootstrap.estimate(metrics.auroc, factual, entropy, why),
                entropy_within=bootstrap.estimate(within, factual, entropy, why),
            )
        )
    return found


def _instead(
    directions: Directions, layer: int, fit: Asked, dev: Asked, draws: int, seed: int
) -> list[tuple[Float64[np.ndarray, " hidden"], Float64[np.ndarray, " hidden"]]]:
    """Unit directions of permuted uncertainty, and the weights for factuality of the states without them."""
    median, X, X_dev = directions.card.entropy_median, fit.states[:, layer], dev.states[:, layer]
    y, y_dev = (labels(each.answers, "factuality", median) for each in (fit, dev))
    dealt = permuted_labels(labels(fit.answers, "uncertainty", median), draws, seed)
    found = []
    for v in mean_differences(X, dealt):
        unit = v / np.linalg.norm(v)
        found.append((unit, fit_logistic(without(X, unit), y, without(X_dev, unit), y_dev).weights))
    return found


def without(
    states: Float[np.ndarray, "rows hidden"], unit: Float64[np.ndarray, " hidden"]
) -> Float64[np.ndarray, "rows hidden"]:
    """States with their part along a unit vector taken off, in float64."""
    wide = states.astype(np.float64)
    left: Float64[np.ndarray, "rows hidden"] = wide - (wide @ unit)[:, None] * unit
    return left


def alike(answers: Answers) -> Metric:
    """AUROC over pairs of answers of one tenth of the set by entropy; every such pair counts the same."""
    entropy = answers.read("entropy")[:, 0]
    strata = np.argsort(np.argsort(entropy, kind="stable"), kind="stable") * STRATA // len(entropy)

    def metric(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        pairs, won = np.zeros(len(weights)), np.zeros(len(weights))
        for stratum in range(STRATA):
            rows = strata == stratum
            w, own = weights[:, rows], y[rows]
            n = (w * own).sum(axis=1) * (w * ~own).sum(axis=1)
            pairs += n
            won += np.where(n > 0, np.nan_to_num(metrics.auroc(own, p[rows], w)) * n, 0.0) if rows.any() else 0.0
        found = np.full(len(weights), np.nan)
        np.divide(won, pairs, out=found, where=pairs > 0)
        return found

    return metric


def transfer(
    directions: Directions, concept: Concept, layer: int, fit: Asked, sets: Sequence[Asked], boot: Boots, *, seed: int
) -> list[Transfer]:
    """Differences of means of a layer, fitted on each set in turn and tested on each; within a set, in five folds.

    It describes how alike the sets are; nothing is chosen by it.
    """
    median = directions.card.entropy_median
    every = [fit, *sets]
    truths = [labels(asked.answers, concept, median) for asked in every]
    units = []
    for asked, y in zip(every, truths, strict=True):
        usable = min(y.sum(), (~y).sum()) >= FOLDS
        units.append(mean_differences(asked.states[:, layer], y[None])[0] if usable else None)
    found = []
    for source, unit in zip(every, units, strict=True):
        if unit is None:
            continue
        for asked, y, own in zip(every, truths, units, strict=True):
            if asked is source:
                along = _folded(asked, layer, concept, median, seed)
            else:
                along = asked.states[:, layer].astype(np.float64) @ unit
            p = expit((along - along.mean()) / max(along.std(), 1e-12))
            found.append(
                Transfer(
                    concept=concept,
                    layer=layer,
                    fitted_on=source.answers.name,
                    tested_on=asked.answers.name,
                    auroc=boot(asked.answers).estimate(metrics.auroc, y, p, one_kind(y, concept)),
                    cosine=None if own is None else cosine(unit, own),
                )
            )
    return found


def cosine(a: Float64[np.ndarray, " hidden"], b: Float64[np.ndarray, " hidden"]) -> float:
    """Cosine of the angle between two vectors."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _folded(asked: Asked, layer: int, concept: Concept, median: float, seed: int) -> Float64[np.ndarray, " rows"]:
    """Readings of each answer along a direction that was fitted without its group."""
    X, y = asked.states[:, layer].astype(np.float64), labels(asked.answers, concept, median)
    names, member = np.unique(asked.answers.groups, return_inverse=True)
    folds: Int[np.ndarray, " rows"] = (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[member]
    along = np.zeros(len(X))
    for fold in range(FOLDS):
        here = folds == fold
        if not here.any():
            continue
        unit, offset, _ = fit_one(X[~here], y[~here], X[~here], y[~here], "means")
        along[here] = (X[here] @ unit - offset) / (X[~here] @ unit).std()
    return along


def _cosines(
    a: Float64[np.ndarray, "draws hidden"], b: Float64[np.ndarray, "draws hidden"]
) -> Float64[np.ndarray, " draws"]:
    found: Float64[np.ndarray, " draws"] = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return found


def _banded(values: Float64[np.ndarray, " draws"]) -> Band:
    found = band(values)
    assert found is not None
    return found
