"""The part `concepts` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.concepts.record import Concepts
from hneurons.study.layers.work import LayersWork


def find_concepts(work: LayersWork) -> Concepts:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
