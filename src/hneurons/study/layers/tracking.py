"""The part `tracking` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.tracking.record import Tracking
from hneurons.study.layers.work import LayersWork


def find_tracking(work: LayersWork) -> Tracking:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
