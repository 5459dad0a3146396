"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.comparison.record import Comparison
from hneurons.report.illustration import Illustration


def illustrations(found: Comparison) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
