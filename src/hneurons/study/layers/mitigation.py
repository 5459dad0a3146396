"""The part `mitigation` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.mitigation.record import Mitigation
from hneurons.study.layers.work import LayersWork


def find_mitigation(work: LayersWork) -> Mitigation:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
