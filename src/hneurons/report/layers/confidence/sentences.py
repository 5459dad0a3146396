"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.confidence.record import Confidence


def sentences(found: Confidence) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
