"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.attention.record import Attention


def sentences(found: Attention) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
