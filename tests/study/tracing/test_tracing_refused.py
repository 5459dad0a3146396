"""What tracing refuses, and that nothing is touched then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.study.tracing.reading import BASE, artifacts, base_of, found, settings

from hneurons.errors import ConfigChangedError, ModelError, ProbeMismatchError, RunError
from hneurons.probes.probe import Probe
from hneurons.study import tracing
from hneurons.study.config import ModelSettings
from hneurons.study.run import Run
from hneurons.study.tracing import origin_state, settings_of, trace


def test_files_that_changed_since_are_not_compared(copy: Run) -> None:
    other = Probe.load(copy.probe).card.model  # the tuned model's digest in place of the base model's
    with pytest.raises(ModelError, match="no longer those of the model that was asked"):
        tracing._stored(ModelSettings(name=BASE, dtype="float32"), other)
    kept = tracing._stored(ModelSettings(name=BASE, dtype="float32"), found(copy).base)
    assert kept.name == BASE


def test_what_is_refused(smaller: Run, tmp_path: Path, tiny_directory: Callable[..., Path]) -> None:
    run = Run.open(shutil.copytree(smaller.path, tmp_path / "run"))
    with pytest.raises(
        RunError, match="which model atlas-7m-instruct was tuned from is not known; give it with --base"
    ):
        trace(run, settings(None))
    with pytest.raises(ProbeMismatchError, match="n_layers 2 instead of"):
        trace(run, settings(str(tiny_directory("llama"))))
    with pytest.raises(ModelError, match="have the same weights, so one was not tuned from the other"):
        trace(run, settings("atlas-7m-instruct"))
    assert settings_of(run) is None  # none of them used it up
    assert origin_state(run) is None
    run.fit.unlink()
    with pytest.raises(RunError, match="no probe yet; find it with: hneurons fit"):
        trace(run, settings())


def test_another_base_model_or_way_of_asking_is_refused_and_nothing_is_touched(traced: Run) -> None:
    before = artifacts(traced)
    with pytest.raises(ConfigChangedError, match=r"prompt.template: Question: .*\\nA.* there, .* now\); leave the op"):
        trace(traced, settings(prompt={"style": "plain", "template": "Q: {question}\nA:"}))
    with pytest.raises(ConfigChangedError, match=r"model.name: atlas-7m-base there.*or remove .*origin/base to begin"):
        trace(traced, settings("elsewhere/base"))
    assert artifacts(traced) == before


def test_one_process_at_a_time(copy: Run) -> None:
    with base_of(copy).locked(), pytest.raises(RunError, match="another process works on"):
        trace(copy, settings())
