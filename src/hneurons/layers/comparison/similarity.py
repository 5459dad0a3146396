"""Similarity of structure over matched pairs: of a layer with the next within either kind, and of the kinds at a layer.

Rows come as pairs: faithful, hallucinated, faithful, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from hneurons.layers.comparison.chance import Drawn, against, flips, null_of
from hneurons.layers.comparison.cka import blocks, cka, jackknife, shuffled
from hneurons.layers.comparison.record import READS, Across, Adjacent, Read

Grams = Mapping[tuple[Read, int], Float64[np.ndarray, "rows rows"]]
"""By read and layer, the matrix of `cka.gram` over the rows of the pairs."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is done to the pairs, the same at every layer: left out by blocks, exchanged, given new partners."""

    stay: Bool[np.ndarray, "blocks pairs"]
    flipped: Bool[np.ndarray, "draws pairs"]
    orders: Int[np.ndarray, "draws pairs"]

    @classmethod
    def of(cls, n_pairs: int, draws: int, seed: int) -> Pairs:
        """Draw them."""
        random = np.random.default_rng(seed)
        orders = np.stack([random.permutation(n_pairs) for _ in range(draws)])
        return cls(blocks(n_pairs, seed), flips(n_pairs, draws, seed), orders)


def adjacent(grams: Grams, n_layers: int, pairs: Pairs) -> list[Adjacent]:
    """Each layer with the next one, within the faithful and within the hallucinated answers."""
    places = [(read, layer) for read in READS for layer in range(n_layers - 1)]
    whole = np.zeros((1, pairs.stay.shape[1]), dtype=bool)
    measured, drawn, mismatched = [], [], []
    for read, layer in places:
        K, L = grams[read, layer], grams[read, layer + 1]
        kinds = [
            np.concatenate(
                [
                    cka(K, L, _side(whole, hallucinated)),
                    cka(K, L, _side(whole, hallucinated) & np.repeat(pairs.stay, 2, axis=1)),
                    cka(K, L, _side(pairs.flipped, hallucinated)),
                ]
            )
            for hallucinated in (False, True)
        ]
        gaps, n_stay = kinds[1] - kinds[0], len(pairs.stay)
        measured.append([jackknife(float(each[0]), each[1 : 1 + n_stay]) for each in (*kinds, gaps)])
        drawn.append(Drawn(float(gaps[0]), gaps[1 + n_stay :], "both"))
        mismatched.append(null_of(shuffled(K[::2, ::2], L[::2, ::2], pairs.orders)))
    return [
        Adjacent(
            layer=layer, read=read, faithful=faithful, hallucinated=hallucinated, difference=gap, against=found,
            mismatched=null,
        )
        for (read, layer), (faithful, hallucinated, gap), found, null in zip(
            places, measured, against(drawn), mismatched, strict=True
        )
    ]  # fmt: skip


def across(grams: Grams, n_layers: int, pairs: Pairs) -> list[Across]:
    """The faithful with the hallucinated answers of the pairs, layer by layer."""
    places = [(read, layer) for read in READS for layer in range(n_layers)]
    measured, repaired, exchanged = [], [], []
    for read, layer in places:
        gram = grams[read, layer]
        K, L = gram[::2, ::2], gram[1::2, 1::2]
        value = float(cka(K, L)[0])
        measured.append(jackknife(value, cka(K, L, pairs.stay)))
        repaired.append(Drawn(value, shuffled(K, L, pairs.orders), "high"))
        exchanged.append(Drawn(value, _exchanged(gram, pairs.flipped), "low"))
    return [
        Across(layer=layer, read=read, cka=figure, repaired=anew, exchanged=either)
        for (read, layer), figure, anew, either in zip(
            places, measured, against(repaired), against(exchanged), strict=True
        )
    ]


def _side(flipped: Bool[np.ndarray, "draws pairs"], hallucinated: bool) -> Bool[np.ndarray, "draws rows"]:
    """The rows that stand for one kind when these pairs are exchanged."""
    second = flipped != hallucinated
    return np.stack([~second, second], axis=2).reshape(len(flipped), -1)


def _exchanged(
    gram: Float64[np.ndarray, "rows rows"], flipped: Bool[np.ndarray, "draws pairs"]
) -> Float64[np.ndarray, " draws"]:
    first = 2 * np.arange(flipped.shape[1])
    found = []
    for own in flipped:
        a, b = first + own, first + ~own
        found.append(float(cka(gram[np.ix_(a, a)], gram[np.ix_(b, b)])[0]))
    return np.array(found)
