"""Contributions in memory and in files of columns: the same numbers, the same results, and nothing half made."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from tests.study.conftest import ONE_DAY

from hneurons.contributions import ContributionStore
from hneurons.engine import Here
from hneurons.errors import CorruptRunError, ProbeError, RunError
from hneurons.models.load import load
from hneurons.probes.columns_file import FileColumns
from hneurons.probes.labels import training_rows
from hneurons.probes.rows import dense
from hneurons.study import vectors
from hneurons.study.config import make_config
from hneurons.study.evaluating import evaluate
from hneurons.study.fitting import fit_probe
from hneurons.study.measuring import make_columns, measure, read_measured
from hneurons.study.run import Run
from hneurons.study.stages import run_stages
from hneurons.study.work import Work

MADE = ["in-domain/test", "invented/test", "train/dev", "train/fit"]


@pytest.fixture
def from_files(finished: Run, tmp_path: Path) -> Run:
    """The finished run up to its contributions, with nothing held in memory."""
    run = Run(tmp_path / "run", finished.config.model_copy(update={"in_memory_mb": 0}))
    run.path.mkdir()
    for name in ("questions", "responses", "contributions", "judged.json", "model.json"):
        (run.path / name).symlink_to(finished.path / name)
    return run


def files(run: Run) -> list[Path]:
    return sorted(path for path in run.columns.rglob("*") if path.is_file())


def parts(run: Run) -> list[str]:
    return [f"{path.parent.name}/{path.name.split('-')[0]}" for path in files(run)]


def test_a_file_holds_what_the_store_holds(finished: Run, from_files: Run) -> None:
    """Row for row, looked up in the store by the answer's key."""
    held, read = read_measured(finished, "train", "fit"), read_measured(from_files, "train", "fit")
    assert not files(from_files)  # nothing is read yet
    store = ContributionStore.open(finished.contributions("train"))
    table = store.table()
    row = {(key, role): place for key, role, place in zip(table.key, table.role, table.row, strict=True)}
    expected = store.matrix(np.array([row[answer.key, "answer"] for answer in held.judged]))
    for measured in (held, read):
        np.testing.assert_array_equal(dense(measured.answers.contributions), expected)
        chosen = np.array([700, 3, 3])
        np.testing.assert_array_equal(measured.answers.contributions.take(chosen), expected[:, chosen])
        scheme = training_rows("3-vs-1", measured.answers.hallucinated, measured.answers.groups, measured.has_other)
        X = dense(scheme.matrix(measured.answers.contributions, measured.other))
        for i, (place, other) in enumerate(zip(scheme.index, scheme.is_other, strict=True)):
            key = held.judged[place].key
            assert np.array_equal(X[i], store.matrix(np.array([row[key, "other" if other else "answer"]]))[0])
        assert scheme.is_other.any()
        assert measured.other is not None
        if not measured.has_other.all():
            with pytest.raises(ProbeError, match="has no vector"):
                dense(measured.other)
    assert parts(from_files) == ["train/fit"]
    assert not files(finished)
    assert read.answers.hidden is not None
    assert held.answers.hidden is not None
    for layer in (0, 2):
        np.testing.assert_array_equal(read.answers.hidden[:, layer], held.answers.hidden[:, layer])
    assert not isinstance(read.answers.hidden, np.ndarray)


def test_files_are_made_once_and_again_where_they_are_gone(from_files: Run) -> None:
    make_columns(from_files)
    assert parts(from_files) == MADE
    stamps = {path: path.stat().st_mtime_ns for path in files(from_files)}
    make_columns(from_files)
    expected = dense(read_measured(from_files, "train", "dev").answers.contributions)
    assert {path: path.stat().st_mtime_ns for path in files(from_files)} == stamps
    shutil.rmtree(from_files.columns)
    np.testing.assert_array_equal(dense(read_measured(from_files, "train", "dev").answers.contributions), expected)
    assert parts(from_files) == ["train/dev"]


def test_a_file_of_other_rows_is_not_taken_for_these(from_files: Run) -> None:
    """Another digest is another file; what was there of that part goes."""
    make_columns(from_files)
    (file,) = (path for path in files(from_files) if path.name.startswith("dev"))
    stale = file.with_name("dev-0123456789abcdef.safetensors")
    file.rename(stale)
    make_columns(from_files)
    assert file.exists()
    assert not stale.exists()
    assert parts(from_files) == MADE


def test_too_little_room_is_told_with_what_it_takes(from_files: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {}
    make_columns(from_files)
    for path in files(from_files):
        columns = FileColumns.open(path)
        sizes[path] = columns.shape[1] * (4 * columns.shape[0] + 2)
        assert sizes[path] <= path.stat().st_size < sizes[path] + 1000
    shutil.rmtree(from_files.columns)
    usage = namedtuple("usage", "total used free")
    free = sum(sizes.values()) - 1
    monkeypatch.setattr(vectors.shutil, "disk_usage", lambda path: usage(0, 0, free))
    with pytest.raises(RunError, match=f"would take {free + 1} bytes .* make room, or raise in_memory_mb"):
        make_columns(from_files)
    assert not files(from_files)  # none is begun
    monkeypatch.setattr(vectors.shutil, "disk_usage", lambda path: usage(0, 0, free + 1))
    make_columns(from_files)
    assert parts(from_files) == MADE


def test_a_damaged_store_leaves_no_half_file(finished: Run, from_files: Run) -> None:
    (from_files.path / "contributions").unlink()
    shutil.copytree(finished.path / "contributions", from_files.path / "contributions")
    store = ContributionStore.open(from_files.contributions("train"))
    next((store.path / "contributions").rglob(f"c.*.{store.layout.n_layers - 1}.0")).unlink()
    with pytest.raises(CorruptRunError, match=f"layer {store.layout.n_layers - 1} of .* is damaged"):
        make_columns(from_files)
    assert not [path for path in files(from_files) if path.parent.name == "train"]


def test_how_much_is_held_does_not_decide_what_a_run_is(finished: Run) -> None:
    config = finished.config
    less = config.model_copy(update={"in_memory_mb": 0})
    assert less != config
    assert less.deciding == config.deciding
    assert config.model_copy(update={"seed": 1}).deciding != config.deciding


@pytest.mark.slow
def test_a_study_from_files_equals_one_from_memory(
    finished: Run, from_files: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, and every matrix was read from a file."""
    for name, value in ONE_DAY.items():
        monkeypatch.setenv(name, value)
    model = load(from_files.config.model.name)
    fit_probe(from_files, model)
    shutil.rmtree(from_files.columns)
    evaluate(from_files, model)
    assert parts(from_files) == MADE
    for name in ("fit.json", "detection.json", "probe/probe.json", "probe/probe.safetensors"):
        assert (from_files.path / name).read_bytes() == (finished.path / name).read_bytes(), name
    (from_files.path / "contributions").unlink()
    measure(Work(from_files, Here()), ["train"])
    assert parts(from_files) == ["in-domain/test", "invented/test"]  # those of what was recorded before are gone


@pytest.mark.slow
def test_half_precision_gives_the_same_from_files_as_from_memory(
    small_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a float16 store holds goes into a float16 file without loss, in half the room."""
    for name, value in ONE_DAY.items():
        monkeypatch.setenv(name, value)
    config = make_config(small_config).model_copy(update={"storage": "float16"})
    run = Run.start(tmp_path / "run", config)
    run_stages(run, "evaluate")
    names = ("fit.json", "detection.json", "probe/probe.safetensors")
    before = {name: (run.path / name).read_bytes() for name in names}
    for name in names:
        (run.path / name).unlink()
    run = Run.start(run.path, config.model_copy(update={"in_memory_mb": 0}))
    run_stages(run, "evaluate")
    assert {name: (run.path / name).read_bytes() for name in names} == before
    columns = FileColumns.open(next(run.columns.glob("train/fit-*")))
    assert columns.stored == "float16"
