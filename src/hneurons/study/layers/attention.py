"""The part `attention` of a run."""

from __future__ import annotations

from hneurons.errors import NotEnoughDataError
from hneurons.layers.attention.record import Attention
from hneurons.study.layers.work import LayersWork


def find_attention(work: LayersWork) -> Attention:
    """Not written yet."""
    raise NotEnoughDataError("not written yet")
