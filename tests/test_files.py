"""Files are whole or not there, and JSON is strict."""

from __future__ import annotations

from pathlib import Path

import pytest

from hneurons.files import atomic_path, read_json, write_json, write_text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "Zürich"}
    write_json(tmp_path / "deep" / "x.json", value)
    assert read_json(tmp_path / "deep" / "x.json") == value
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["x.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    write_text(file, "old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(file) as temporary:  # noqa: PT012
        temporary.write_text("ne")
        assert file.read_text() == "old"
        raise RuntimeError("half way")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": value})
    assert not list(tmp_path.iterdir())


def test_lines_end_alike_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "a\nb\n")
    assert (tmp_path / "x.txt").read_bytes() == b"a\nb\n"
