"""From traced pairs to what is recorded: maps, sets of neurons, and how far estimates agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
from jaxtyping import Float64
from scipy.stats import spearmanr

from hneurons.layers.causality.correlating import agreement
from hneurons.layers.causality.pairs import GROUPS, Pair
from hneurons.layers.causality.record import (
    AttributionFound,
    Corruption,
    EffectMap,
    Grid,
    NeuronsPatched,
    PairsFound,
)
from hneurons.layers.causality.tracing import MAPPED, Asked
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.probes.controls import band

SMALL = 0.1
"""Nats of logit difference between two runs that count as next to none."""
POINTS = 300
"""Patches of a site that are kept for a figure."""
DIFFERENCE, PROBABILITY = range(2)

Traced = Mapping[str, Float64[np.ndarray, "pairs *cells"]]
"""What `hneurons.layers.causality.tracing.trace` returns, of all pairs."""


class Summary:
    """Traced pairs; every interval is over the same resamples of pairs."""

    def __init__(self, traced: Traced, pairs: Sequence[tuple[str, Pair]], resamples: int, seed: int) -> None:
        """`pairs` with the names of their sets, in the order of the rows."""
        self.traced = traced
        self.pairs = pairs
        self._resamples, self._seed = resamples, seed
        self._groups = np.array([pair.corrupt.group for _, pair in pairs])
        self._bootstrap = Bootstrap(self._groups, resamples=resamples, seed=seed)

    def corruptions(self) -> tuple[Corruption, ...]:
        """Those that were traced."""
        return ("question", "noise") if self.traced["noise"].shape[1] else ("question",)

    def gap(self, corruption: Corruption) -> Float64[np.ndarray, "pairs 2"]:
        """Clean run less corrupt run, of the logit difference and the probability; noise is averaged over draws."""
        runs = self.traced["runs"]
        corrupt = runs[:, 1] if corruption == "question" else runs[:, 2:].mean(axis=1)
        return np.asarray(runs[:, 0] - corrupt)

    def described(self, found: int, unpaired: Mapping[str, int], asked: Asked) -> PairsFound:
        """The pairs, and what there is to bring back."""
        gaps = {each: self.gap(each) for each in self.corruptions()}
        return PairsFound(
            n=len(self.pairs),
            found=found,
            by_set=dict(Counter(name for name, _ in self.pairs)),
            by_kind=dict(Counter(pair.corrupt.kind for _, pair in self.pairs)),
            unpaired=dict(unpaired),
            gap={each: self._mean(own[:, DIFFERENCE]) for each, own in gaps.items()},
            probability={each: self._mean(own[:, PROBABILITY]) for each, own in gaps.items()},
            small={each: int((own[:, DIFFERENCE] < SMALL).sum()) for each, own in gaps.items()},
            unrelated=int((~np.isnan(self.traced["control"][..., 0])).any(axis=(1, 2, 3)).sum()),
            sigma=asked.sigma,
            draws=asked.draws,
        )

    def maps(self) -> tuple[EffectMap, ...]:
        """A map for every site and corruption, and one of heads."""
        found = []
        for corruption in self.corruptions():
            effects = self._effects(corruption)
            for number, site in enumerate(MAPPED):
                control = self.traced["control"][:, number] if corruption == "question" else None
                if control is not None and np.isnan(control).all():
                    control = None
                found.append(self._map(corruption, site, GROUPS, effects[:, number], control))
        heads = self.traced["heads"]
        names = tuple(str(head) for head in range(heads.shape[2]))
        found.append(self._map("question", "heads", names, heads, None))
        return tuple(found)

    def neurons(self, n_neurons: int, random: int, matched: int) -> NeuronsPatched:
        """Sets of neurons: the H-Neurons first, then so many random sets and matched ones, then all neurons."""
        own, gap = self.traced["sets"][..., DIFFERENCE], self.gap("question")[:, DIFFERENCE]
        shares = own.sum(axis=0) / gap.sum()
        return NeuronsPatched(
            corruption="question",
            n_neurons=n_neurons,
            n_pairs=len(self.pairs),
            effect=self._ratio(own[:, 0], gap),
            random=band(shares[1 : 1 + random].tolist()),
            matched=band(shares[1 + random : 1 + random + matched].tolist()),
            all_neurons=self._ratio(own[:, -1], gap),
        )

    def attribution(self) -> tuple[AttributionFound, ...]:
        """Estimates against exact effects, site by site."""
        found = []
        for corruption in self.corruptions():
            exact = self.traced["question"] if corruption == "question" else self.traced["noise"][:, 0]
            estimates = self.traced[f"{corruption}_estimates"]
            for number, site in enumerate(MAPPED):
                found.append(self._attributed(corruption, site, exact[:, number], estimates[:, number]))
        for site, name in (("heads", "heads"), ("neurons", "singles")):
            if self.traced[name].shape[2]:
                found.append(self._attributed("question", site, self.traced[name], self.traced[f"{name}_estimates"]))
        return tuple(found)

    def _effects(self, corruption: Corruption) -> Float64[np.ndarray, "pairs sites layers groups 2"]:
        return self.traced["question"] if corruption == "question" else self.traced["noise"].mean(axis=1)

    def _map(
        self,
        corruption: Corruption,
        site: str,
        columns: tuple[str, ...],
        effects: Float64[np.ndarray, "pairs layers columns 2"],
        control: Float64[np.ndarray, "pairs layers columns 2"] | None,
    ) -> EffectMap:
        gap = self.gap(corruption)[:, DIFFERENCE]
        there = ~np.isnan(effects[:, 0, :, DIFFERENCE])
        kept = [place for place in range(len(columns)) if there[:, place].any()]
        effects = effects[:, :, kept]
        return EffectMap(
            corruption=corruption,
            site=site,
            columns=tuple(columns[place] for place in kept),
            n=tuple(int(each) for each in there[:, kept].sum(axis=0)),
            effect=self._grid(effects[..., DIFFERENCE], gap),
            probability=self._grid(effects[..., PROBABILITY], None),
            control=None if control is None else self._grid(control[:, :, kept, DIFFERENCE], gap),
        )

    def _grid(
        self, values: Float64[np.ndarray, "pairs layers columns"], gap: Float64[np.ndarray, " pairs"] | None
    ) -> Grid:
        cells = [
            [self._ratio(values[:, layer, c], gap) for c in range(values.shape[2])] for layer in range(values.shape[1])
        ]
        return Grid(
            value=tuple(tuple(_short(cell.value) for cell in row) for row in cells),
            low=tuple(tuple(_short(cell.low) for cell in row) for row in cells),
            high=tuple(tuple(_short(cell.high) for cell in row) for row in cells),
        )

    def _mean(self, values: Float64[np.ndarray, " pairs"]) -> Estimate:
        return self._ratio(values, None)

    def _ratio(self, over: Float64[np.ndarray, " pairs"], under: Float64[np.ndarray, " pairs"] | None) -> Estimate:
        """Over the pairs that have a value; the mean, where `under` is None."""
        under = np.ones(len(over)) if under is None else under
        return self._bootstrap.ratio(over, under, ~np.isnan(over), "no pair has such a position, or no gap")

    def _attributed(
        self,
        corruption: Corruption,
        site: str,
        exact: Float64[np.ndarray, "pairs layers columns 2"],
        estimates: Float64[np.ndarray, "pairs layers columns 2"],
    ) -> AttributionFound:
        there = ~np.isnan(exact[..., DIFFERENCE])
        pair, layer, _ = np.nonzero(there)
        truth, linear = exact[..., DIFFERENCE][there], estimates[..., 0][there]
        averaged = estimates[there].mean(axis=-1)
        some = np.random.default_rng(self._seed).permutation(len(truth))[:POINTS]
        by_layer = [spearmanr(truth[layer == k], linear[layer == k]).statistic for k in range(exact.shape[1])]
        settings = {"resamples": self._resamples, "seed": self._seed}
        return AttributionFound(
            corruption=corruption,
            site=site,
            n=len(truth),
            n_pairs=len(set(pair)),
            linear=agreement(truth, linear, self._groups[pair], **settings),
            averaged=agreement(truth, averaged, self._groups[pair], **settings),
            by_layer=tuple(float(each) if np.isfinite(each) else None for each in by_layer),
            points=tuple((int(layer[k]), _short(truth[k]), _short(linear[k]), _short(averaged[k])) for k in some),
        )


@overload
def _short(value: float) -> float: ...
@overload
def _short(value: None) -> None: ...
def _short(value: float | None) -> float | None:
    """Four digits, so that a record of many layers stays small."""
    return None if value is None else float(f"{value:.4g}")
