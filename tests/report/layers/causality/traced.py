"""An invented record of patching."""

from __future__ import annotations

from typing import Any

from hneurons.layers.causality.record import (
    Agreement,
    AttributionFound,
    Causality,
    EffectMap,
    Grid,
    NeuronsPatched,
    PairsFound,
    Tracing,
)
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import band

COLUMNS = ("subject last", "name", "last")
LAYERS = 4


def about(value: float, width: float = 0.1) -> Estimate:
    return Estimate(value=value, low=value - width, high=value + width)


def grid(rows: list[list[float]], width: float = 0.1) -> Grid:
    return Grid(
        value=tuple(tuple(row) for row in rows),
        low=tuple(tuple(each - width for each in row) for row in rows),
        high=tuple(tuple(each + width for each in row) for row in rows),
    )


def effect_map(corruption: Any, site: str, rows: list[list[float]], control: Grid | None = None) -> EffectMap:
    columns = COLUMNS if site != "heads" else ("0", "1")
    small = grid([[each / 2 for each in row] for row in rows])
    return EffectMap(
        corruption=corruption, site=site, columns=columns, n=(9,) * len(columns), effect=grid(rows), probability=small,
        control=control,
    )  # fmt: skip


STREAM = [[0.3, 0.6, 0.0], [0.3, 0.5, 0.04], [0.1, 0.2, 0.62], [0.0, 0.0, 1.0]]
MOVING = [[0.02, 0.03, 0.0], [0.0, 0.0, -0.31], [0.0, 0.0, 0.41], [0.0, 0.0, 0.2]]


def make_causality(**changes: Any) -> Causality:
    """Nine pairs in which the answer reaches the last token in layer 2; FFN estimates are poor, neurons' good."""
    agreeing, poor = (Agreement(pearson=about(r), spearman=about(r - 0.05)) for r in (0.95, 0.4))
    points = tuple((k % LAYERS, 0.1 * k, 0.1 * k + 0.02, 0.1 * k) for k in range(20))
    attribution = tuple(
        AttributionFound(
            corruption="question",
            site=site,
            n=200,
            n_pairs=9,
            linear=poor if site == "ffn" else agreeing,
            averaged=agreeing,
            by_layer=(0.2, 0.5, None, 0.6),
            points=points,
        )
        for site in ("residual", "ffn", "neurons")
    )
    settings: dict[str, Any] = {
        "tracing": Tracing(
            pairs=PairsFound(
                n=9,
                found=31,
                by_set={"<b>in</b>": 5, "invented": 4},
                by_kind={"city": 9},
                unpaired={"no subject is known": 3},
                gap={"question": about(11.5), "noise": about(6.5)},
                probability={"question": about(0.7), "noise": about(0.6)},
                small={"question": 0, "noise": 1},
                unrelated=9,
                sigma=0.21,
                draws=3,
            ),
            maps=(
                effect_map("question", "residual", STREAM, grid([[each / 5 for each in row] for row in STREAM], 0.05)),
                effect_map("question", "attention", MOVING, grid([[0.0] * 3] * LAYERS)),
                effect_map("question", "ffn", MOVING[::-1], grid([[0.0] * 3] * LAYERS)),
                effect_map("noise", "residual", STREAM),
                effect_map("noise", "attention", MOVING),
                effect_map("noise", "ffn", MOVING[::-1]),
                effect_map("question", "heads", [[0.1, 0.2], [0.0, 0.45], [0.3, 0.0], [0.05, 0.01]]),
            ),
        ),
        "neurons": NeuronsPatched(
            corruption="question",
            n_neurons=7,
            n_pairs=9,
            effect=about(0.004, 0.002),
            random=band([0.0, 0.01, 0.02]),
            matched=band([0.001, 0.003, 0.009]),
            all_neurons=about(0.99, 0.01),
        ),
        "attribution": attribution,
    }
    return Causality(**settings | changes)
