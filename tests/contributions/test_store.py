"""The store: what goes in comes out, a kill costs one batch, and damage is never read as a number."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hneurons.contributions import (
    ContributionStore,
    Item,
    Layout,
    Recording,
    collect,
    extract,
    extract_batch,
    plan_batches,
)
from hneurons.contributions import extraction as extraction_module
from hneurons.contributions import store as store_module
from hneurons.contributions.batches import Batches
from hneurons.errors import ConfigChangedError, CorruptRunError, NotEnoughDataError, RunError
from hneurons.models.language_model import LanguageModel


@pytest.fixture(scope="session")
def batches(items: tuple[Item, ...]) -> Batches:
    return plan_batches(items, max_items=2)


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_recorded_is_what_is_read(
    dtype: str, tiny_llama: LanguageModel, batches: Batches, tmp_path: Path
) -> None:
    store = extract(tiny_llama, batches, Recording(), tmp_path / "store", dtype)
    store = ContributionStore.open(tmp_path / "store")
    table = store.table()
    assert len(table) == 10
    assert sorted(table.where("answer").key) == [f"q{number}" for number in range(6)]
    assert table.without_other == ("q3", "q1")
    tolerance = 0 if dtype == "float32" else 1e-3
    for number, batch in enumerate(batches):
        found = collect(tiny_llama, batch)
        mine = table.take(np.flatnonzero(table.row // store.layout.rows_per_batch == number))
        assert mine.key == tuple(row.key for row in found.rows)
        assert mine.role == tuple(row.role for row in found.rows)
        assert mine.n_tokens.tolist() == [row.n_tokens for row in found.rows]
        answers = np.array(mine.role) == "answer"
        assert mine.logprob[answers].tolist() == [row.logprob for row in found.rows if row.role == "answer"]
        assert mine.entropy[answers].tolist() == [row.entropy for row in found.rows if row.role == "answer"]
        assert np.isnan(mine.logprob[~answers]).all()
        assert found.hidden_answer is not None
        assert found.hidden_other is not None
        both = torch.cat([found.answer, found.other]).numpy()
        hidden = torch.cat([found.hidden_answer, found.hidden_other]).numpy()
        assert np.abs(store.matrix(mine.row) - both.reshape(len(mine), -1)).max() <= tolerance
        for layer in range(3):
            assert np.abs(store.layer(layer, mine.row) - both[:, layer]).max() <= tolerance
            assert np.abs(store.hidden(layer, mine.row) - hidden[:, layer]).max() <= 3 * tolerance


def test_rows_come_in_the_order_asked_for(tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    store = extract(tiny_llama, batches, Recording(), tmp_path / "store")
    everything = store.layer(1)
    rows = store.table().row
    assert np.array_equal(store.layer(1, rows[[7, 0, 3, 0]]), everything[[7, 0, 3, 0]])
    assert store.layer(1, rows[:0]).shape == (0, 48)
    assert not np.array_equal(everything[0], everything[7])


def test_layers_are_chunks_of_their_own(tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    extract(tiny_llama, batches, Recording(hidden=False), tmp_path / "store")
    chunks = {file.name for file in (tmp_path / "store" / "contributions").glob("c.*")}
    assert chunks == {f"c.{batch}.{layer}.0" for batch in range(3) for layer in range(3)}
    assert not (tmp_path / "store" / "hidden").exists()
    with pytest.raises(RunError, match="no hidden states"):
        ContributionStore.open(tmp_path / "store").hidden(0)


@pytest.mark.parametrize("calls", [0, 1, 4, 7, 11])
def test_a_resumed_run_equals_an_uninterrupted_one(
    calls: int, tiny_llama: LanguageModel, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(tiny_llama, batches, Recording(), tmp_path / "whole")
    left = [calls]
    original = extraction_module.record

    def failing(model: LanguageModel, items: tuple[Item, ...], recording: Recording, sink: object) -> object:
        write = sink._write  # type: ignore[attr-defined]

        def limited(*arguments: object) -> None:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            write(*arguments)

        sink._write = limited  # type: ignore[attr-defined]
        return original(model, items, recording, sink)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(extraction_module, "record", failing)
        with pytest.raises(KeyboardInterrupt):
            extract(tiny_llama, batches, Recording(), tmp_path / "killed")
    killed = ContributionStore.open(tmp_path / "killed")
    assert killed.done_batches() == tuple(range(calls // 6))  # 3 layers, contributions and hidden: 6 writes a batch
    assert content(tmp_path / "killed") != content(tmp_path / "whole")
    extract(tiny_llama, batches, Recording(), tmp_path / "killed")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_batches_may_be_written_in_any_order(tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    extract(tiny_llama, batches, Recording(), tmp_path / "whole")
    store = ContributionStore.create(tmp_path / "other", Layout.plan(tiny_llama, batches, Recording()))
    for number in (2, 0, 1):
        extract_batch(tiny_llama, batches[number], ContributionStore.open(tmp_path / "other"), number)
        assert len(store.table()) == sum(len(store._read_part(done)["row"]) for done in store.done_batches())
    assert content(tmp_path / "other") == content(tmp_path / "whole")


KILLS = """
import os, signal, sys
from pathlib import Path
import torch
from hneurons.contributions import ContributionStore, Layout, Row

def run(path, kill_at):
    layout = Layout(n_layers=2, n_neurons=5, hidden_size=None, batches=2, rows_per_batch=3, recording=None, model=None,
                    compute=None, items="")
    calls = 0
    original = Path.replace
    def replace(self, target):
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, target)
    Path.replace = replace
    store = ContributionStore.create(path, layout)
    for batch in store.pending_batches():
        writer = store.writer(batch)
        for layer in range(2):
            writer.contributions(layer, torch.full((2, 5), batch + 0.5 * layer), torch.ones(1, 5))
        kinds = [("a", "answer", True), ("b", "answer", False), ("a", "other", True)]
        writer.finish([Row(key, role, 1, 1, 1, other, None, None) for key, role, other in kinds])

def forked(*arguments):
    pid = os.fork()
    if pid == 0:
        run(*arguments)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

root = Path(sys.argv[1])
assert forked(root / "whole", -1) == 0
killed = 0
for kill_at in range(1, 10):
    path = root / str(kill_at)
    killed += forked(path, kill_at) == signal.SIGKILL
    assert forked(path, -1) == 0
sys.stdout.write(str(killed))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_before_every_rename(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", KILLS, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "8"  # array metadata, store.json, 2 chunks and a part for each of 2 batches; no ninth rename
    whole = content(tmp_path / "whole")
    assert len(whole) == 8
    for path in tmp_path.iterdir():
        assert content(path) == whole, path.name


def test_another_layout_is_refused(
    tiny_llama: LanguageModel, tiny_model: Callable[..., LanguageModel], batches: Batches, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    extract(tiny_llama, batches, Recording(), path)
    before = content(path)
    with pytest.raises(ConfigChangedError, match="another recording"):
        extract(tiny_llama, batches, Recording(other="sequence"), path)
    with pytest.raises(ConfigChangedError, match="another dtype"):
        extract(tiny_llama, batches, Recording(), path, "float16")
    with pytest.raises(ConfigChangedError, match="batches, items"):
        extract(tiny_llama, batches[:2], Recording(), path)
    with pytest.raises(ConfigChangedError, match="another model"):
        extract(tiny_model("llama", layers=3, seed=1), batches, Recording(), path)
    with pytest.raises(ConfigChangedError, match="n_layers, model"):
        extract(tiny_model("llama", layers=2), batches, Recording(), path)
    assert content(path) == before


def test_directories_of_other_people_are_left_alone(
    tiny_llama: LanguageModel, batches: Batches, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("chapter one")
    with pytest.raises(RunError, match="not a contribution store"):
        extract(tiny_llama, batches, Recording(), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "chapter one"
    with pytest.raises(RunError, match="no contribution store"):
        ContributionStore.open(tmp_path)
    with pytest.raises(NotEnoughDataError, match="nothing to record"):
        extract(tiny_llama, (), Recording(), tmp_path / "empty")


def test_rows_and_layers_that_are_not_there_are_refused(
    tiny_llama: LanguageModel, batches: Batches, tmp_path: Path
) -> None:
    store = extract(tiny_llama, batches, Recording(), tmp_path / "store")
    free = sorted(set(range(12)) - set(store.table().row.tolist()))
    assert free == [3, 11]  # the batches with q3 and with q1, which have no other tokens
    with pytest.raises(RunError, match="row 3"):
        store.layer(0, np.array([0, 3]))
    with pytest.raises(RunError, match="no layer 3"):
        store.layer(3)
    with pytest.raises(RunError, match="no batch 3"):
        store.writer(3)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_a_damaged_chunk_is_refused(damage: str, tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    store = extract(tiny_llama, batches, Recording(), tmp_path / "store")
    chunk = tmp_path / "store" / "contributions" / "c.1.2.0"
    data = bytearray(chunk.read_bytes())
    if damage == "missing":
        chunk.unlink()
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        chunk.write_bytes(data)
    else:
        chunk.write_bytes(b"" if damage == "empty" else data[: len(data) // 2])
    with pytest.raises(CorruptRunError, match="layer 2"):
        store.layer(2)
    assert np.isfinite(store.layer(1)).all()


def test_a_damaged_part_or_layout_is_refused(tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    path = tmp_path / "store"
    extract(tiny_llama, batches, Recording(), path)
    whole = content(path)
    part = path / "rows" / "part-00001.parquet"
    part.write_bytes((path / "rows" / "part-00000.parquet").read_bytes())
    with pytest.raises(CorruptRunError, match="not its own"):
        ContributionStore.open(path).table()
    part.write_bytes(b"PAR1")
    with pytest.raises(CorruptRunError, match="delete it to record that batch again"):
        ContributionStore.open(path).table()
    part.unlink()  # what the message says
    extract(tiny_llama, batches, Recording(), path)
    assert content(path) == whole
    (path / "store.json").write_text("{")
    with pytest.raises(CorruptRunError, match=r"store\.json cannot be read"):
        ContributionStore.open(path)


def test_a_batch_counts_only_when_it_is_whole(tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    store = ContributionStore.create(tmp_path / "store", Layout.plan(tiny_llama, batches, Recording(hidden=False)))
    writer = store.writer(0)
    writer.contributions(0, torch.ones(2, 48), torch.ones(1, 48))
    with pytest.raises(RunError, match="1 of 3 chunks"):
        writer.finish([])
    with pytest.raises(RunError, match="5 rows of width 48"):
        writer.contributions(1, torch.ones(3, 48), torch.ones(2, 48))
    with pytest.raises(RunError, match="width 47"):
        writer.contributions(1, torch.ones(2, 47), torch.ones(1, 47))
    with pytest.raises(RunError, match="do not fit into float32"):
        writer.contributions(1, torch.full((2, 48), float("nan")), torch.ones(1, 48))
    assert store.done_batches() == ()
    assert len(store.table()) == 0


def test_values_that_overflow_float16_are_refused(tiny_llama: LanguageModel, batches: Batches, tmp_path: Path) -> None:
    layout = Layout.plan(tiny_llama, batches, Recording(hidden=False), "float16")
    writer = ContributionStore.create(tmp_path / "store", layout).writer(0)
    with pytest.raises(RunError, match="do not fit into float16"):
        writer.contributions(0, torch.full((2, 48), 70_000.0), torch.ones(1, 48))


def test_chunks_written_behind_an_accelerator_are_the_same(
    tiny_llama: LanguageModel, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(tiny_llama, batches, Recording(), tmp_path / "now")
    monkeypatch.setattr(store_module, "_elsewhere", lambda states: True)
    threads: set[int] = set()
    put = store_module.BatchWriter._put

    def noting(self: object, *arguments: object) -> None:
        threads.add(threading.get_ident())
        put(self, *arguments)

    monkeypatch.setattr(store_module.BatchWriter, "_put", noting)
    extract(tiny_llama, batches, Recording(), tmp_path / "behind")
    assert threads
    assert threading.get_ident() not in threads
    now, behind = content(tmp_path / "now"), content(tmp_path / "behind")
    assert now == behind


def test_what_fails_behind_an_accelerator_makes_no_batch(
    tiny_llama: LanguageModel, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_elsewhere", lambda states: True)
    store = ContributionStore.create(tmp_path / "store", Layout.plan(tiny_llama, batches, Recording(hidden=False)))
    writer = store.writer(0)
    for layer in range(3):
        writer.contributions(layer, torch.full((2, 48), 1.0 if layer else float("nan")), torch.ones(1, 48))
    with pytest.raises(RunError, match="layer 0 has contributions that do not fit"):
        writer.finish([])
    assert store.done_batches() == ()
