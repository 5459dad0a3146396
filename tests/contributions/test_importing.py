"""Activations of the public code come in unchanged, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hneurons.contributions import import_activations
from hneurons.contributions import importing as importing_module
from hneurons.errors import ConfigChangedError, NotEnoughDataError, RunError

KEYS = ["tc_3", "tc_1", "bt_2"]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    draw = np.random.default_rng(3)
    made = {"answer": tmp_path / "answer_tokens", "other": tmp_path / "all_except_answer_tokens"}
    for role, folder in made.items():
        folder.mkdir()
        for key in KEYS if role == "answer" else KEYS[:2]:
            np.save(folder / f"act_{key}.npy", draw.random((4, 6), dtype=np.float32))
    return made


@pytest.mark.parametrize("rows_per_batch", [64, 4])
def test_files_become_rows(
    rows_per_batch: int, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_module, "ROWS_PER_BATCH", rows_per_batch)
    store = import_activations(folders, KEYS, tmp_path / "store")
    table = store.table()
    assert table.where("answer").key == tuple(KEYS)
    assert table.where("other").key == ("tc_3", "tc_1")
    assert table.without_other == ("bt_2",)
    assert table.n_tokens.tolist() == [-1] * 5
    assert np.isnan(table.logprob).all()
    found = store.matrix()
    for index, (key, role) in enumerate(zip(table.key, table.role, strict=True)):
        assert np.array_equal(found[index], np.load(folders[role] / f"act_{key}.npy").ravel())
    assert len({row.tobytes() for row in found}) == 5
    import_activations(folders, KEYS, tmp_path / "store")
    with pytest.raises(ConfigChangedError, match="items"):
        import_activations(folders, KEYS[::-1], tmp_path / "store")


def test_answers_alone_will_do(folders: dict[str, Path], tmp_path: Path) -> None:
    store = import_activations({"answer": folders["answer"]}, KEYS, tmp_path / "store")
    assert set(store.table().role) == {"answer"}


def test_bad_files_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    file = folders["answer"] / "act_tc_1.npy"

    def refuses(match: str, value: np.ndarray | None = None) -> None:
        if value is not None:
            np.save(file, value, allow_pickle=True)
        with pytest.raises(RunError, match=match):
            import_activations(folders, KEYS, tmp_path / "store")

    refuses("without pickle", np.array([{"code": "harmful"}], dtype=object))
    refuses(r"float64 \(4, 6\)", np.ones((4, 6)))
    refuses(r"float32 \(24,\)", np.ones(24, dtype=np.float32))
    refuses("import one model at a time", np.ones((4, 7), dtype=np.float32))
    refuses("finite", np.full((4, 6), np.nan, dtype=np.float32))
    file.unlink()
    refuses("act_tc_1")
    with pytest.raises(RunError, match="no file name"):
        import_activations(folders, ["../answer_tokens/act_tc_3"], tmp_path / "elsewhere")
    with pytest.raises(NotEnoughDataError, match="no key"):
        import_activations(folders, [], tmp_path / "elsewhere")
