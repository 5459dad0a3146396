"""What the tests share is made once, whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.sharing import made_once


def test_one_makes_and_the_others_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.mkdir()
        (path / "whole").write_text("yes")

    def come(_: int) -> str:
        return (made_once(tmp_path_factory, "shared by this test", make) / "whole").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(come, range(8))) == ["yes"] * 8
    assert len(made) == 1


def test_what_was_half_made_is_made_anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        made_once(tmp_path_factory, "half made", fail)
    found = made_once(tmp_path_factory, "half made", lambda path: path.mkdir())
    assert list(found.iterdir()) == []
