"""Question sets by name and from files: what is read, what is sampled, what is counted."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hneurons.errors import QuestionSetError
from hneurons.questions import Question, QuestionSet, load_questions, loading, sample_questions

Answer = dict[str, object]
OWN = [
    {"id": "a", "question": "Where is Oslo?", "aliases": ["Norway", "Kingdom of Norway", "Norway"]},
    {"id": "b", "question": "Where is Zzyx?", "aliases": [], "answerable": False, "kind": "invented"},
    {"id": "c", "question": "Where is Lima?", "aliases": ["Peru"], "group": "Lima", "meta": {"n": 3, "x": None}},
]
TRIVIA = [
    {
        "question": "Who wrote \u201cBabbitt\u201d?",
        "question_id": "tc_1",
        "question_source": "http://www.example.org/",
        "entity_pages": {"filename": [], "title": []},
        "answer": {
            "value": "Sinclair Lewis",
            "aliases": ["Sinclair Lewis", "Lewis, (Harry) Sinclair", ""],
            "normalized_aliases": ["sinclair lewis"],
            "matched_wiki_entity_name": "",
            "type": "WikipediaEntity",
        },
    },
    {
        "question": "Where was Judi Dench born?",
        "question_id": "tc_3",
        "question_source": "http://www.example.org/",
        "entity_pages": {"filename": ["x"], "title": ["y"]},
        "answer": {
            "value": "York",
            "aliases": ["York", "UN/LOCODE:GBYRK"],
            "normalized_aliases": ["york"],
            "matched_wiki_entity_name": "York",
            "type": "WikipediaEntity",
        },
    },
]
EXPECTED_TRIVIA = (
    Question(
        id="tc_1",
        text="Who wrote \u201cBabbitt\u201d?",
        aliases=("Sinclair Lewis", "Lewis, (Harry) Sinclair", "sinclair lewis"),
    ),
    Question(id="tc_3", text="Where was Judi Dench born?", aliases=("York", "UN/LOCODE:GBYRK", "york")),
)


def write_lines(path: Path, rows: list[Answer]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[Answer]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_original(path: Path, rows: list[Answer]) -> Path:
    """The same rows in TriviaQA's own JSON."""
    data = [
        {
            "Question": row["question"],
            "QuestionId": row["question_id"],
            "Answer": {
                "Value": row["answer"]["value"],
                "Aliases": row["answer"]["aliases"],
                "NormalizedAliases": row["answer"]["normalized_aliases"],
                "Type": "WikipediaEntity",
            },
            "SearchResults": [{"Title": "x"}],
        }
        for row in rows
    ]
    path.write_text(json.dumps({"Data": data, "Domain": "Web", "VerifiedEval": False}), encoding="utf-8")
    return path


def test_own_layout(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "mine.jsonl", OWN)
    found = load_questions(str(path), split="validation")
    assert found.questions == (
        Question(id="a", text="Where is Oslo?", aliases=("Norway", "Kingdom of Norway")),
        Question(id="b", text="Where is Zzyx?", answerable=False, kind="invented"),
        Question(id="c", text="Where is Lima?", aliases=("Peru",), group="Lima", meta={"n": 3, "x": None}),
    )
    assert (found.name, found.split, found.source, found.revision) == ("mine", "validation", str(path), None)
    assert found.left_out == {}


def test_own_layout_as_parquet_holds_the_same(tmp_path: Path) -> None:
    from_lines = load_questions(write_lines(tmp_path / "mine.jsonl", OWN))
    fields = dict.fromkeys(name for row in OWN for name in row)
    rows = [{name: row.get(name) for name in fields} for row in OWN]  # a table has every column in every row
    from_parquet = load_questions(write_parquet(tmp_path / "mine.parquet", rows))
    assert from_parquet.questions == from_lines.questions


@pytest.mark.parametrize(
    ("name", "write"), [("t.jsonl", write_lines), ("t.parquet", write_parquet), ("t.json", write_original)]
)
def test_published_layouts_hold_the_same(name: str, write: Callable[..., Path], tmp_path: Path) -> None:
    found = load_questions(write(tmp_path / name, TRIVIA))
    assert found.questions == EXPECTED_TRIVIA
    assert found.left_out == {"blank_aliases": 1}


def test_repeated_rows_of_the_publication_become_one_question(tmp_path: Path) -> None:
    """TriviaQA has a row for the web and one for Wikipedia; only an id with two texts is an error."""
    again = json.loads(json.dumps(TRIVIA[1]))
    again["answer"]["aliases"] = ["Eoforwic", "York"]
    found = load_questions(write_lines(tmp_path / "t.jsonl", [*TRIVIA, again, TRIVIA[0]]))
    assert [question.id for question in found.questions] == ["tc_1", "tc_3"]
    assert found.questions[1].aliases == ("York", "UN/LOCODE:GBYRK", "york", "Eoforwic")
    assert found.left_out == {"blank_aliases": 2, "rows_repeating_a_question": 2}


def test_questions_of_one_text_share_a_group(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "Where is  Oslo?", "aliases": ["Norway"]},
        {"id": "b", "question": "Where is Lima?", "aliases": ["Peru"]},
        {"id": "c", "question": "WHERE is Oslo? ", "aliases": ["Norway"]},
        {"id": "d", "question": "Where is Lima?", "aliases": ["Peru"], "group": "own"},
    ]
    found = load_questions(write_lines(tmp_path / "mine.jsonl", rows))
    assert [question.split_key for question in found.questions] == ["a", "b", "a", "own"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    rows = [{"id": f"q{n}", "question": f"What is {n}?", "aliases": [str(n)]} for n in range(200)]
    return write_lines(tmp_path / "many.jsonl", rows)


def test_limit_is_a_seeded_sample_in_the_order_of_the_file(many: Path) -> None:
    whole = load_questions(many)
    first, again, other = (load_questions(many, limit=50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.questions != other.questions
    assert len(first) == len(other) == 50
    assert first.left_out == {"questions_beyond_the_limit": 150}
    assert tuple(question for question in whole.questions if question in first.questions) == first.questions
    assert first.questions != whole.questions[:50], "a sample, not the head of the file"
    assert load_questions(many, limit=1000) == whole


@given(st.integers(1, 40), st.integers(0, 3), st.randoms(use_true_random=False))
def test_sample_depends_neither_on_order_nor_much_on_more_questions(n: int, seed: int, shuffler: random.Random) -> None:
    questions = [Question(id=f"q{number}", text="?", aliases=("x",)) for number in range(40)]
    chosen = {question.id for question in sample_questions(questions, n, seed)}
    assert len(chosen) == n
    shuffled = questions.copy()
    shuffler.shuffle(shuffled)
    again = sample_questions(shuffled, n, seed)
    assert {question.id for question in again} == chosen
    assert [shuffled.index(question) for question in again] == sorted(shuffled.index(question) for question in again)
    fewer = {question.id for question in sample_questions(questions[:-5], n, seed)}
    assert chosen & {question.id for question in questions[:-5]} <= fewer, "more questions displace, never swap"


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_that_leaves_nothing_is_refused(limit: int, many: Path) -> None:
    with pytest.raises(QuestionSetError, match="leaves no questions"):
        load_questions(many, limit=limit)


def test_revision_is_for_the_hub_only(many: Path) -> None:
    with pytest.raises(QuestionSetError, match="has no revisions"):
        load_questions(many, revision="main")


def registered_sets(split: str) -> QuestionSet:
    questions = tuple(Question(id=f"{split}{n}", text=f"{n}?", aliases=("x",)) for n in range(5))
    return QuestionSet(name="land/towns", split=split, questions=questions, source="a plug-in", licence="CC BY 4.0")


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "registered", lambda group: {"land/towns": registered_sets})


@pytest.mark.usefixtures("plug_in")
def test_registered_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "land/towns").mkdir(parents=True)  # a name goes before a path that looks like it
    found = load_questions("land/towns", split="validation", limit=2)
    assert (found.name, found.split, found.licence, len(found)) == ("land/towns", "validation", "CC BY 4.0", 2)
    assert found.left_out == {"questions_beyond_the_limit": 3}
    assert load_questions("land/towns", split="all") == registered_sets("all")


@pytest.mark.usefixtures("plug_in")
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("land/town", "is 'land/towns' meant"),
        ("triviaqa", "is 'trivia_qa' meant"),
        ("bioasq", "there are land/towns, trivia_qa"),
    ],
)
def test_unknown_names(name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QuestionSetError, match=f"'{name}' is neither a known question set nor a file; {hint}"):
        load_questions(name)


def test_unknown_split(many: Path) -> None:
    unchecked = inspect.unwrap(load_questions)  # as called without the type checks of the tests
    with pytest.raises(QuestionSetError, match="no split 'test'; use one of train, validation, all"):
        unchecked(many, split="test")


def test_a_set_refuses_an_id_twice() -> None:
    question = Question(id="a", text="?", aliases=("x",))
    with pytest.raises(QuestionSetError, match="mine: question id 'a' occurs twice"):
        QuestionSet(name="mine", split="all", questions=(question, question), source="here")


def test_digest_tells_sets_apart() -> None:
    questions = registered_sets("all").questions
    one, other = (
        QuestionSet(name="x", split="all", questions=order, source="here") for order in (questions, questions[::-1])
    )
    assert one.digest == registered_sets("all").digest != other.digest
