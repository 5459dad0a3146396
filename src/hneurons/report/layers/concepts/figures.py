"""The figures of this part."""

from __future__ import annotations

from hneurons.layers.concepts.record import Concepts
from hneurons.report.illustration import Illustration


def illustrations(found: Concepts) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    return []
