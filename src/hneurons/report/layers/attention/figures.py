"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.attention.record import Attention
from hneurons.report.illustration import Illustration


def illustrations(found: Attention) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
