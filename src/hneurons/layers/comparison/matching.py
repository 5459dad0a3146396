"""Pairs of a faithful and a hallucinated answer that agree in what could stand in for the verdict.

Kind of question and number of answer tokens agree exactly; the response's length agrees within `CALIPER`, and as
closely as can be: among the pairings of most pairs the one of least total difference is taken (optimal matching;
Rosenbaum, "Optimal Matching for Observational Studies", JASA 1989).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment

from hneurons.layers.comparison.record import Balance, Matching
from hneurons.layers.comparison.rows import Rows

CALIPER = 1.1
"""Ratio of the longer to the shorter response of a pair, at most."""


def match(rows: Rows, seed: int = 0) -> Int[np.ndarray, "pairs 2"]:
    """Row numbers of the faithful and the hallucinated answer of each pair; no row is used twice, and no group.

    Of each group one answer may be used, drawn by seed: pairs then share no question, and are independent of each
    other. Where several answers fit equally well, the seed decides.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(rows))
    single = np.sort(shuffled[np.unique(rows.groups[shuffled], return_index=True)[1]])
    found = [np.zeros((0, 2), dtype=np.int64)]
    for stratum in strata(rows, single):
        shuffled = random.permutation(stratum)
        faithful, hallucinated = shuffled[~rows.hallucinated[shuffled]], shuffled[rows.hallucinated[shuffled]]
        lengths = np.log(rows.n_response.astype(np.float64))
        gaps = np.abs(lengths[faithful][:, None] - lengths[hallucinated][None])
        close = gaps <= np.log(CALIPER) + 1e-9
        # a pair that is not allowed costs more than all that are: as many as possible are allowed ones
        costs = np.where(close, gaps, 1.0 + len(stratum) * np.log(CALIPER))
        first, second = linear_sum_assignment(costs)
        allowed = close[first, second]
        found.append(np.stack([faithful[first[allowed]], hallucinated[second[allowed]]], axis=1))
    pairs = np.concatenate(found)
    ordered: Int[np.ndarray, "pairs 2"] = pairs[np.argsort(pairs[:, 0])]
    return ordered


def strata(rows: Rows, among: Int[np.ndarray, " some"]) -> Iterator[Int[np.ndarray, " own"]]:
    """Those of some rows that are of one kind and one number of answer tokens, where both verdicts occur."""
    for kind in np.unique(rows.kinds[among]):
        own = among[rows.kinds[among] == kind]
        for n_answer in np.unique(rows.n_answer[own]):
            numbers = own[rows.n_answer[own] == n_answer]
            if 0 < rows.hallucinated[numbers].sum() < len(numbers):
                yield numbers


def describe(rows: Rows, pairs: Int[np.ndarray, "pairs 2"]) -> Matching:
    """How many pairs are left, and how alike the two kinds are before and after."""
    after = rows.take(pairs.ravel())
    agree = rows.n_response[pairs[:, 0]] == rows.n_response[pairs[:, 1]]
    kinds = np.unique(rows.kinds)
    return Matching(
        n_pairs=len(pairs),
        n_strata=len({(rows.kinds[row], rows.n_answer[row]) for row in pairs[:, 0]}),
        same_length=int(agree.sum()),
        before=_balances(rows, kinds),
        after=_balances(after, kinds) if len(pairs) else (),
    )


def _balances(rows: Rows, kinds: np.ndarray) -> tuple[Balance, ...]:
    found = [
        _balance("answer tokens", rows.n_answer, rows.hallucinated),
        _balance("response tokens", rows.n_response, rows.hallucinated),
    ]
    if len(kinds) > 1:
        found += [_balance(f"kind: {kind}", rows.kinds == kind, rows.hallucinated) for kind in kinds]
    return tuple(found)


def _balance(name: str, values: np.ndarray, hallucinated: Bool[np.ndarray, " rows"]) -> Balance:
    faithful, other = values[~hallucinated].astype(np.float64), values[hallucinated].astype(np.float64)
    pooled = float(np.sqrt((faithful.var() + other.var()) / 2))
    gap = float(other.mean() - faithful.mean())
    smd = gap / pooled if pooled > 0 else None
    return Balance(name=name, faithful=float(faithful.mean()), hallucinated=float(other.mean()), smd=smd)
