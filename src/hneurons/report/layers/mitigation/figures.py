"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.mitigation.record import Mitigation
from hneurons.report.illustration import Illustration


def illustrations(found: Mitigation) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
