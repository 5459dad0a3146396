"""Settings: the file lies over the model's own defaults, options over the file, and what cannot be is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hneurons.errors import RunError
from hneurons.study.config import StudyConfig, make_config


def settings(folder: Path, given: dict[str, Any]) -> Path:
    file = folder / "settings.json"
    file.write_text(json.dumps(given))
    return file


def test_a_bundled_model_brings_its_own_settings_and_another_does_not() -> None:
    atlas, other = make_config(), make_config(model="somebody/model")
    assert atlas.train.questions == "atlas/cities"
    assert atlas.recording.positions == "before"
    assert other.train.questions == "trivia_qa"
    assert other.recording == StudyConfig.model_validate(atlas.model_dump() | {"recording": {}}).recording
    assert other.model.name == "somebody/model"


def test_the_file_lies_over_the_defaults_and_options_over_the_file(tmp_path: Path) -> None:
    file = settings(tmp_path, {"sampling": {"n_samples": 3}, "train": {"questions": "atlas/counties", "limit": 50}})
    config = make_config(file, limit=20)
    assert config.sampling.n_samples == 3
    assert config.sampling.top_k == 50
    assert config.train.questions == "atlas/counties"
    assert config.train.limit == 20
    assert {each.limit for each in config.evaluate.values()} == {10}
    assert make_config(file).train.limit == 50
    asked = make_config(file, questions="mine.jsonl")
    assert asked.train.questions == "mine.jsonl"
    assert {name: each.questions for name, each in asked.evaluate.items()} == {"in-domain": "mine.jsonl"}


@pytest.mark.parametrize(
    ("given", "limit", "expected"),
    [
        ({"model": "gpt2"}, None, "model"),
        ({"model": {"name": ["gpt2"]}}, None, "model.name"),
        ({"train": "atlas/cities"}, 5, "train"),
        ({"evaluate": ["atlas/cities"]}, 5, "evaluate"),
        ({"evaluate": {"in-domain": "atlas/cities"}}, 5, "evaluate.in-domain"),
        ({"model": {"name": "x"}, "train": {"questions": "atlas/cities"}}, 5, "evaluate"),
        ({"probe": {"scheme": "2-vs-1"}}, None, "probe.scheme"),
        ({"evaluate": {"a b": {"questions": "atlas/cities"}}}, None, "a b"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    tmp_path: Path, given: dict[str, Any], limit: int | None, expected: str
) -> None:
    with pytest.raises(RunError, match=expected) as refused:
        make_config(settings(tmp_path, given), limit=limit)
    assert "correct it" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_where_the_weights_lie_decides_nothing_and_what_they_are_does(tmp_path: Path) -> None:
    plain = make_config()
    placed = settings(tmp_path, {"model": {"device_map": "auto", "max_memory": {"cpu": "4GiB"}, "offload_folder": "x"}})
    config = make_config(placed)
    assert config.model.arguments["max_memory"] == {"cpu": "4GiB"}
    assert config.deciding["model"] == plain.deciding["model"] | {"device_map": "auto"}
    assert make_config(quantize="nf4").deciding != plain.deciding
    assert make_config(quantize="nf4").model.quantize == "nf4"
    with pytest.raises(RunError, match=r"model\.quantize.*'int8', 'nf4', 'fp4' or 'int8-weight-only'"):
        make_config(quantize="gptq")
