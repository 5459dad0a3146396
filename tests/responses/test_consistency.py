"""Consistency and balance, held against a direct count and real ten-sample data."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hneurons.errors import NotEnoughDataError, QuestionSetError, ResponseError
from hneurons.questions import Question, assert_disjoint
from hneurons.responses.consistency import (
    Consistency,
    Outcome,
    SelectionReport,
    assess,
    balance,
    balance_parts,
)
from hneurons.responses.public_formats import read_samples
from hneurons.responses.response import Verdict

QUESTION = Question(id="q", text="Who?", aliases=("Ann",), group="people")
C, I, R = "correct", "incorrect", "refusal"  # noqa: E741
TEN_SAMPLES = Path(__file__).parents[3] / "shared/data/ten-samples/gemma3_4b_consistency_samples.jsonl"


@pytest.mark.parametrize(
    ("texts", "verdicts", "expected"),
    [
        (["a", "b", "c"], [C, C, C], "faithful"),
        (["a", "b", "c"], [I, I, I], "hallucinated"),
        (["a", "b", "c"], [C, I, C], "mixed"),
        (["a", "b", "c"], [R, R, R], "all_refusals"),
        (["a", "b", "c"], [I, R, I], "some_refusals"),
        (["a", "b", "c"], [C, R, C], "some_refusals"),
        (["a", " \n", "c"], [I, I, I], "some_blank"),
        (["a", "", "c"], [C, R, I], "some_refusals"),
        (["a", "b"], [C, C], "too_few_responses"),
        (["a"], [R], "too_few_responses"),
    ],
)
def test_outcomes(texts: list[str], verdicts: list[Verdict], expected: Outcome) -> None:
    assert assess(QUESTION, texts, verdicts, n_samples=3).outcome == expected


def test_as_many_samples_as_there_are_unless_told() -> None:
    assert assess(QUESTION, ["a"], [C]).outcome == "faithful"


def test_one_refusal_among_wrong_answers_is_no_hallucination() -> None:
    """The rule that a plain "none is correct" gets wrong."""
    texts, verdicts = ["a"] * 10, [I] * 9 + [R]
    assert C not in verdicts
    assert assess(QUESTION, texts, verdicts).outcome == "some_refusals"
    assert assess(QUESTION, texts, [I] * 10).outcome == "hallucinated"


@pytest.mark.parametrize(
    ("texts", "representative", "agreement", "n_distinct"),
    [
        (["b", "a", "a"], 1, 2 / 3, 2),
        (["b", "a", "a", "b"], 0, 0.5, 2),  # a tie: the first seen
        (["c", "b", "a"], 0, 1 / 3, 3),
        (["x", " a", "a\n", "x."], 1, 0.5, 3),  # white space at either end is no difference, a full stop is
        (["A", "a", "b", "b"], 2, 0.5, 3),  # case is
        (["a b", "a  b"], 0, 0.5, 2),  # and so is white space inside
    ],
)
def test_representative(texts: list[str], representative: int, agreement: float, n_distinct: int) -> None:
    found = assess(QUESTION, texts, [C] * len(texts))
    assert (found.representative, found.n_distinct) == (representative, n_distinct)
    assert found.agreement == pytest.approx(agreement)
    assert (found.question_id, found.split_key) == ("q", "people")


@given(st.lists(st.tuples(st.sampled_from(["a", "b", " a", "", "c "]), st.sampled_from([C, I, R])), min_size=1))
def test_against_a_naive_reading(samples: list[tuple[str, Verdict]]) -> None:
    texts, verdicts = [text for text, _ in samples], [verdict for _, verdict in samples]
    found = assess(QUESTION, texts, verdicts)
    times = [sum(other.strip() == text.strip() for other in texts) for text in texts]
    assert found.representative == times.index(max(times))
    assert found.agreement == max(times) / len(texts)
    assert (found.outcome == "faithful") == all(v == C and t.strip() for t, v in samples)
    assert (found.outcome == "hallucinated") == all(v == I and t.strip() for t, v in samples)


@pytest.mark.parametrize(
    ("texts", "verdicts", "n_samples"),
    [([], [], None), (["a"], [C, C], None), (["a", "b"], [C], 2), (["a", "b"], [C, C], 1)],
)
def test_counts_that_contradict_each_other(texts: list[str], verdicts: list[Verdict], n_samples: int | None) -> None:
    with pytest.raises(ResponseError, match=r"'q' has .* responses and .* verdicts .*; give one verdict"):
        assess(QUESTION, texts, verdicts, n_samples)


def records(**counts: int) -> list[Consistency]:
    """So many records of each outcome, shuffled; every third shares its group with the one before."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    random.Random(0).shuffle(kinds)
    return [
        Consistency(
            question_id=f"q{n}",
            split_key=f"g{n - (n % 3 == 2)}",
            outcome=kind,
            representative=0,
            agreement=1.0,
            n_distinct=1,
        )
        for n, kind in enumerate(kinds)
    ]


def test_balance_takes_equally_many_and_counts_the_rest() -> None:
    given = records(faithful=30, hallucinated=12, mixed=7, some_refusals=2, all_refusals=1)
    found = balance(given)
    assert len(found.faithful) == len(found.hallucinated) == found.report.n_each == 12
    assert {record.outcome for record in found.faithful} == {"faithful"}
    assert {record.outcome for record in found.hallucinated} == {"hallucinated"}
    assert found.report.outcomes == Counter(record.outcome for record in given) | dict.fromkeys(
        set(get_args(Outcome)) - {record.outcome for record in given}, 0
    )
    assert found.report.left_out == {
        "mixed": 7,
        "some_refusals": 2,
        "all_refusals": 1,
        "faithful_beyond_the_balance": 18,
    }
    assert found.report.n_questions == 52
    for chosen in (found.faithful, found.hallucinated):
        assert list(chosen) == [record for record in given if record in chosen], "the order is kept"


def test_at_most_n_each() -> None:
    found = balance(records(faithful=30, hallucinated=12), n_each=5)
    assert len(found.faithful) == len(found.hallucinated) == 5
    assert found.report.left_out == {"faithful_beyond_the_balance": 25, "hallucinated_beyond_the_balance": 7}
    assert balance(records(faithful=30, hallucinated=12), n_each=500) == balance(records(faithful=30, hallucinated=12))


def test_balance_is_seeded_and_independent_of_order() -> None:
    given = records(faithful=40, hallucinated=10)
    ids = [{record.question_id for record in balance(given, seed=seed).faithful} for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert {record.question_id for record in balance(given[::-1]).faithful} == ids[0]
    faithful = [record.question_id for record in given if record.outcome == "faithful"]
    assert ids[0] != set(faithful[:10]), "a sample, not the first ten"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"faithful": 9, "mixed": 2},
            "too few hallucinated .* at least 1 .* 11 questions there are 9 faithful, 2 mixed; ask",
        ),
        ({"hallucinated": 9}, "too few faithful .* there are 9 hallucinated; ask more questions, or easier"),
        ({"all_refusals": 3}, "too few faithful and hallucinated .* there are 3 all_refusals; ask more questions"),
        ({}, "too few faithful and hallucinated .* of 0 questions there are none"),
    ],
)
def test_an_empty_class_is_refused_with_all_counts(counts: dict[str, int], message: str) -> None:
    with pytest.raises(NotEnoughDataError, match=message):
        balance(records(**counts))


def test_a_class_below_the_minimum_is_refused() -> None:
    given = records(faithful=30, hallucinated=12)
    assert balance(given, minimum=12).report.n_each == 12
    with pytest.raises(NotEnoughDataError, match=r"at least 13 needed; .*; ask more questions, or harder"):
        balance(given, minimum=13)
    with pytest.raises(NotEnoughDataError, match="5 questions of each class are fewer than 10"):
        balance(given, n_each=5, minimum=10)
    with pytest.raises(NotEnoughDataError, match="0 questions of each class are fewer than 1"):
        balance(given, n_each=0)


def test_parts_share_no_group_and_are_each_balanced() -> None:
    given = records(faithful=300, hallucinated=200, mixed=50)
    parts = balance_parts(given, {"train": 0.5, "choice": 0.25, "test": 0.25}, n_each=60, seed=3)
    assert_disjoint({name: (*part.faithful, *part.hallucinated) for name, part in parts.items()})
    assert parts["train"].report.n_each == 60
    assert parts["test"].report.n_each < 60, "as many as there are"
    for part in parts.values():
        assert len(part.faithful) == len(part.hallucinated) == part.report.n_each > 0
    assert sum(part.report.n_questions for part in parts.values()) == 550


def test_parts_that_ignore_groups_would_share_them() -> None:
    """What `assert_disjoint` above sees: halves taken by position."""
    given = records(faithful=300, hallucinated=200)
    with pytest.raises(QuestionSetError, match="more than one part"):
        assert_disjoint({"train": given[::2], "test": given[1::2]})


def test_the_part_that_is_too_small_is_named() -> None:
    with pytest.raises(NotEnoughDataError, match=r"^part 'test': too few"):
        balance_parts(records(faithful=30, hallucinated=30), {"train": 0.98, "test": 0.02}, minimum=3)


def test_a_question_counts_once() -> None:
    twice = [*records(faithful=3, hallucinated=3), *records(faithful=1)]
    for select in (balance, lambda given: balance_parts(given, {"train": 0.5, "test": 0.5})):
        with pytest.raises(ResponseError, match="has two records"):
            select(twice)


def test_a_report_that_does_not_add_up_is_refused() -> None:
    right = balance(records(faithful=5, hallucinated=3)).report
    for wrong in ({"n_questions": 9}, {"n_each": 2}, {"left_out": {}}):
        with pytest.raises(ResponseError, match="accounts for"):
            SelectionReport(**(right.model_dump() | wrong))


@pytest.mark.skipif(not TEN_SAMPLES.exists(), reason="the real ten-sample data are not beside the checkout")
def test_real_ten_sample_data() -> None:
    """1,200 TriviaQA questions to Gemma-3-4B; the counts are those of a direct reading of the file's verdicts."""
    samples = read_samples(TEN_SAMPLES)
    found = [assess(sample.question, sample.texts, sample.verdicts, n_samples=10) for sample in samples]
    assert Counter(record.outcome for record in found) == direct_count([sample.verdicts for sample in samples])
    assert Counter(record.outcome for record in found) == {"faithful": 370, "hallucinated": 698, "mixed": 132}
    report = balance(found, n_each=1000).report
    assert (report.n_each, report.left_out) == (370, {"mixed": 132, "hallucinated_beyond_the_balance": 328})
    for sample, record in zip(samples, found, strict=True):
        text = sample.texts[record.representative].strip()
        times = Counter(other.strip() for other in sample.texts)
        assert times[text] == max(times.values()) == round(10 * record.agreement)
        assert record.n_distinct == len(times)


def direct_count(verdicts: Sequence[Sequence[Verdict]]) -> dict[str, int]:
    right = [sum(verdict == C for verdict in of_question) for of_question in verdicts]
    return {
        "faithful": right.count(10),
        "hallucinated": right.count(0),
        "mixed": sum(0 < n < 10 for n in right),
    }
