"""Checkpoints that are refused, and that nothing is touched then."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.study.growing.reading import SETTINGS, Watched, artifacts

from hneurons.atlas.tokenizing import SPECIAL
from hneurons.atlas.training import SIZES, new_model
from hneurons.errors import ConfigChangedError, HNeuronsError, ModelError, ModelNotFoundError, RunError
from hneurons.files import read_json, write_json
from hneurons.study.growing import find_checkpoints, grow
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run


def refused(run: Run, directory: Path, settings: OriginSettings = SETTINGS) -> HNeuronsError:
    with pytest.raises(HNeuronsError) as caught:
        grow(run, directory, settings, Watched(0))
    assert "\n" not in str(caught.value)
    return caught.value


def test_directories_without_checkpoints_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    for path, said in (
        (tmp_path / "nowhere", "there is no directory"),
        (tmp_path, "no model directory with a step in its name"),
        (checkpoints / "logs-7", "no model directory"),
    ):
        with pytest.raises(ModelNotFoundError, match=said):
            find_checkpoints(path)


def test_two_of_one_step_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    for name in ("checkpoint-500", "step0500"):
        (tmp_path / name).symlink_to(checkpoints / "step500")
    with pytest.raises(ModelError, match=r"checkpoint-500 and step0500 .* are both of step 500"):
        find_checkpoints(tmp_path)


def test_a_checkpoint_of_another_shape_is_refused_before_anything_is_asked(
    smaller: Run, tmp_path: Path, checkpoints: Path
) -> None:
    (tmp_path / "step1").symlink_to(checkpoints / "step500")
    ids = {token: i for i, token in enumerate(SPECIAL)}
    new_model(SIZES["1m"], ids, 0).save_pretrained(tmp_path / "step2")
    error = refused(smaller, tmp_path)
    assert "n_layers 4 instead of 6" in str(error)
    assert "step2" in str(error)
    assert not smaller.origin.exists()


def test_a_run_without_a_probe_is_refused(smaller: Run, tmp_path: Path, checkpoints: Path) -> None:
    run = Run.start(tmp_path / "run", smaller.config)
    assert "hneurons fit" in str(refused(run, checkpoints))


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (
            "read",
            "no question of the evaluation sets has the field 'read' .* there are bin, decile, ",
        ),
        ("population", "'population' has .* values .* too many"),
    ],
)
def test_a_field_that_nothing_can_be_shown_by_is_refused(smaller: Run, checkpoints: Path, by: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        grow(smaller, checkpoints, OriginSettings(by=by), Watched(0))


def test_a_checkpoint_asked_otherwise_or_with_other_weights_is_refused(again: Run, checkpoints: Path) -> None:
    before = artifacts(again)
    error = refused(again, checkpoints, SETTINGS.model_copy(update={"stop": (".",)}))
    assert isinstance(error, ConfigChangedError)
    assert "remove" in str(error)
    assert artifacts(again) == before
    file = again.origin / "checkpoints" / "step500" / "model.json"
    described = read_json(file)
    write_json(file, {**described, "fingerprint": {**described["fingerprint"], "weights_digest": "0" * 64}})
    error = refused(again, checkpoints)
    assert isinstance(error, ConfigChangedError)
    assert "step500 has other weights" in str(error)
