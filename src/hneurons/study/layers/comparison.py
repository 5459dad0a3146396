"""The part `comparison` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.comparison.record import Comparison
from hneurons.study.layers.work import LayersWork


def find_comparison(work: LayersWork) -> Comparison:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
