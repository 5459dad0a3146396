"""From what every method was asked to figures beside the unchanged model's, all on the same rows and resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64, Shaped, UInt64

from hneurons.compliance.benchmark import Outcome
from hneurons.compliance.statistics import Rates, differences, estimates, mean_of, rates, ratio
from hneurons.layers.mitigation.methods import Method
from hneurons.layers.mitigation.record import Depths, Draws, Measure, MethodFound, Price, Steered
from hneurons.probes.bootstrap import Bootstrap, Estimate
from hneurons.responses.response import Verdict

VERDICTS: tuple[Verdict, ...] = ("correct", "incorrect", "refusal")
OUTCOMES: tuple[Outcome, ...] = ("complies", "resists", "unparsed", "ineligible")
"""Verdicts and outcomes are kept as their places here."""

NO_QUESTION, NO_CASE = "no question was asked", "no case counts"


@dataclass(frozen=True)
class Rows:
    """What all methods were asked: by row, what is resampled together, and what it belongs to.

    Attributes:
        groups: of the questions.
        sets: the evaluation set of each question.
        known: groups of the known questions.
        cases: groups of the cases, by benchmark.
        tokens: of each passage of the text, those that have something before them.
    """

    groups: Shaped[np.ndarray, " questions"]
    sets: Shaped[np.ndarray, " questions"]
    known: Shaped[np.ndarray, " known"]
    cases: Mapping[str, Shaped[np.ndarray, " _"]]
    tokens: Int64[np.ndarray, " passages"]


@dataclass(frozen=True)
class Became:
    """What became of everything under one method, by row: places in `VERDICTS` and `OUTCOMES`; digests of the answers,
    and whether they ran to their cap."""

    verdicts: Int8[np.ndarray, " questions"]
    texts: UInt64[np.ndarray, " questions"]
    cut_off: Bool[np.ndarray, " questions"]
    known: Int8[np.ndarray, " known"]
    cases: Mapping[str, Int8[np.ndarray, " _"]]
    nll: Float64[np.ndarray, " passages"]


@dataclass(frozen=True)
class Resampled:
    """The resamples that all methods share, from groups and seed alone."""

    rows: Rows
    resamples: int
    seed: int

    def bootstrap(self, groups: Shaped[np.ndarray, " rows"], shift: int = 0) -> Bootstrap:
        """Resamples of some rows; those with another shift are drawn apart."""
        return Bootstrap(groups, resamples=self.resamples, seed=self.seed + shift)


def compare(
    methods: Sequence[Method], became: Sequence[Became], prices: Sequence[Price], held: Resampled
) -> tuple[MethodFound, ...]:
    """Every method beside the first, which is the unchanged model."""
    rows = held.rows
    verdicts = np.stack([each.verdicts for each in became], axis=1)
    shares = {name: measures(held.bootstrap(rows.groups), verdicts == code) for code, name in enumerate(VERDICTS)}
    by_set = {}
    for name in dict.fromkeys(rows.sets.tolist()):
        own = rows.sets == name
        by_set[name] = measures(held.bootstrap(rows.groups[own]), verdicts[own] == VERDICTS.index("incorrect"))
    correct = np.stack([each.known for each in became], axis=1) == VERDICTS.index("correct")
    known = measures(held.bootstrap(rows.known), correct)
    compliance, by_benchmark = _compliance(became, held)
    perplexity = perplexities(np.stack([each.nll for each in became], axis=1), rows.tokens, held)
    unparsed = [_unparsed(each) for each in became]
    best = frontier(*([each.value.value for each in shares[name]] for name in ("incorrect", "correct")))
    return tuple(
        MethodFound(
            name=method.name,
            kind=method.kind,
            setting=method.setting,
            tuned=method.tuned,
            correct=shares["correct"][k],
            hallucinated=shares["incorrect"][k],
            refused=shares["refusal"][k],
            by_set={name: each[k] for name, each in by_set.items()},
            compliance=compliance[k] if compliance else None,
            by_benchmark={name: each[k] for name, each in by_benchmark.items()},
            unparsed=unparsed[k],
            known=known[k],
            perplexity=perplexity[k],
            altered=float((became[k].texts != became[0].texts).mean()),
            cut_off=float(became[k].cut_off.mean()),
            price=prices[k],
            frontier=best[k],
        )
        for k, method in enumerate(methods)
    )


def measures(bootstrap: Bootstrap, flags: Bool[np.ndarray, "rows methods"]) -> list[Measure]:
    """The share of rows that are flagged under each method, and its difference to that under the first."""
    found = rates(bootstrap, flags, np.ones_like(flags))
    return _measured(bootstrap, found, NO_QUESTION)


def perplexities(
    nll: Float64[np.ndarray, "passages methods"], tokens: Int64[np.ndarray, " passages"], held: Resampled
) -> list[Estimate]:
    """Perplexity of each method as a multiple of that of the first; undefined where a token has no probability."""
    bootstrap = held.bootstrap(np.arange(len(tokens)))
    counts = tokens[:, None].astype(np.float64)
    finite = np.isfinite(nll)
    total = np.where(finite, nll, 0.0)
    value = ratio(total.sum(axis=0), np.broadcast_to(counts.sum(axis=0), total.shape[1:]))
    replicates = bootstrap.totals(total) / bootstrap.totals(counts)
    found = []
    for k, ends in enumerate(finite.T):
        if ends.all():
            multiple = float(np.exp(value[k] - value[0]))
            found.append(bootstrap.interval(multiple, np.exp(replicates[:, k] - replicates[:, 0])))
        else:
            reason = f"gives some token no probability in {int((~ends).sum())} of {len(ends)} passages"
            found.append(Estimate(value=None, low=None, high=None, reason=reason))
    return found


def frontier(hallucinated: Sequence[float | None], correct: Sequence[float | None]) -> list[bool]:
    """Which methods no other one dominates: at most as many hallucinations, at least as many right answers, and fewer
    or more of one of them. By the figures themselves, whatever their intervals."""

    def beaten(k: int) -> bool:
        mine = hallucinated[k], correct[k]
        return mine[0] is None or mine[1] is None or any(
            h is not None and r is not None and h <= mine[0] and r >= mine[1] and (h, r) != mine
            for h, r in zip(hallucinated, correct, strict=True)
        )  # fmt: skip

    return [not beaten(k) for k in range(len(correct))]


def draws(method: str, what: str, intact: Became, drawn: Sequence[Became]) -> Draws:
    """The changes under each draw of a control; of measures that it was not asked for, none."""
    codes = np.stack([each.verdicts for each in (intact, *drawn)], axis=1)
    known = np.stack([each.known for each in (intact, *drawn)], axis=1) if len(drawn[0].known) else None
    by_benchmark = [[_rate(each.cases[name]) - _rate(intact.cases[name]) for each in drawn] for name in drawn[0].cases]
    return Draws(
        method=method,
        what=what,
        hallucinated=_apart(codes == VERDICTS.index("incorrect")),
        correct=_apart(codes == VERDICTS.index("correct")),
        known=() if known is None else _apart(known == VERDICTS.index("correct")),
        compliance=tuple(float(each) for each in np.mean(by_benchmark, axis=0)) if by_benchmark else (),
    )


def at_random(method: str, intact: Became, withheld: Became, n_draws: int, seed: int) -> Draws:
    """What it does to withhold as many answers of the unchanged model, drawn at random, as a method has withheld."""
    random = np.random.default_rng(seed)
    refused = VERDICTS.index("refusal")

    def silenced(codes: Int8[np.ndarray, " rows"], own: Int8[np.ndarray, " rows"]) -> Int8[np.ndarray, " rows"]:
        answered = np.flatnonzero(codes != refused)
        n = int(((own == refused) & (codes != refused)).sum())
        drawn = codes.copy()
        drawn[random.choice(answered, n, replace=False)] = refused
        return drawn

    drawn = [
        replace(
            intact,
            verdicts=silenced(intact.verdicts, withheld.verdicts),
            known=silenced(intact.known, withheld.known),
            cases={},
        )
        for _ in range(n_draws)
    ]
    return draws(method, "as many answers withheld at random", intact, drawn)


def steering(
    verdicts: Int8[np.ndarray, "questions layers_and_one"],
    random: Int8[np.ndarray, "questions layers draws"],
    strengths: Sequence[float],
    bootstrap: Bootstrap,
) -> tuple[tuple[Steered, ...], Depths | None]:
    """Steering at every layer beside the unchanged model (column 0), and the middle against the end.

    Args:
        verdicts: places in `VERDICTS`: of the unchanged model, then of every layer.
        random: of random directions at every layer.
        strengths: of every layer.
        bootstrap: of the questions.
    """
    flags = {name: verdicts == code for code, name in enumerate(VERDICTS)}
    found = {name: rates(bootstrap, each, np.ones_like(each)) for name, each in flags.items()}
    change = {name: differences(bootstrap, each, 0) for name, each in found.items()}

    def spread(layer: int, name: Verdict) -> tuple[float, ...]:
        share = (random[:, layer] == VERDICTS.index(name)).mean(axis=0) - flags[name][:, 0].mean()
        return tuple(float(each) for each in share)

    layers = tuple(
        Steered(
            layer=layer,
            strength=strength,
            correct=change["correct"][layer + 1],
            hallucinated=change["incorrect"][layer + 1],
            refused=change["refusal"][layer + 1],
            random_correct=spread(layer, "correct"),
            random_hallucinated=spread(layer, "incorrect"),
        )
        for layer, strength in enumerate(strengths)
    )
    if len(strengths) < 3:
        return layers, None
    _, middle, end = (tuple(int(i) for i in part) for part in np.array_split(np.arange(len(strengths)), 3))

    def between(of: Rates) -> Estimate:
        first, second = ([layer + 1 for layer in part] for part in (middle, end))
        value = of.value[first].mean() - of.value[second].mean()
        replicates = of.replicates[:, first].mean(axis=1) - of.replicates[:, second].mean(axis=1)
        return bootstrap.interval(float(value), replicates)

    return layers, Depths(
        middle=middle, end=end, hallucinated=between(found["incorrect"]), correct=between(found["correct"])
    )


def _measured(bootstrap: Bootstrap, found: Rates, undefined: str) -> list[Measure]:
    pairs = zip(estimates(bootstrap, found, undefined), differences(bootstrap, found, 0), strict=True)
    return [Measure(value=value, change=change) for value, change in pairs]


def _compliance(became: Sequence[Became], held: Resampled) -> tuple[list[Measure], dict[str, list[Measure]]]:
    found, by_benchmark = [], {}
    for shift, (name, groups) in enumerate(held.rows.cases.items()):
        codes = np.stack([each.cases[name] for each in became], axis=1)
        bootstrap = held.bootstrap(groups, shift)
        found.append(rates(bootstrap, codes == OUTCOMES.index("complies"), codes != OUTCOMES.index("ineligible")))
        by_benchmark[name] = _measured(bootstrap, found[-1], NO_CASE)
    return (_measured(bootstrap, mean_of(found), NO_CASE) if found else []), by_benchmark


def _rate(codes: Int8[np.ndarray, " cases"]) -> float:
    counted = codes[codes != OUTCOMES.index("ineligible")]
    return float((counted == OUTCOMES.index("complies")).mean()) if len(counted) else float("nan")


def _unparsed(became: Became) -> float | None:
    codes = np.concatenate([np.zeros(0, dtype=np.int8), *became.cases.values()])
    return float((codes == OUTCOMES.index("unparsed")).mean()) if len(codes) else None


def _apart(flags: Bool[np.ndarray, "rows draws_and_one"]) -> tuple[float, ...]:
    share = flags.mean(axis=0)
    return tuple(float(each) for each in share[1:] - share[0])
