"""What this part shows, in words."""

from __future__ import annotations

from hneurons.layers.concepts.record import Concepts


def sentences(found: Concepts) -> list[str]:
    """A few plain sentences with the numbers that matter, controls and intervals beside them."""
    return []
