"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.mitigation.record import Mitigation


def sentences(found: Mitigation) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
