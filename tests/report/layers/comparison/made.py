"""An invented comparison of three sets: a difference that starts at a layer, one that is not matched, one borrowed."""

from __future__ import annotations

from hneurons.layers.comparison.record import (
    READS,
    Across,
    Adjacent,
    Against,
    Balance,
    Compared,
    Comparison,
    Level,
    Matching,
    Null,
    Read,
    Selection,
)
from hneurons.probes.bootstrap import Estimate


def figure(value: float, half: float = 0.1) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def against(q: float, low: float = -0.2, high: float = 0.2) -> Against:
    return Against(null=Null(mean=0.01, low=low, high=high, n=99), p=q / 2, q=q)


def level(read: Read, layer: int, *, differs: bool, g: float) -> Level:
    return Level(
        layer=layer,
        read=read,
        effect=figure(g),
        effect_against=against(0.01 if differs else 0.4),
        spread=0.2,
        spread_against=against(0.02 if differs else 0.6, 0.05, 0.1),
        auroc=figure(0.7 if differs else 0.51, 0.05),
        permuted=Null(mean=0.5, low=0.45, high=0.55, n=20),
        over_baseline=figure(0.2 if differs else 0.01, 0.05),
        over_said=figure(0.1 if differs and layer == 3 else 0.01, 0.05),
    )


def selection(first: dict[Read, int], n: int, n_layers: int = 4, baseline: float = 0.5) -> Selection:
    """The kinds differ from a layer on in each read, the more the later; the FFN most."""
    levels = [
        level(
            read,
            layer,
            differs=layer >= first.get(read, n_layers),
            g=(0.2 * layer + (0.1 if read == "ffn" else 0.0)) if layer >= first.get(read, n_layers) else 0.02,
        )
        for read in READS
        for layer in range(n_layers)
    ]
    return Selection(
        n_faithful=n,
        n_hallucinated=n,
        n_groups=2 * n,
        baseline=figure(baseline, 0.02),
        said=figure(0.56, 0.02),
        levels=tuple(levels),
    )


def balances(smd: float | None) -> tuple[Balance, ...]:
    names = ("answer tokens", "response tokens", "kind: city", "kind: river")
    return tuple(Balance(name=name, faithful=1.0, hallucinated=1.2, smd=smd) for name in names)


def compared(name: str, *, matched: bool = True, faithful_from: str | None = None, n_layers: int = 4) -> Compared:
    every = selection(dict.fromkeys(READS, 0), 250, n_layers, baseline=0.62)
    adjacent = tuple(
        Adjacent(
            layer=layer,
            read=read,
            faithful=figure(0.6, 0.05),
            hallucinated=figure(0.35 if (read, layer) == ("attention", 2) else 0.58, 0.05),
            difference=figure(-0.25 if (read, layer) == ("attention", 2) else -0.02, 0.05),
            against=against(0.01 if (read, layer) == ("attention", 2) else 0.7, -0.07, 0.08),
            mismatched=Null(mean=0.0, low=-0.02, high=0.02, n=99),
        )
        for read in READS
        for layer in range(n_layers - 1)
    )
    across = tuple(
        Across(
            layer=layer,
            read=read,
            cka=figure(0.9 - 0.1 * layer, 0.03),
            repaired=against(0.01, -0.02, 0.02),
            exchanged=Against(null=Null(mean=0.93 - 0.1 * layer, low=0.8, high=0.95, n=99), p=0.01, q=0.04)
            if (read, layer) == ("residual", 3)
            else Against(null=Null(mean=0.9 - 0.1 * layer, low=0.8, high=0.95, n=99), p=0.5, q=0.9),
        )
        for read in READS
        for layer in range(n_layers)
    )
    return Compared(
        eval_set=name,
        faithful_from=faithful_from,
        every=every,
        matching=Matching(
            n_pairs=180 if matched else 3,
            n_strata=5,
            same_length=170 if matched else 3,
            before=balances(0.3),
            after=balances(0.0) if matched else balances(None),
        ),
        matched=selection({"residual": 2, "ffn": 1}, 180, n_layers) if matched else None,
        adjacent=adjacent if matched else (),
        across=across if matched else (),
        reason="" if matched else "of the answers, 3 pairs are matched: 10 of each are needed",
    )


def made(n_layers: int = 4) -> Comparison:
    return Comparison(
        n_layers=n_layers,
        hidden_size=16,
        n_folds=5,
        n_splits=4,
        sets=(
            compared("plain", n_layers=n_layers),
            compared("unmatched <b>", matched=False, n_layers=n_layers),
            compared("invented", faithful_from="plain", n_layers=n_layers),
        ),
        missing={"tiny": "there are 3 questions with a faithful answer"},
    )
