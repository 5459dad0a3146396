"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.confidence.record import Confidence
from hneurons.report.illustration import Illustration


def illustrations(found: Confidence) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
