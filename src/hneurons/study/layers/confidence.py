"""The part `confidence` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.confidence.record import Confidence
from hneurons.study.layers.work import LayersWork


def find_confidence(work: LayersWork) -> Confidence:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
