"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.tracking.record import Tracking
from hneurons.report.illustration import Illustration


def illustrations(found: Tracking) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
