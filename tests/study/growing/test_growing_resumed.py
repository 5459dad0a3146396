"""Looking at checkpoints, killed and resumed, or with something changed in between, ends the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.study.growing.reading import SETTINGS, Watched, artifacts

from hneurons.files import read_json, write_json
from hneurons.origins.record import Growth
from hneurons.study.growing import grow
from hneurons.study.run import Run


def test_a_finished_one_is_not_done_again(again: Run, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = artifacts(again)
    monkeypatch.setattr("hneurons.study.growing.fitted_detectors", lambda _: pytest.fail("fitted again"))
    engine = Watched()
    grow(again, checkpoints, SETTINGS, engine)
    assert engine.done == []
    assert artifacts(again) == before


@pytest.mark.parametrize("lives", [1, 3])
def test_killed_and_resumed_it_ends_the_same(
    lives: int, grown: tuple[Run, Growth], grown_at: Path, again: Run, checkpoints: Path
) -> None:
    """Killed while it samples, and while it measures, the last checkpoint."""
    own = again.origin / "checkpoints" / "step-1000"
    shutil.rmtree(own)
    again.growth_found.unlink()
    killed = Watched(lives)
    with pytest.raises(KeyboardInterrupt):
        grow(again, checkpoints, SETTINGS, killed)
    assert len(killed.done) == lives
    resumed = Watched()
    grow(again, checkpoints, SETTINGS, resumed)
    uninterrupted = read_json(grown_at / "done.json")
    assert uninterrupted[-len(killed.done + resumed.done) :] == killed.done + resumed.done  # nothing twice
    assert (killed.done + resumed.done)[:3] == ["sampling in-domain", "sampling in-domain", "sampling invented"]
    assert artifacts(again) == artifacts(grown[0])


def test_killed_while_contributions_are_deleted_it_takes_no_half_store_for_a_whole_one(
    grown: tuple[Run, Growth], again: Run, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = again.origin / "checkpoints" / "step500"
    (own / "checkpoint.json").unlink()
    real = shutil.rmtree

    def half(path: Path, **settings: Any) -> None:
        if path.name not in ("contributions", ".contributions") or not path.exists():
            return real(path, **settings)
        real(path / "in-domain" / "contributions")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hneurons.study.growing.shutil.rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            grow(again, checkpoints, SETTINGS)
    (own / "checkpoint.json").unlink()  # as if the record were of another probe: it has to be measured again
    grow(again, checkpoints, SETTINGS)
    assert artifacts(again) == artifacts(grown[0])


@pytest.mark.parametrize("key", ["probe", "last"])
def test_of_another_probe_or_another_end_it_is_measured_again_and_not_asked_again(
    key: str, grown: tuple[Run, Growth], again: Run, checkpoints: Path
) -> None:
    file = again.origin / "checkpoints" / "step500" / "checkpoint.json"
    write_json(file, {**read_json(file), key: "another"})
    engine = Watched()
    grow(again, checkpoints, SETTINGS, engine)
    assert set(engine.done) == {"measuring in-domain", "measuring invented"}
    assert artifacts(again) == artifacts(grown[0])
