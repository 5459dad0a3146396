"""Answer spans held against marked tokens, where such examples lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import agreement

EXAMPLES = (
    Path(__file__).resolve().parents[3]
    / "shared"
    / "data"
    / "h-neurons-examples"
    / "gemma27b_TriviaQA_answer_tokens_train.jsonl"
)


def test_f1_over_positions() -> None:
    f1 = agreement.f1
    assert f1((0, 1), (0, 1)) == 1.0
    assert f1((0, 1, 2), (1, 2)) == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert f1((), (1,)) == 0.0


@pytest.mark.skipif(not EXAMPLES.exists(), reason=f"no marked examples at {EXAMPLES}")
def test_agreement_with_marked_tokens() -> None:
    rows = list(agreement.marked_by_a_model(EXAMPLES))
    assert len(rows) == 2560
    ours = agreement.span_scores(rows, lambda row: row.ours)
    assert ours["f1"] >= 0.994
    assert ours["exact"] >= 0.98
    assert ours["f1_long"] >= 0.80
    trimmed = agreement.span_scores(rows, lambda row: row.trimmed)
    assert trimmed["exact"] < 0.98, "trimming alone would not do"
    assert trimmed["f1_long"] < 0.80
