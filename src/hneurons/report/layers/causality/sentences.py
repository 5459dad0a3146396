"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.causality.record import Causality


def sentences(found: Causality) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
