"""States of any layer in two dimensions, and numbers for what such a picture may not be trusted with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from hneurons.errors import NotEnoughDataError, ProbeError
from hneurons.layers.concepts.controls import band
from hneurons.layers.concepts.labels import permuted_labels
from hneurons.layers.concepts.record import Flat, Grouping, Pictured
from hneurons.probes.bootstrap import Bootstrap

MOST = 600
"""Rows that UMAP is fitted on, and rows that distances are taken of."""
NEIGHBOURS = 10
DRAWS = 200
SHOWN = 200
"""Points of a set that a picture keeps."""


@dataclass(frozen=True)
class Projected:
    """Points of the states that were fitted on, and of the others, in their order; `explained` only of PCA."""

    how: Flat
    fitted: Float64[np.ndarray, "rows 2"]
    others: tuple[Float64[np.ndarray, "more 2"], ...]
    explained: tuple[float, float] | None


def project(
    states: Float[np.ndarray, "rows hidden"],
    others: Sequence[Float[np.ndarray, "more hidden"]] = (),
    how: Flat = "pca",
    *,
    seed: int = 0,
) -> Projected:
    """Lay states out in two dimensions, fitted on `states` alone and applied to `others`.

    PCA (scikit-learn): the two directions of largest variance, of centred states as they are, not standardised; the
    sign of each is that of its largest weight. UMAP (umap-learn; McInnes et al. 2018, arXiv 1802.03426): 15 neighbours,
    minimal distance 0.1, Euclidean, always the same for a seed; it keeps neighbourhoods, so distances between clusters
    and their sizes mean nothing, and it loads slowly the first time.

    Args:
        states: mean states of some layer, say.
        others: states that are laid out by what was fitted.
        how: "pca" or "umap".
        seed: of UMAP.

    Raises:
        NotEnoughDataError: too few states to fit on.
        ProbeError: there is no such projection.
    """
    if how not in ("pca", "umap"):
        raise ProbeError(f"there is no projection {how!r}; choose pca or umap")
    least = 3 if how == "pca" else 16
    if len(states) < least:
        raise NotEnoughDataError(f"{how} in two dimensions needs at least {least} states; there are {len(states)}")
    if how == "pca":
        made = PCA(n_components=2, svd_solver="full").fit(states.astype(np.float64))
        # scikit-learn's own rule for signs has changed between releases
        axes = made.components_ * np.sign(made.components_[[0, 1], np.abs(made.components_).argmax(axis=1)])[:, None]
        laid = [(each.astype(np.float64) - made.mean_) @ axes.T for each in (states, *others)]
        first, second = made.explained_variance_ratio_
        return Projected(how, laid[0], tuple(laid[1:]), (float(first), float(second)))
    from umap import UMAP  # several seconds, so only where it is asked for

    reducer = UMAP(n_components=2, n_neighbors=15, min_dist=0.1, random_state=seed, n_jobs=1)
    with warnings.catch_warnings():
        # a graph in several pieces is laid out piece by piece; that distances between clusters mean nothing is said
        warnings.filterwarnings("ignore", message="Graph is not fully connected", category=UserWarning)
        fitted = reducer.fit_transform(states)
        more = [reducer.transform(each) for each in others]
    return Projected(how, fitted.astype(np.float64), tuple(each.astype(np.float64) for each in more), None)


def grouping(
    points: Float[np.ndarray, "rows width"],
    y: Bool[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    bootstrap: Bootstrap,
    *,
    neighbours: int = NEIGHBOURS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Grouping:
    """How far two kinds lie apart: purity of neighbourhoods and silhouette, with what permuted labels give.

    Purity is the mean share, among the nearest neighbours of a row, of rows of its own kind; rows of its own group are
    not counted as neighbours (two answers to one question are neighbours anyway). Silhouette is the mean of (b - a) /
    max(a, b), a the mean distance to one's own kind and b that to the other (Rousseeuw 1987); Euclidean.

    Raises:
        NotEnoughDataError: fewer than two rows of a kind, or too few of other groups.
    """
    if min(y.sum(), (~y).sum()) < 2:
        raise NotEnoughDataError("at least two answers of either kind are needed to tell whether they lie apart")
    distances = cdist(points.astype(np.float64), points.astype(np.float64))
    apart = np.where(groups[:, None] == groups[None], np.inf, distances)
    if np.isfinite(apart).sum(axis=1).min() < neighbours:
        raise NotEnoughDataError(f"an answer has fewer than {neighbours} answers of other groups to be held against")
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :neighbours]
    dealt = np.concatenate([y[None], permuted_labels(y, draws, seed)])
    purities = (dealt[:, nearest] == dealt[:, :, None]).mean(axis=2)
    silhouettes = _silhouettes(distances, dealt)
    pure, distinct = band(purities[1:].mean(axis=1)), band(silhouettes[1:])
    assert pure is not None
    assert distinct is not None
    return Grouping(
        purity=bootstrap.mean(purities[0]),
        purity_permuted=pure,
        silhouette=float(silhouettes[0]),
        silhouette_permuted=distinct,
    )


def pictured(
    how: Flat,
    layer: int,
    eval_set: str,
    projected: Projected,
    points: Float64[np.ndarray, "rows 2"],
    states: Float[np.ndarray, "rows hidden"],
    hallucinated: Bool[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    *,
    full: Grouping | None = None,
    resamples: int = 1000,
    shown: int = 0,
    seed: int = 0,
) -> Pictured:
    """A picture of one set with its numbers; `full` spares what the states themselves hold where it is known."""
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    # evenly over the rows: a set's answers of either kind may stand together
    rows = np.unique(np.linspace(0, len(points) - 1, min(shown, len(points))).round().astype(np.int64))
    return Pictured(
        how=how,
        layer=layer,
        eval_set=eval_set,
        n_fitted=len(projected.fitted),
        n=len(points),
        explained=projected.explained,
        trustworthiness=float(trustworthiness(states, points, n_neighbors=min(NEIGHBOURS, (len(points) - 1) // 2))),
        flat=grouping(points, hallucinated, groups, bootstrap, seed=seed),
        full=full or grouping(states, hallucinated, groups, bootstrap, seed=seed),
        points=tuple((_short(points[row, 0]), _short(points[row, 1]), bool(hallucinated[row])) for row in rows),
    )


def _silhouettes(
    distances: Float64[np.ndarray, "rows rows"], ys: Bool[np.ndarray, "draws rows"]
) -> Float64[np.ndarray, " draws"]:
    held = ys.T.astype(np.float64)
    n, to_held = held.sum(axis=0), distances @ held
    to_rest = distances.sum(axis=1, keepdims=True) - to_held
    rest = len(held) - n
    own = np.where(held == 1, to_held / np.maximum(n - 1, 1), to_rest / np.maximum(rest - 1, 1))
    other = np.where(held == 1, to_rest / rest, to_held / n)
    larger = np.maximum(own, other)
    widths = np.divide(other - own, larger, out=np.zeros_like(own), where=larger > 0)
    found: Float64[np.ndarray, " draws"] = widths.mean(axis=0)
    return found


def _short(value: float) -> float:
    return float(f"{value:.3g}")
