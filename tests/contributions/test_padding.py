"""A padded batch points at the right tokens, whichever side is padded."""

from __future__ import annotations

import pytest
import torch

from hneurons.contributions import Item, Recording
from hneurons.contributions.padding import pad

ITEMS = [Item("a", (10, 11, 12), (13, 14, 15), (1,)), Item("b", (20,), (21, 22), (0, 1))]


@pytest.mark.parametrize("side", ["left", "right"])
def test_reads_and_predictions_point_at_their_tokens(side: str) -> None:
    batch = pad(ITEMS, Recording(other="response"), pad_id=9, side=side)  # type: ignore[arg-type]
    assert batch.input_ids[1].tolist() == ([9, 9, 9, 20, 21, 22] if side == "left" else [20, 21, 22, 9, 9, 9])
    assert torch.equal(batch.attention_mask == 0, batch.input_ids == 9)
    read = batch.input_ids.flatten()[batch.reads]
    assert read.tolist() == [[14, 13, 15], [21, 22, 21]]  # the spare read of b repeats a token of its own
    assert batch.weights.tolist() == [[[1, 0, 0], [0, 0.5, 0.5]], [[0.5, 0.5, 0], [0, 0, 0]]]
    assert batch.with_other.tolist() == [0]
    predicting = batch.input_ids[:, batch.columns].flatten()[batch.predictions]
    assert predicting.tolist() == [13, 20, 21]
    assert batch.targets.tolist() == [14, 21, 22]
    real = batch.attention_mask.bool()
    assert batch.position_ids[real].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]
