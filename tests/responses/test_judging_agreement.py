"""Judging held against people, where the answers that they judged lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import agreement

JUDGED = Path(__file__).resolve().parents[3] / "shared" / "data" / "human-judged" / "evouna_tq.json"


def test_aliases_are_joined_by_slashes_but_numbers_may_hold_one() -> None:
    aliases = agreement.aliases
    assert aliases("Paris/Lutetia") == ("Paris", "Lutetia")
    assert aliases("24/7") == ("24", "7", "24/7")
    assert aliases("Paris//") == ("Paris",)


def test_agreement_counts_each_kind_of_difference() -> None:
    question = agreement.Question(id="q", text="Where?", aliases=("Paris",))
    rows = [
        agreement.Judged("half", "fid", question, "", human, ours, False)
        for human, ours in ((True, True), (True, False), (False, True), (False, False), (False, False))
    ]
    shares = agreement.agreement(rows, lambda row: row.ours)
    assert shares["agreement"] == pytest.approx(3 / 5)
    assert shares["false_acceptances"] == pytest.approx(1 / 5)
    assert shares["false_acceptances_of_wrong"] == pytest.approx(1 / 3)
    assert shares["false_rejections"] == pytest.approx(1 / 5)


@pytest.mark.skipif(not JUDGED.exists(), reason=f"no human verdicts at {JUDGED}")
def test_agreement_with_people() -> None:
    rows = list(agreement.judged_by_people(JUDGED, systems=("fid",)))
    assert len(rows) == 1938
    ours = agreement.agreement(rows, lambda row: row.ours)
    assert ours["agreement"] >= 0.93
    assert ours["false_acceptances"] < 0.01
    kept_back = agreement.agreement([r for r in rows if r.part == "kept back"], lambda row: row.ours)
    assert kept_back["agreement"] >= 0.93
    assert kept_back["false_acceptances"] < 0.01
    plain = agreement.agreement(rows, lambda row: row.plain)
    assert plain["agreement"] < 0.92, "the plain rule would not do"
    everything = agreement.agreement(rows, lambda row: True)
    assert everything["false_acceptances"] > 0.1, "nor would accepting everything"
