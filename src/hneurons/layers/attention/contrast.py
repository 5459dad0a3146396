"""What the model looks at in two kinds of texts: by layer, by head with correction, and held out on other groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from hneurons.layers.attention.record import (
    Contrast,
    Differences,
    Focus,
    Grid,
    Halves,
    HeldOut,
    LayerShares,
    Measure,
    Permuted,
    Share,
    Tests,
    differs,
)
from hneurons.layers.attention.strata import Design, corrected, difference, means, p_values, replicates, scores
from hneurons.layers.attention.weights import ATTENDED, Shares
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.questions.loading import rank

LEVEL = 0.05
"""The share of false discoveries allowed."""
PERMUTED = 40
"""How often labels are permuted to see how many heads are found then."""
POOL, FEWEST = 100_000, 50
"""Draws of all tests together that these need, and of each at least."""
LEAST = 10
"""Texts of either kind that a comparison needs, and that each half of the groups needs."""
TOLD = 16
"""Held-out heads that are listed."""
DIGITS = 6
"""Significant digits of what is told of every head: there may be thousands."""
SUBJECT = ATTENDED.index("subject")


@dataclass(frozen=True)
class Draws:
    """How much is drawn: resamples for intervals, sign changes for p-values, and the seed of all."""

    bootstrap: int = 1000
    permutations: int = 1000
    seed: int = 0


def contrast(
    shares: Shares,
    second: Bool[np.ndarray, " rows"],
    strata: Shaped[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    *,
    name: str,
    title: str,
    kinds: tuple[str, str],
    draws: Draws,
    sets: Shaped[np.ndarray, " rows"] | None = None,
    left_out: dict[str, int] | None = None,
) -> Contrast:
    """Compare two kinds of texts within strata.

    Args:
        shares: what was looked at.
        second: which texts are of the second kind.
        strata: what is compared is compared within these.
        groups: what is resampled, changes its sign, and is split together.
        name, title: of the contrast.
        kinds: what the two are called.
        draws: of intervals and tests.
        sets: of each text, where the subject's lift is to be told by set.
        left_out: texts that are not in `shares`, by reason.

    Raises:
        NotEnoughDataError: too few texts of a kind that can be compared.
    """
    every = Design(second, strata, groups)
    every.require(LEAST, title)
    rows = np.flatnonzero(every.used)
    design, own = every.take(rows), _taken(shares, rows)
    present = [place for place in range(len(ATTENDED)) if own.uniform[..., place].any()]
    measured: dict[Measure, Float64[np.ndarray, "rows layers heads columns"]] = {
        "lift": own.lift[..., present],
        "share": own.share[..., present],
        "entropy": own.spread[..., None],
    }
    names = [ATTENDED[place] for place in present]
    bootstrap = Bootstrap(design.groups, resamples=draws.bootstrap, seed=draws.seed)
    layers = tuple(
        _layer(design, _layer_of(own, place), layer, present, bootstrap) for place, layer in enumerate(shares.layers)
    )
    tests = tuple(
        _tests(design, values, measure, [""] if measure == "entropy" else names, shares.layers, draws)
        for measure, values in measured.items()
    )
    alone = int((~every.used).sum())
    return Contrast(
        name=name,
        title=title,
        first=kinds[0],
        second=kinds[1],
        n_first=int((~design.second).sum()),
        n_second=int(design.second.sum()),
        n_groups=bootstrap.n_groups,
        strata=design.names,
        left_out={**(left_out or {}), **({"one_kind_in_its_stratum": alone} if alone else {})},
        whole=_layer(design, own, None, present, bootstrap),
        layers=layers,
        tests=tests,
        n_both=_both(tests),
        sets=() if sets is None else _sets(shares, every, sets, draws),
    )


def _both(tests: Sequence[Tests]) -> int:
    """How many heads and segments differ both in lift and in share, on the same side."""
    lift, share = (each for measure in ("lift", "share") for each in tests if each.measure == measure)
    sides = [
        (np.array(differs(lift, each.segment, LEVEL)), np.array(differs(share, each.segment, LEVEL)))
        for each in lift.differences
    ]
    return sum(int(((a == b) & (a != 0)).sum()) for a, b in sides)


def _taken(shares: Shares, rows: Shaped[np.ndarray, " some"]) -> Shares:
    arrays = (shares.share[rows], shares.uniform[rows], shares.entropy[rows], shares.uniform_entropy[rows])
    return Shares(shares.layers, shares.implementation, *arrays)


def _layer_of(shares: Shares, place: int) -> Shares:
    some = slice(place, place + 1)
    arrays = (shares.share[:, some], shares.uniform[:, some], shares.entropy[:, some], shares.uniform_entropy[:, some])
    return Shares(shares.layers[some], shares.implementation, *arrays)


def _layer(design: Design, own: Shares, layer: int | None, present: Sequence[int], bootstrap: Bootstrap) -> LayerShares:
    """Means over heads, and layers, of the kinds, and their differences."""
    share = own.share[..., present].mean(axis=(1, 2))
    uniform = own.uniform[..., present].mean(axis=1)
    spread = own.spread.mean(axis=(1, 2))[:, None]
    n = len(present)
    values = np.concatenate([share, uniform, spread], axis=1)
    first, second = means(design, values)
    compared = np.concatenate([share, share - uniform, spread], axis=1)
    estimates = _estimates(design, compared, bootstrap)
    return LayerShares(
        layer=layer,
        shares=tuple(
            Share(
                segment=ATTENDED[place],
                first=float(first[i]),
                second=float(second[i]),
                first_uniform=float(first[n + i]),
                second_uniform=float(second[n + i]),
                share=estimates[i],
                lift=estimates[n + i],
            )
            for i, place in enumerate(present)
        ),
        first_entropy=float(first[-1]),
        second_entropy=float(second[-1]),
        entropy=estimates[-1],
    )


def _estimates(design: Design, values: Float64[np.ndarray, "rows columns"], bootstrap: Bootstrap) -> list[Estimate]:
    drawn = replicates(design, values, bootstrap)
    return [
        bootstrap.interval(float(value), drawn[:, column]) for column, value in enumerate(difference(design, values))
    ]


def _tests(
    design: Design,
    values: Float64[np.ndarray, "rows layers heads segments"],
    measure: Measure,
    names: Sequence[str],
    layers: tuple[int, ...],
    draws: Draws,
) -> Tests:
    shape, flat = values.shape[1:], values.reshape(len(values), -1)
    p = p_values(design, flat, draws=draws.permutations, seed=draws.seed)
    q, apart = corrected(p), difference(design, flat)

    def grid(numbers: Float64[np.ndarray, " tests"], segment: int) -> Grid:
        rows = numbers.reshape(shape)[..., segment]
        return tuple(tuple(float(f"{number:.{DIGITS}g}") for number in row) for row in rows)

    halves, reason = _halves(design, flat, shape, names, layers, draws)
    return Tests(
        measure=measure,
        n_tests=len(p),
        n_different=int((q <= LEVEL).sum()),
        differences=tuple(
            Differences(segment=name, difference=grid(apart, i), p=grid(p, i), q=grid(q, i))
            for i, name in enumerate(names)
        ),
        permuted=_permuted(design, flat, draws),
        halves=halves,
        reason=reason,
    )


def _permuted(design: Design, flat: Float64[np.ndarray, "rows tests"], draws: Draws) -> Permuted:
    random = np.random.default_rng([draws.seed, 1])
    enough = max(FEWEST, min(draws.permutations, POOL // flat.shape[1]))  # draws of all tests are pooled
    counts = np.array(
        [
            (corrected(p_values(each, flat, draws=enough, seed=draws.seed)) <= LEVEL).sum()
            for each in (design.permuted(random) for _ in range(PERMUTED))
        ]
    )
    return Permuted(draws=PERMUTED, mean=float(counts.mean()), most=int(counts.max()), any=float((counts > 0).mean()))


def halves_of(groups: Shaped[np.ndarray, " rows"], seed: int) -> Bool[np.ndarray, " rows"]:
    """Which texts choose heads: every second group, in an order that the seed decides; the others measure them."""
    names = sorted({str(group) for group in groups}, key=lambda group: rank(group, seed))
    choosing = set(names[::2])
    return np.array([str(group) in choosing for group in groups])


def _halves(
    design: Design,
    flat: Float64[np.ndarray, "rows tests"],
    shape: tuple[int, ...],
    names: Sequence[str],
    layers: tuple[int, ...],
    draws: Draws,
) -> tuple[Halves | None, str]:
    """Heads chosen on one half of the groups, measured on the other; or why there are none."""
    mine = halves_of(design.groups, draws.seed)
    choose, measure = design.take(mine), design.take(~mine)
    for half in (choose, measure):
        n_second = int((half.second & half.used).sum())
        if min(n_second, int((~half.second & half.used).sum())) < LEAST:
            return None, f"a half of the groups has fewer than {LEAST} of a kind that can be compared"
    p = p_values(choose, flat[mine], draws=draws.permutations, seed=draws.seed)
    chosen = np.flatnonzero(corrected(p) <= LEVEL)
    z = np.abs(scores(choose, flat[mine])[0])
    chosen = chosen[np.argsort(-z[chosen], kind="stable")]
    before = difference(choose, flat[mine])[chosen]
    after: list[Estimate] = []
    if len(chosen):
        bootstrap = Bootstrap(measure.groups, resamples=draws.bootstrap, seed=draws.seed)
        after = _estimates(measure, flat[~mine][:, chosen], bootstrap)
    confirmed = [_confirmed(own, found) for own, found in zip(before, after, strict=True)]
    found = np.array([each.value for each in after], dtype=np.float64)
    listed = []
    for i, test in enumerate(chosen[:TOLD]):
        layer, head, segment = np.unravel_index(test, shape)
        listed.append(
            HeldOut(
                layer=layers[int(layer)],
                head=int(head),
                segment=names[int(segment)],
                chosen=float(before[i]),
                held_out=after[i],
                confirmed=confirmed[i],
            )
        )
    return Halves(
        n_choose=int(mine.sum()),
        n_measure=int((~mine).sum()),
        n_chosen=len(chosen),
        n_confirmed=sum(confirmed),
        kept=float(before @ found / (before @ before)) if len(chosen) else None,
        heads=tuple(listed),
    ), ""


def _confirmed(before: float, after: Estimate) -> bool:
    if after.low is None or after.high is None:
        return False
    return after.low > 0 if before > 0 else after.high < 0


def _sets(shares: Shares, every: Design, sets: Shaped[np.ndarray, " rows"], draws: Draws) -> tuple[Focus, ...]:
    """The subject's lift by set; only its difference is within strata."""
    lift = shares.lift[..., SUBJECT].mean(axis=(1, 2))[:, None]
    found = []
    for name in dict.fromkeys(map(str, sets)):
        mine = sets == name
        design, own = every.take(mine), lift[mine]
        n_second = int(design.second.sum())
        apart = Estimate(value=None, low=None, high=None, reason="one kind only within sets and kinds of question")
        first: float | None = float(own[~design.second].mean()) if n_second < len(own) else None
        second: float | None = float(own[design.second].mean()) if n_second else None
        if design.used.any():
            bootstrap = Bootstrap(design.groups, resamples=draws.bootstrap, seed=draws.seed)
            apart = _estimates(design, own, bootstrap)[0]
            (low,), (high,) = means(design, own)
            first, second = float(low), float(high)
        found.append(
            Focus(
                eval_set=name,
                n_first=len(own) - n_second,
                n_second=n_second,
                first=first,
                second=second,
                difference=apart,
            )
        )
    return tuple(found)
