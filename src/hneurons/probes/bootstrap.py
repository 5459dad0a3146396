"""Intervals by resampling questions: a group's rows stay together, and detectors are compared on the same resamples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped
from pydantic import BaseModel, ConfigDict

from hneurons.errors import ProbeError
from hneurons.probes import metrics
from hneurons.probes.metrics import Metric

CHUNK = 250
NOTHING = 1e-9
"""A sum that is smaller cannot be divided by."""
MIN_USED = 0.5


class Estimate(BaseModel):
    """A figure with its percentile interval; all three are None where it is undefined, and `reason` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


class Bootstrap:
    """Cluster bootstrap over the groups of one evaluation set.

    Groups are drawn with replacement, as many as there are; a row counts as often as its group was drawn. The draws
    depend on the seed and the groups alone, so two detectors on one set share them and their difference is paired.
    Percentile intervals are a little short: simulated, those of 95% cover an AUROC of 0.8 in 92% with 60 groups and in
    93% with 250.

    Args:
        groups: one key a row.
        resamples: number of draws.
        level: coverage of the percentile interval.
        seed: of the draws.
    """

    def __init__(
        self, groups: Shaped[np.ndarray, " rows"], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
    ) -> None:
        if not len(groups) or resamples < 1 or not 0 < level < 1:
            raise ProbeError(f"a bootstrap needs rows, resamples >= 1 and 0 < level < 1; got {len(groups)} rows")
        names, self._member = np.unique(groups, return_inverse=True)
        self.n_groups = len(names)
        self._tail = 100 * (1 - level) / 2
        random = np.random.default_rng(seed)
        shares = np.full(self.n_groups, 1 / self.n_groups)
        self._counts: Int[np.ndarray, "resamples groups"] = random.multinomial(self.n_groups, shares, size=resamples)

    def replicates(
        self, metric: Metric, y: Bool[np.ndarray, " rows"], p: Float64[np.ndarray, " rows"]
    ) -> Float64[np.ndarray, " resamples"]:
        """The metric on every resample; NaN where it is undefined."""
        return np.concatenate(
            [
                metric(y, p, self._counts[start : start + CHUNK, self._member].astype(np.float64))
                for start in range(0, len(self._counts), CHUNK)
            ]
        )

    def estimate(
        self, metric: Metric, y: Bool[np.ndarray, " rows"], p: Float64[np.ndarray, " rows"], undefined: str = ""
    ) -> Estimate:
        """The metric and its interval. `undefined` is the reason to give where the metric has no value."""
        value = float(metric(y, p, np.ones((1, len(y))))[0])
        return self.interval(value, self.replicates(metric, y, p), undefined)

    def difference(
        self,
        metric: Metric,
        y: Bool[np.ndarray, " rows"],
        p: Float64[np.ndarray, " rows"],
        q: Float64[np.ndarray, " rows"],
        undefined: str = "",
    ) -> Estimate:
        """metric(p) - metric(q) and its interval over shared resamples."""
        ones = np.ones((1, len(y)))
        value = float(metric(y, p, ones)[0] - metric(y, q, ones)[0])
        return self.interval(value, self.replicates(metric, y, p) - self.replicates(metric, y, q), undefined)

    def totals(self, values: Float64[np.ndarray, "rows columns"]) -> Float64[np.ndarray, "resamples columns"]:
        """The sum of every column over each resample, for figures that are made of sums: rates, means, ratios."""
        by_group = np.zeros((self.n_groups, values.shape[1]))
        np.add.at(by_group, self._member, values)
        return np.asarray(self._counts @ by_group)

    def ratios(
        self,
        over: Float64[np.ndarray, "rows columns"],
        under: Float64[np.ndarray, "rows below"],
        undefined: str = "",
    ) -> list[Estimate]:
        """The sum of each column of `over` by that of its column of `under`, or of its only one; no mean of ratios.

        `undefined` is the reason to give where the sum below is zero; resamples in which it is are left out.
        """
        columns = np.concatenate([over, under], axis=1)
        found, drawn = (
            _divided(sums[:, : over.shape[1]], sums[:, over.shape[1] :])
            for sums in (columns.sum(axis=0, keepdims=True), self.totals(columns))
        )
        return [self.interval(float(found[0, each]), drawn[:, each], undefined) for each in range(over.shape[1])]

    def means(
        self,
        values: Float64[np.ndarray, "rows columns"],
        kept: Bool[np.ndarray, "rows columns"],
        undefined: str = "",
    ) -> list[Estimate]:
        """The mean of each column over the rows that are kept there, with its interval over all groups."""
        return self.ratios(np.where(kept, values, 0.0), kept.astype(np.float64), undefined)

    def ratio(
        self,
        over: Float64[np.ndarray, " rows"],
        under: Float64[np.ndarray, " rows"],
        rows: Bool[np.ndarray, " rows"] | None = None,
        undefined: str = "",
    ) -> Estimate:
        """The sum of `over` by that of `under`, over `rows` (all if left out); see `ratios`."""
        kept = np.ones(len(over), dtype=bool) if rows is None else rows
        above, below = (np.where(kept, each, 0.0)[:, None] for each in (over, under))
        return self.ratios(above, below, undefined)[0]

    def mean(
        self, values: Float64[np.ndarray, " rows"], rows: Bool[np.ndarray, " rows"] | None = None, undefined: str = ""
    ) -> Estimate:
        """The mean over `rows` (all if left out), with its interval over all groups."""
        return self.ratio(values, np.ones(len(values)), rows, undefined)

    def gap(
        self,
        values: Float64[np.ndarray, " rows"],
        rows: Bool[np.ndarray, " rows"],
        others: Bool[np.ndarray, " rows"],
        undefined: str = "",
    ) -> Estimate:
        """The mean over `rows` less that over `others`, over shared resamples."""
        columns = np.stack(
            [column for kept in (rows, others) for column in (np.where(kept, values, 0.0), kept.astype(np.float64))],
            axis=1,
        )
        found, drawn = (
            _divided(sums[:, 0], sums[:, 1]) - _divided(sums[:, 2], sums[:, 3])
            for sums in (columns.sum(axis=0, keepdims=True), self.totals(columns))
        )
        return self.interval(float(found[0]), drawn, undefined)

    def interval(self, value: float, replicates: Float64[np.ndarray, " resamples"], undefined: str = "") -> Estimate:
        """A figure with the percentile interval of its replicates; those that are NaN are left out.

        `undefined` is the reason to give where the figure is NaN. Where it is NaN in most resamples, there is no
        interval.
        """
        if np.isnan(value):
            return Estimate(value=None, low=None, high=None, reason=undefined or "undefined on these rows")
        used = replicates[~np.isnan(replicates)]
        if len(used) < MIN_USED * len(replicates):
            reason = f"undefined in {len(replicates) - len(used)} of {len(replicates)} resamples; no interval"
            return Estimate(value=value, low=None, high=None, reason=reason)
        low, high = np.percentile(used, [self._tail, 100 - self._tail])
        return Estimate(value=value, low=float(low), high=float(high))


def _divided(over: Float64[np.ndarray, "*sums"], under: Float64[np.ndarray, "*below"]) -> np.ndarray:
    nothing = np.abs(under) < NOTHING
    return np.where(nothing, np.nan, over / np.where(nothing, 1.0, under))


def single_class(y: Bool[np.ndarray, " rows"]) -> str:
    """Why a figure that compares the two kinds has no value on these rows; empty where it has one."""
    if y.all():
        return f"all {len(y)} answers are hallucinated"
    return "" if y.any() else f"all {len(y)} answers are faithful"


Name = Literal["accuracy", "balanced_accuracy", "auroc", "brier", "ece", "log_loss", "flagged", "precision", "recall"]
NAMES: Sequence[Name] = (
    "accuracy", "balanced_accuracy", "auroc", "brier", "ece", "log_loss", "flagged", "precision", "recall",
)  # fmt: skip
AT_THRESHOLD: frozenset[str] = frozenset({"accuracy", "balanced_accuracy", "flagged", "precision", "recall"})


def metric(name: Name, threshold: float = 0.5) -> Metric:
    """The metric of that name, at `threshold` where it has one."""
    function = getattr(metrics, name)
    chosen: Metric = partial(function, threshold=threshold) if name in AT_THRESHOLD else function
    return chosen
