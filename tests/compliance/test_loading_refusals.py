"""Files that are not as published are refused, with the line, the field and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.compliance.published_files import FAITHEVAL, FALSEQA, JAILBREAK, SYCOPHANCY, load, write

from hneurons.errors import QuestionSetError


def without(row: dict[str, Any], *path: str) -> dict[str, Any]:
    """The row without one field, however deep."""
    if len(path) == 1:
        return {name: value for name, value in row.items() if name != path[0]}
    return row | {path[0]: without(row[path[0]], *path[1:])}


def changed(row: dict[str, Any], value: object, *path: str) -> dict[str, Any]:
    return row | {path[0]: value if len(path) == 1 else changed(row[path[0]], value, *path[1:])}


MOON, SUM, OSLO = FAITHEVAL[0], SYCOPHANCY[0], SYCOPHANCY[1]
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "renamed": (
        "faitheval",
        without(MOON, "answerKey") | {"answer_key": "C"},
        "field 'answerKey' is missing, there are .*'answer_key'; is 'answer_key' meant",
    ),
    "missing": ("falseqa", without(FALSEQA[0], "label"), "field 'label' is missing, there are 'question', 'answer'"),
    "null": ("falseqa", FALSEQA[0] | {"question": None}, "field 'question' is missing"),
    "blank": ("falseqa", FALSEQA[0] | {"question": "  "}, "field 'question' is blank"),
    "another label": ("falseqa", FALSEQA[0] | {"label": 2}, "field 'label' is out of range, not 2"),
    "a word for a label": (
        "falseqa",
        FALSEQA[0] | {"label": "false"},
        "field 'label' must be a whole number, not 'false'",
    ),
    "deep": ("faitheval", without(MOON, "choices", "text"), "field 'choices.text' is missing, there are 'label'"),
    "text for options": ("faitheval", MOON | {"choices": "A"}, "field 'choices' must be an object, not 'A'"),
    "answer not an option": ("faitheval", MOON | {"answerKey": "D"}, "'answerKey' must be one of A, B, C, not 'D'"),
    "more labels": (
        "faitheval",
        changed(MOON, ["A", "B", "C", "D"], "choices", "label"),
        "'choices.label' must name each text once",
    ),
    "no messages": ("sycophancy-open", OSLO | {"prompt": []}, "'prompt' must end with a human message"),
    "another speaker": (
        "sycophancy-open",
        OSLO | {"prompt": [{"type": "bot", "content": "x"}]},
        r"'prompt.0.type' is not as published, not 'bot'",
    ),
    "no base": ("sycophancy-open", without(OSLO, "base"), "field 'base' is missing"),
    "no answer": (
        "sycophancy-open",
        without(without(OSLO, "base", "answer"), "base", "correct_answer"),
        "'base.correct_answer' or 'base.answer' must hold an answer, not 'only dataset, question'",
    ),
    "options not listed": ("sycophancy-choice", changed(SUM, "2 or 3", "base", "answers"), "'base.answers' must list"),
    "letter not listed": (
        "sycophancy-choice",
        changed(SUM, "E", "base", "correct_letter"),
        "'base.correct_letter' must be one of A, B, not 'E'",
    ),
    "policy": ("jailbreak", without(JAILBREAK[0], "q_id"), "field 'q_id' is missing"),
    "number": ("jailbreak", JAILBREAK[0] | {"q_id": "x"}, "field 'q_id' must be a whole number, not 'x'"),
}


@pytest.mark.parametrize(("name", "row", "message"), BAD.values(), ids=BAD)
def test_a_changed_field_is_named(tmp_path: Path, name: str, row: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.jsonl", [row])
    with pytest.raises(QuestionSetError, match=message) as caught:
        load(name, path)
    assert str(caught.value).startswith(f"{path}, line 1: ")
    assert "\n" not in str(caught.value)


CSV = {
    "no header": ("", "holds no rows"),
    "header only": ("question,answer,label\n", "holds no rows"),
    "a column twice": ("question,question,label\na,b,1\n", "line 1: a column is named twice"),
    "an unquoted comma": ("question,answer,label\nWhy, then?,a,1\n", "line 2: more cells than columns"),
    "too few cells": ("question,answer,label\nWhy?\n", "line 2: field 'answer' is missing, there are 'question'"),
    "an open quote": ('question,answer,label\n"Why?,a,1\n', "not a readable CSV file"),
    "nothing false": ("question,answer,label\nWhy?,a,0\n", "holds no cases"),
}


@pytest.mark.parametrize(("content", "message"), CSV.values(), ids=CSV)
def test_a_bad_csv_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "test.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(QuestionSetError, match=message):
        load("falseqa", path)


def test_csv_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_bytes('\ufeffquestion,answer,label\r\n"Why, and\nhow?","a ""b""",1\r\n'.encode())
    assert load("falseqa", path).cases[0].turns[0].content == "Why, and\nhow?"
    path.write_bytes("question,answer,label\nOù?,a,1\n".encode("latin-1"))
    with pytest.raises(QuestionSetError, match="save it as UTF-8"):
        load("falseqa", path)


def test_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    for name, message in [("none.csv", "no such file"), ("set.xlsx", r"cannot read \.xlsx files")]:
        if name.endswith("xlsx"):
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(QuestionSetError, match=message):
            load("falseqa", tmp_path / name)
    with pytest.raises(QuestionSetError, match="a file has no splits"):
        load("falseqa", write(tmp_path / "test.csv", FALSEQA), split="test")
    with pytest.raises(QuestionSetError, match=r"the id 'Mercury_1' is already taken by .*line 1"):
        load("faitheval", write(tmp_path / "twice.jsonl", [MOON, MOON]))
