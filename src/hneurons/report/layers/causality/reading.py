"""What the figures and words of patching look up in the record."""

from __future__ import annotations

from hneurons.layers.causality.record import AttributionFound, Causality, Corruption, EffectMap, Grid
from hneurons.probes.bootstrap import Estimate

SITES = ("residual", "attention", "ffn")
SITE_NAMES = {
    "residual": "Residual stream",
    "attention": "Attention",
    "ffn": "FFN",
    "heads": "Heads",
    "neurons": "Single neurons",
}
COLUMN_NAMES = {
    "subject first": "subject, first",
    "subject middle": "subject, middle",
    "subject last": "subject, last",
    "question": "question after",
    "template": "template after",
    "name": "name, repeated",
    "said": "said so far",
    "last": "last token",
}
"""Groups of positions, as they are called in figures."""
SPOKEN = {
    "subject first": "the subject's first token",
    "subject middle": "the middle of the subject",
    "subject last": "the subject's last token",
    "question": "the rest of the question",
    "template": "the template after it",
    "name": "the repeated name",
    "said": "what is said besides",
    "last": "the last token",
}
"""The same, as they are called in sentences."""


def find_map(found: Causality, corruption: Corruption, site: str) -> EffectMap | None:
    """The map of a site, or None where it was not made."""
    return next((each for each in found.tracing.maps if (each.corruption, each.site) == (corruption, site)), None)


def find_attribution(found: Causality, corruption: Corruption, site: str) -> AttributionFound | None:
    """What attribution patching gave for a site, or None."""
    return next((each for each in found.attribution if (each.corruption, each.site) == (corruption, site)), None)


def cell(grid: Grid, layer: int, column: int) -> Estimate:
    """One cell as an estimate."""
    value = grid.value[layer][column]
    reason = "no pair has it" if value is None else ""
    return Estimate(value=value, low=grid.low[layer][column], high=grid.high[layer][column], reason=reason)


def largest(shown: EffectMap) -> tuple[int, int]:
    """Layer and column of the largest effect."""
    cells = [
        (value, -layer, -column)
        for layer, row in enumerate(shown.effect.value)
        for column, value in enumerate(row)
        if value is not None
    ]
    _, layer, column = max(cells)
    return -layer, -column


def arrival(shown: EffectMap) -> int | None:
    """The first layer after which the last token carries half of the gap or more."""
    if "last" not in shown.columns:
        return None
    column = shown.columns.index("last")
    return next(
        (layer for layer, row in enumerate(shown.effect.value) if (row[column] or 0.0) >= 0.5),
        None,
    )


def excludes_zero(figure: Estimate) -> bool:
    """Whether an interval lies on one side of zero."""
    return figure.low is not None and figure.high is not None and (figure.low > 0 or figure.high < 0)
