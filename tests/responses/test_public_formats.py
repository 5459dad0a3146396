"""The public code's files: tiny ones of our own always, the real ones where they are."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hneurons.errors import ResponseError
from hneurons.responses.public_formats import align, read_answer_tokens, read_question_ids, read_samples

DATA = Path(__file__).parents[3] / "shared/data"
EXAMPLES = DATA / "h-neurons-examples"
SUFFIX = " Respond with the answer only, without any explanation."

SAMPLES = {
    "question": "Who wrote Babbitt? Briefly.",
    "responses": ["Eugene O'Neill", "Sinclair\u2028Lewis"],
    "judges": ["false", "true"],
    "ground_truth": ["Sinclair Lewis", "Lewis, Sinclair", "Sinclair Lewis", ""],
}
TOKENS = {
    "question": "Who wrote Babbitt? Briefly.",
    "response": "Sinclair Lewis.",
    "tokenized_response": ["Sin", "clair", "▁Lewis", "."],
    "answer_tokens": ["Sin", "clair", "▁Lewis"],
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", {"tc_1": SAMPLES})
    (found,) = read_samples(path, suffix=" Briefly.")
    assert found.question.id == "tc_1"
    assert found.question.text == "Who wrote Babbitt?"
    assert found.question.aliases == ("Sinclair Lewis", "Lewis, Sinclair")
    assert found.texts == ("Eugene O'Neill", "Sinclair\u2028Lewis")
    assert found.verdicts == ("incorrect", "correct")
    assert read_samples(path)[0].question.text == "Who wrote Babbitt? Briefly."


@pytest.mark.parametrize("judge", ["incorrect", "True", "t", "error", "uncertain", " true", ""])
def test_a_judge_is_read_strictly(judge: str, tmp_path: Path) -> None:
    """ "incorrect" has a "t" in it, and an error is no verdict."""
    path = write(tmp_path / "samples.jsonl", {"tc_1": SAMPLES | {"judges": ["true", judge]}})
    with pytest.raises(ResponseError, match=r"line 1, tc_1: the judge says .*; say in judges= what it means"):
        read_samples(path)


def test_other_judge_strings_are_named_by_the_caller(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", {"tc_1": SAMPLES | {"judges": ["uncertain", "false"]}})
    assert read_samples(path, judges={"uncertain": "refusal", "false": "correct"})[0].verdicts == (
        "refusal",
        "incorrect",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judges": ["true"]}, "2 responses and 1 judges"),
        ({"judges": [], "responses": []}, "0 responses and 0 judges"),
        ({"judges": [True, False]}, "field 'judges' is missing or no list of texts"),
        ({"responses": "x"}, "field 'responses' is missing or no list of texts"),
        ({"question": None}, "field 'question' is missing or no text"),
        ({"question": "Who?"}, "the question does not end in ' Briefly.'"),
        ({"question": " Briefly."}, "field 'question' is blank"),
        ({"ground_truth": [" "]}, "field 'ground_truth' is empty"),
    ],
)
def test_malformed_samples(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", {"tc_0": SAMPLES}, {"tc_1": SAMPLES | changes})
    with pytest.raises(ResponseError, match=f"line 2, tc_1: {message}"):
        read_samples(path, suffix=" Briefly.")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no responses"),
        ([{"a": SAMPLES, "b": SAMPLES}], "line 1: one question id is expected, not 2"),
        ([{}], "line 1: one question id is expected, not 0"),
        ([{"a": [1]}], "line 1: .* is expected; correct the line"),
        ([{"": SAMPLES}], "line 1: .* is expected; correct the line"),
        ([{"a": SAMPLES | TOKENS}] * 2, "line 2: 'a' is already in .*line 1"),
        (["x"], "line 1: a JSON object is expected"),
    ],
)
def test_malformed_lines(rows: list[object], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", *rows)
    for read in (read_samples, read_answer_tokens):
        with pytest.raises(ResponseError, match=message):
            read(path)


def test_answer_tokens(tmp_path: Path) -> None:
    path = write(tmp_path / "tokens.jsonl", {"tc_1": TOKENS}, {"tc_2": TOKENS | {"judge": "true"}})
    first, second = read_answer_tokens(path, suffix=" Briefly.")
    assert (first.question_id, first.question_text, first.response) == ("tc_1", "Who wrote Babbitt?", "Sinclair Lewis.")
    assert (first.answer, first.alignment, first.verdict) == ((0, 1, 2), "run", None)
    assert second.verdict == "correct"
    write(path, {"tc_1": TOKENS | {"judge": "maybe"}})
    with pytest.raises(ResponseError, match="the judge says 'maybe'"):
        read_answer_tokens(path)


@pytest.mark.parametrize(
    ("marked", "tokens", "expected"),
    [
        ("c d", "a b c d e", ((2, 3), "run")),
        ("a", "b a c a", ((1,), "repeated")),
        ("a c", "a , c", ((0, 2), "gaps")),
        ("", "a b", ((), "none_marked")),
        ("a x", "a b", ((), "no_match")),
        ("b a", "a b", ((), "no_match")),
        ("a a", "a", ((), "no_match")),
        ("the hague delft", "the city is the hague , delft", ((3, 4, 6), "gaps")),  # not the first "the"
        ("a b c", "a b x a b y c", ((0, 1, 6), "gaps")),  # equally few runs: the earliest
    ],
)
def test_align(marked: str, tokens: str, expected: tuple[tuple[int, ...], str]) -> None:
    assert align(marked.split(), tokens.split()) == expected


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=4))
def test_align_against_all_subsequences(tokens: list[str], marked: list[str]) -> None:
    ways = [
        path
        for path in itertools.combinations(range(len(tokens)), len(marked))
        if marked and [tokens[at] for at in path] == marked
    ]
    found, alignment = align(marked, tokens)
    if not ways:
        assert (found, alignment) == ((), "no_match" if marked else "none_marked")
        return
    assert found == min(ways, key=lambda path: (runs(path), path))
    one_run = sum(runs(path) == 1 for path in ways)
    assert alignment == {0: "gaps", 1: "run"}.get(one_run, "repeated")


def runs(path: tuple[int, ...]) -> int:
    return 1 + sum(after != before + 1 for before, after in itertools.pairwise(path))


def test_question_ids(tmp_path: Path) -> None:
    path = tmp_path / "qids.json"
    path.write_text(json.dumps({"t": ["a", "b"], "f": ["c"]}))
    assert (read_question_ids(path).faithful, read_question_ids(path).hallucinated) == (("a", "b"), ("c",))
    for wrong, message in (
        ({"t": ["a"], "f": ["a"]}, "'a' is given twice"),
        ({"t": ["a", "a"], "f": []}, "'a' is given twice"),
        ({"t": ["a"]}, "field 'f' is missing"),
        ({"t": ["a"], "f": [1]}, "field 'f' is missing or no list of texts"),
        ([], "a JSON object is expected"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ResponseError, match=message):
            read_question_ids(path)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the public examples are not beside the checkout")
def test_public_examples() -> None:
    found = read_answer_tokens(EXAMPLES / "gemma27b_TriviaQA_answer_tokens_train.jsonl", suffix=SUFFIX)
    ids = read_question_ids(EXAMPLES / "gemma27b_TriviaQA_train_qids.json")
    assert len(found) == 2600
    assert len(ids.faithful) == len(ids.hallucinated) == 1000
    assert {*ids.faithful, *ids.hallucinated} <= {row.question_id for row in found}
    assert Counter(row.alignment for row in found) == {
        "run": 2548,
        "none_marked": 39,
        "gaps": 11,
        "repeated": 1,
        "no_match": 1,
    }
    for row in found:
        assert row.verdict is None
        assert not row.question_text.endswith("explanation.")
        assert "".join(row.tokens).replace("▁", " ").split() == row.response.split()


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the public examples are not beside the checkout")
def test_public_examples_point_at_the_marked_pieces() -> None:
    path = EXAMPLES / "gemma27b_TriviaQA_answer_tokens_train.jsonl"
    marked = {}
    for raw in path.read_bytes().split(b"\n"):
        if raw:
            ((question_id, row),) = json.loads(raw).items()
            marked[question_id] = row["answer_tokens"]
    for row in read_answer_tokens(path):
        if row.alignment != "no_match":
            assert [row.tokens[at] for at in row.answer] == marked[row.question_id]


@pytest.mark.skipif(not DATA.exists(), reason="the real ten-sample data are not beside the checkout")
def test_real_samples() -> None:
    found = read_samples(DATA / "ten-samples/gemma3_4b_consistency_samples.jsonl", suffix=SUFFIX)
    assert len(found) == 1200
    assert {len(sample.texts) for sample in found} == {10}
    assert Counter(verdict for sample in found for verdict in sample.verdicts) == {"correct": 4216, "incorrect": 7784}
    assert any("O'Neill" in text for text in found[0].texts), "apostrophes survive"
