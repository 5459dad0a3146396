"""What a study asks: no training question comes back in an evaluation set, under whatever name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hneurons.errors import QuestionSetError
from hneurons.questions.question import Question
from hneurons.study.asking import load_sets
from hneurons.study.config import StudyConfig


def write(file: Path, *questions: Question) -> str:
    rows = [each.model_dump(exclude={"text"}) | {"question": each.text} for each in questions]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def asked(number: int, name: str = "q", text: str = "", group: str = "") -> Question:
    return Question(id=f"{name}{number}", text=text or f"What is {number} plus 1?", aliases=("x",), group=group)


def config(train: str, test: str) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "train": {"questions": train, "split": "all"},
            "evaluate": {"in-domain": {"questions": test, "split": "all"}},
        }
    )


def test_training_questions_leave_the_evaluation_sets(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", asked(1), asked(2), asked(3, group="g"))
    test = write(
        tmp_path / "test.jsonl",
        asked(1, text="Another text?"),  # the id of a training question
        asked(8, name="other", text="what is  2 plus 1?"),  # its wording, under another id
        asked(9, name="other", text="Mine?", group="g"),  # its group
        asked(4),
    )
    sets = load_sets(config(train, test))
    assert [each.id for each in sets["in-domain"].questions] == ["q4"]
    assert sets["in-domain"].left_out == {"shares_a_group_with_training": 3}
    assert len(sets["train"]) == 3


def test_a_set_of_training_questions_only_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", asked(1), asked(2))
    test = write(tmp_path / "test.jsonl", asked(2, name="other"))
    with pytest.raises(QuestionSetError, match="use another set"):
        load_sets(config(train, test))


def test_a_file_is_split_by_group(tmp_path: Path) -> None:
    questions = [asked(i, group=f"g{i // 2}") for i in range(200)]
    file = write(tmp_path / "mine.jsonl", *questions)
    settings = {"train": {"questions": file}, "evaluate": {"in-domain": {"questions": file, "split": "validation"}}}
    sets = load_sets(StudyConfig.model_validate(settings))
    groups = {name: {each.split_key for each in loaded.questions} for name, loaded in sets.items()}
    assert not groups["train"] & groups["in-domain"]
    assert sum(map(len, sets.values())) == 200
    assert 110 < len(sets["train"]) < 170
