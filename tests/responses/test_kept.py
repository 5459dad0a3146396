from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hneurons.responses import kept
from hneurons.responses.kept import Kept, keep


def rows(kept: Kept) -> list[dict[int, float]]:
    """Token id to logit, for each row."""
    ends = np.cumsum(kept.counts)
    return [
        dict(zip(kept.tokens[end - n : end].tolist(), kept.logits[end - n : end].tolist(), strict=True))
        for n, end in zip(kept.counts, ends, strict=True)
    ]


LOGITS = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 0.0, 0.0, 0.0]])


def test_top_k_keeps_the_largest() -> None:
    assert rows(keep(LOGITS[:1], 1.0, 2, 1.0)) == [{1: 3.0, 3: 2.0}]


def test_top_k_keeps_what_ties_with_the_last() -> None:
    assert rows(keep(LOGITS, 1.0, 2, 1.0)) == [{1: 3.0, 3: 2.0}, {0: 5.0, 1: 0.0, 2: 0.0, 3: 0.0}]


def test_top_p_keeps_the_smallest_set_with_that_probability() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert list(rows(keep(logits, 1.0, 0, 0.79))[0]) == [1, 0]
    assert list(rows(keep(logits, 1.0, 0, 0.81))[0]) == [2, 1, 0]
    assert list(rows(keep(logits, 1.0, 0, 0.0))[0]) == [0]


def test_top_p_counts_probability_among_the_top_k() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert len(rows(keep(logits, 1.0, 0, 0.75))[0]) == 3
    assert len(rows(keep(logits, 1.0, 2, 0.55))[0]) == 1, "0.4 of 0.7 is more than 0.55"
    assert len(rows(keep(logits, 1.0, 0, 0.55))[0]) == 2


def test_the_temperature_comes_first() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    assert len(rows(keep(logits, 1.0, 0, 0.75))[0]) == 2
    assert len(rows(keep(logits, 4.0, 0, 0.75))[0]) == 3


def test_temperature_0_keeps_the_largest_alone() -> None:
    assert rows(keep(LOGITS, 0.0, 50, 0.9)) == [{1: 3.0}, {0: 5.0}]


def test_everything_is_kept_where_nothing_limits() -> None:
    assert rows(keep(LOGITS, 2.0, 0, 1.0)) == [dict(enumerate((row / 2).tolist())) for row in LOGITS]


def test_impossible_tokens_are_not_kept() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 1.0]])
    for top_p in (0.9, 1.0):
        assert set(rows(keep(logits, 1.0, 3, top_p))[0]) == {0, 2}
        assert set(rows(keep(logits, 1.0, 0, top_p))[0]) == {0, 2}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_with_in_float32(dtype: torch.dtype) -> None:
    logits = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
    kept, expected = keep(logits, 0.7, 10, 0.8), keep(logits.float(), 0.7, 10, 0.8)
    assert kept.logits.dtype == np.float32
    assert rows(kept) == rows(expected)


@given(st.integers(0, 2**32), st.integers(0, 60), st.floats(0, 1), st.floats(0.1, 3))
@settings(max_examples=50, deadline=None)
def test_a_row_does_not_depend_on_the_others(seed: int, top_k: int, top_p: float, temperature: float) -> None:
    """Coarse logits tie often: a row with many ties must not change what another keeps."""
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(seed)).mul(3).round()
    together = rows(keep(logits, temperature, top_k, top_p))
    assert together == [rows(keep(row[None], temperature, top_k, top_p))[0] for row in logits]


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(0.0, 0, 1.0), (1.0, 3, 0.8), (0.7, 0, 0.9), (1.0, 0, 1.0)]
)
def test_it_is_the_same_wherever_candidates_are_picked(
    temperature: float, top_k: int, top_p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(5, 12, generator=torch.Generator().manual_seed(0)).mul(3).round()  # with ties
    on_host = keep(logits, temperature, top_k, top_p)
    monkeypatch.setattr(kept, "_FEW", 0)
    on_device = keep(logits, temperature, top_k, top_p)
    for name in ("logits", "tokens", "counts"):
        mine, theirs = getattr(on_host, name), getattr(on_device, name)
        assert mine.dtype == theirs.dtype
        assert mine.tolist() == theirs.tolist()
    assert on_host.counts.sum() == len(on_host.tokens) == len(on_host.logits)
