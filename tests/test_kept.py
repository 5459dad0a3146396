"""Tasks whose parts are there are not done again, and what is read is what was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hneurons.engine import Here
from hneurons.errors import CorruptRunError
from hneurons.kept import joined, kept, part_file


def _squares(done: list[int]) -> object:
    def work(task: int) -> dict[str, np.ndarray]:
        done.append(task)
        return {"square": np.array([task**2]), "pair": np.array([[task, 0.5]]).T.T}

    return work


def test_parts_come_back_in_order_and_are_made_once(tmp_path: Path) -> None:
    done: list[int] = []
    first = kept(tmp_path, [3, 1, 2], _squares(done), Here(), "squaring")
    part_file(tmp_path, 1).unlink()
    second = kept(tmp_path, [3, 1, 2], _squares(done), Here(), "squaring")
    assert done == [3, 1, 2, 1]
    for parts in (first, second):
        whole = joined(parts)
        assert whole["square"].tolist() == [9, 1, 4]
        assert whole["square"].dtype == np.int64
        assert whole["pair"].tolist() == [[3, 0.5], [1, 0.5], [2, 0.5]]


def test_what_fails_leaves_the_parts_before_it(tmp_path: Path) -> None:
    def work(task: int) -> dict[str, np.ndarray]:
        if task == 2:
            raise RuntimeError
        return {"x": np.array([task])}

    with pytest.raises(RuntimeError):
        kept(tmp_path, [0, 1, 2], work, Here(), "")
    assert sorted(each.name for each in tmp_path.iterdir()) == [part_file(tmp_path, n).name for n in (0, 1)]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    kept(tmp_path, [1], lambda task: {"x": np.zeros(task)}, Here(), "")
    part_file(tmp_path, 0).write_bytes(b"\x00")
    with pytest.raises(CorruptRunError, match="part-00000"):
        kept(tmp_path, [1], lambda task: {"x": np.zeros(task)}, Here(), "")


def test_no_task_leaves_nothing(tmp_path: Path) -> None:
    assert joined(kept(tmp_path, [], lambda task: {}, Here(), "")) == {}
