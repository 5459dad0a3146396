"""Bad files are refused with the file, the line and the field, and good ones are read as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from hneurons.errors import QuestionSetError, ResponseError
from hneurons.questions import load_questions
from hneurons.questions.rows import json_document, json_lines, read_rows

GOOD = {"id": "a", "question": "Where is Oslo?", "aliases": ["Norway"]}


def line(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode() + b"\n"


def without(field: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name != field}


def trivia(**changes: object) -> bytes:
    answer = {"value": "Norway", "aliases": ["Norway"], "normalized_aliases": ["norway"]}
    row = {"question": "Where is Oslo?", "question_id": "tc_1", "answer": answer | changes.pop("answer", {})} | changes
    return json.dumps(row).encode() + b"\n"


BAD = {
    "empty file": (b"", "holds no questions"),
    "blank lines only": (b"\n  \n", "holds no questions"),
    "truncated JSON": (line() + b'{"id": "b", "quest', "line 2: not JSON"),
    "not JSON": (b"id,question,aliases\n", "line 1: not JSON"),
    "an array": (b'[{"id": "a"}]\n', "line 1: a JSON object is expected, not list"),
    "NaN": (line(meta={"x": float("nan")}), "line 1: not usable JSON.*NaN"),
    "field twice": (b'{"id": "a", "id": "b"}', "line 1: not usable JSON.*'id' is given twice"),
    "deep nesting": (b'{"id":' + b"[" * 100_000, "line 1: not usable JSON"),
    "latin-1": (line() + '{"id": "b", "question": "Où?"}\n'.encode("latin-1"), "line 2: byte 0xf9 .* is not UTF-8"),
    "UTF-16": (line().decode().encode("utf-16"), "line 1: byte 0xff at column 1 is not UTF-8"),
    "missing field": (json.dumps(without("id")).encode(), "line 1: field 'id' is missing; add it"),
    "renamed field": (
        json.dumps(without("aliases") | {"alias": ["x"]}).encode(),
        "line 1: field 'aliases' is missing; is 'alias' meant",
    ),
    "unknown field": (line() + line(id="b", difficulty=3), "line 2: field 'difficulty' is unknown.*'meta'"),
    "null": (line(question=None), "line 1: field 'question' is missing"),
    "foreign fields": (b'{"prompt": "x", "target": "y"}', "line 1: the fields .* are those of no known layout"),
    "id is a number": (line(id=7), "line 1: field 'id' must be text"),
    "aliases is text": (line(aliases="Norway"), "line 1: field 'aliases' must be a list of texts"),
    "alias is a number": (line(aliases=["x", 1989]), r"line 1: field 'aliases.1' must be text"),
    "blank alias": (line(aliases=[" "]), r"line 1: field 'aliases.0' is blank"),
    "blank question": (line(question="\t"), "line 1: field 'question' is blank"),
    "half a surrogate pair": (line(question="\ud800"), "line 1: not usable JSON .*surrogates not allowed"),
    "answerable is text": (line(answerable="yes"), "line 1: field 'answerable' must be true or false"),
    "meta is text": (line(meta="x"), "line 1: field 'meta' must be an object"),
    "meta holds a list": (line(meta={"x": [1]}), "line 1: field 'meta.x' must be text, a number"),
    "no aliases": (line() + line(id="b", aliases=[]), "line 2: field 'aliases' is empty.*\"answerable\": false"),
    "aliases, not answerable": (line(answerable=False), "line 1: .* not answerable, but field 'aliases' has answers"),
    "id twice": (line() + line(id="b") + line(), "line 3: the id 'a' is already taken by .*line 1"),
    "mixed layouts": (line() + trivia(), "line 2: field 'id' is missing"),
    "trivia: no value": (trivia(answer={"value": None}), "line 1: field 'answer.value'"),
    "trivia: renamed": (
        trivia().replace(b'"aliases"', b'"alias"'),
        "line 1: field 'answer.aliases' is missing.*'alias' me",
    ),
    "trivia: no answer": (trivia(answer={"value": "<unk>", "aliases": []}), "line 1: .*test split"),
    "trivia: blank": (trivia(answer={"value": "", "aliases": [" "], "normalized_aliases": []}), "has no alias"),
    "trivia: two texts": (trivia() + trivia(question="Who?"), "line 2: the id 'tc_1' is already taken by .*line 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_are_refused_with_the_place_and_what_to_do(case: str, tmp_path: Path) -> None:
    content, message = BAD[case]
    path = tmp_path / "questions.jsonl"
    path.write_bytes(content)
    with pytest.raises(QuestionSetError, match=message) as caught:
        load_questions(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert ";" in text, "the message says what to do"
    assert "\n" not in text


def test_good_lines_pass_the_same_way(tmp_path: Path) -> None:
    """The cases above fail for what they change, not for what they share."""
    for content in (line(), trivia()):
        (tmp_path / "questions.jsonl").write_bytes(content)
        assert len(load_questions(tmp_path / "questions.jsonl")) == 1


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(line(question="Is this \U0001f600?"))
    assert b"\\ud83d" in path.read_bytes()
    assert load_questions(path).questions[0].text == "Is this \U0001f600?"


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    text = "Which\u2028separator\u2029is\x85this\x0b?\x1c"
    path = tmp_path / "questions.jsonl"
    path.write_text(
        json.dumps(GOOD | {"question": text}, ensure_ascii=False) + "\r\n\n" + line(id="b").decode(), "utf-8"
    )
    assert len(path.read_text("utf-8").splitlines()) > 4, "splitlines would cut the question"
    assert [question.text for question in load_questions(path).questions] == [text, GOOD["question"]]


def test_a_byte_order_mark_is_accepted_at_the_start_only(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line() + b"\xef\xbb\xbf" + line(id="b"))
    with pytest.raises(QuestionSetError, match="line 2: not JSON"):
        load_questions(path)
    path.write_bytes(b"\xef\xbb\xbf" + line() + line(id="b"))
    assert [question.id for question in load_questions(path).questions] == ["a", "b"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".json"])
def test_missing_directory_and_unreadable_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"questions{suffix}"
    with pytest.raises(QuestionSetError, match="no such file"):
        load_questions(path)
    with pytest.raises(QuestionSetError, match="no such file"):
        load_questions(str(path))
    path.mkdir()
    (path / "inside.jsonl").write_bytes(line())
    with pytest.raises(QuestionSetError, match=r"is a directory; name one file in it, such as .*inside\.jsonl"):
        load_questions(path)


def test_other_kinds_of_file(tmp_path: Path) -> None:
    for name in ("questions.csv", "questions"):
        (tmp_path / name).write_bytes(line())
        with pytest.raises(QuestionSetError, match=r"cannot read .*; questions come as \.jsonl, \.parquet, \.json"):
            load_questions(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 64, line()])
def test_corrupt_parquet(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "questions.parquet"
    path.write_bytes(content)
    with pytest.raises(QuestionSetError, match="is not a readable Parquet file") as caught:
        load_questions(path)
    assert "\n" not in str(caught.value)


def test_truncated_parquet(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([GOOD | {"id": str(n)} for n in range(500)]), whole)
    assert len(load_questions(whole)) == 500
    path = tmp_path / "questions.parquet"
    path.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(QuestionSetError, match="is not a readable Parquet file"):
        load_questions(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"Data": [', "not JSON"),
        (line() + line(id="b"), "name it .jsonl"),
        (b'{"data": []}', "the list 'Data' of TriviaQA's own JSON is missing"),
        (b'{"Data": {}}', "the list 'Data' of TriviaQA's own JSON is missing"),
        (b'{"Data": []}', "holds no questions"),
        (b'{"Data": ["x"]}', r"Data\[0\]: a JSON object is expected"),
        (b'{"Data": [{"QuestionId": "a", "Question": "b?"}]}', r"Data\[0\]: field 'Answer' is missing"),
        (
            b'{"Data": [{"QuestionId": "a", "Question": "b?", "Answer": {"Value": "c", "Alias": []}}]}',
            r"Data\[0\]: field 'Answer.Aliases' is missing; is 'Alias' meant",
        ),
    ],
)
def test_bad_original_json(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "web-train.json"
    path.write_bytes(content)
    with pytest.raises(QuestionSetError, match=message):
        load_questions(path)


def test_published_parquet_is_read_by_its_three_columns(tmp_path: Path) -> None:
    """Other columns of the publication hold whole articles and are not even decoded."""
    path = tmp_path / "train.parquet"
    row = json.loads(trivia()) | {"search_results": {"page": ["x" * 1000]}, "question_source": "here"}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    ((place, values),) = read_rows(path)
    assert place == f"{path}, row 1"
    assert set(values) == {"question", "question_id", "answer"}


@pytest.mark.parametrize("read", [lambda path, error: list(json_lines(path, error)), json_document])
def test_errors_are_of_the_type_asked_for(read: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with pytest.raises(ResponseError, match="no such file"):
        read(path, ResponseError)
    path.write_bytes(b"{")
    with pytest.raises(ResponseError, match="not JSON"):
        read(path, ResponseError)
