"""The part `causality` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.causality.record import Causality
from hneurons.study.layers.work import LayersWork


def find_causality(work: LayersWork) -> Causality:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
