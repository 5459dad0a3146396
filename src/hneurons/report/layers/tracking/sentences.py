"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.tracking.record import Tracking


def sentences(found: Tracking) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
