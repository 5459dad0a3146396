"""TriviaQA from the hub, held against a cache in the hub's own layout, and without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from hneurons.errors import QuestionSetError
from hneurons.questions import load_questions
from hneurons.questions.hub import REVISION, dataset_rows

OTHER_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def rows(prefix: str, n: int = 30) -> list[dict[str, object]]:
    return [
        {
            "question": f"What is {prefix} {number}?",
            "question_id": f"{prefix}_{number}",
            "question_source": "here",
            "entity_pages": {"title": []},
            "answer": {
                "value": str(number),
                "aliases": [str(number), f"number {number}"],
                "normalized_aliases": [f"no {number}"],
                "type": "Numerical",
            },
        }
        for number in range(n)
    ]


def put(cache: Path, commit: str, name: str, content: list[dict[str, object]]) -> Path:
    """Write a file where the hub's client would have stored it."""
    path = cache / "datasets--mandarjoshi--trivia_qa" / "snapshots" / commit / "rc.nocontext" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_fixed_revision_is_read_and_recorded(cache: Path) -> None:
    put(cache, OTHER_COMMIT, "train-00000-of-00001.parquet", rows("other"))  # newer in the cache, and not asked for
    put(cache, REVISION, "train-00000-of-00001.parquet", rows("train"))
    found = load_questions("trivia_qa")
    assert found.revision == REVISION
    assert found.source == "mandarjoshi/trivia_qa (rc.nocontext)"
    assert [question.id for question in found.questions] == [f"train_{number}" for number in range(30)]
    assert found.questions[4].aliases == ("4", "number 4", "no 4")
    assert load_questions("trivia_qa", revision=OTHER_COMMIT).questions[0].id == "other_0"


def test_a_branch_is_recorded_as_its_commit(cache: Path) -> None:
    put(cache, OTHER_COMMIT, "train-00000-of-00001.parquet", rows("train"))
    (cache / "datasets--mandarjoshi--trivia_qa" / "refs").mkdir()
    (cache / "datasets--mandarjoshi--trivia_qa" / "refs" / "main").write_text(OTHER_COMMIT)
    assert load_questions("trivia_qa", revision="main").revision == OTHER_COMMIT


def test_splits_and_limit(cache: Path) -> None:
    for split in ("train", "validation"):
        put(cache, REVISION, f"{split}-00000-of-00001.parquet", rows(split))
    both = load_questions("trivia_qa", split="all")
    assert both.questions == (
        *load_questions("trivia_qa").questions,
        *load_questions("trivia_qa", split="validation").questions,
    )
    limited = load_questions("trivia_qa", split="validation", limit=7, seed=3)
    assert len(limited) == 7
    assert limited.left_out == {"questions_beyond_the_limit": 23}


def test_half_a_split_in_the_cache_is_refused(cache: Path) -> None:
    """A folder of the right commit is no proof that the files are there."""
    put(cache, REVISION, "validation-00000-of-00001.parquet", rows("validation"))
    with pytest.raises(QuestionSetError, match=r"not whole in the Hugging Face cache \(0 files of split train\)"):
        load_questions("trivia_qa")
    put(cache, REVISION, "train-00000-of-00002.parquet", rows("train"))
    with pytest.raises(QuestionSetError, match=r"not whole in the Hugging Face cache \(1 files of split train\)"):
        load_questions("trivia_qa")
    put(cache, REVISION, "train-00001-of-00002.parquet", rows("more"))
    assert len(load_questions("trivia_qa")) == 60


def test_the_cached_file_reads_the_same_as_a_local_one(cache: Path) -> None:
    path = put(cache, REVISION, "train-00000-of-00001.parquet", rows("train"))
    assert load_questions("trivia_qa").questions == load_questions(path).questions


def test_datasets_rows_hold_no_more_than_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows("train", 3)), path)
    found = list(dataset_rows([path], "trivia"))
    assert [place for place, _ in found] == ["trivia, row 1", "trivia, row 2", "trivia, row 3"]
    assert all(set(row) == {"question", "question_id", "answer"} for _, row in found)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("revision", [None, "main"])
def test_offline_without_a_cache_is_our_error(revision: str | None) -> None:
    with pytest.raises(QuestionSetError, match=r"\(HF_HUB_OFFLINE is set\); connect .* or pass a local file") as caught:
        load_questions("trivia_qa", revision=revision)
    assert "\n" not in str(caught.value)


SCRIPT = """
import json, socket, time
def refuse(*_, **__):
    raise OSError(101, "Network is unreachable")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from hneurons.errors import QuestionSetError
from hneurons.questions import load_questions
start = time.monotonic()
try:
    load_questions("trivia_qa")
except QuestionSetError as error:
    print(json.dumps([str(error), time.monotonic() - start]))
"""


def test_no_network_is_our_error_at_once(tmp_path: Path) -> None:
    """Not in offline mode: the hub's client tries, and its own retries would take half a minute."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    message, seconds = json.loads(done.stdout)
    assert "Network is unreachable" in message
    assert "pass a local file" in message
    assert seconds < 10
    assert "Traceback" not in done.stderr
    assert "Retrying" not in done.stderr
