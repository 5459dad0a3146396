"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.causality.record import Causality
from hneurons.report.illustration import Illustration


def illustrations(found: Causality) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
