"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.comparison.record import Comparison


def sentences(found: Comparison) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
