"""Tracing that is killed, or loses parts, or has little to go on, ends as it should."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.study.tracing.reading import BASE, artifacts, base_of, found, settings

from hneurons.errors import ModelError
from hneurons.files import read_json, write_json
from hneurons.study import tracing
from hneurons.study.asking import copy_questions, read_questions
from hneurons.study.config import ModelSettings
from hneurons.study.evaluating import (
    Fitted,
)
from hneurons.study.judging import read_judged
from hneurons.study.nested import nested_run
from hneurons.study.results import read_results, write_results
from hneurons.study.run import Run
from hneurons.study.tracing import origin_state, settings_of, trace


def refuse(*_: object) -> Fitted:
    raise AssertionError("nothing is to be fitted again")


class Stops:
    """An engine that is killed after a few tasks in all."""

    def __init__(self, after: int) -> None:
        self.after = after

    def run(self, job: Any, work: Any, tasks: Sequence[Any], description: str, done: int) -> None:
        one = job.start(work)
        for task in tasks:
            if not self.after:
                raise KeyboardInterrupt
            self.after -= 1
            one(task)

    def release(self) -> None:
        """The model is in this process."""


@pytest.mark.slow
def test_interrupted_and_resumed_it_ends_the_same(traced: Run, smaller: Run, tmp_path: Path) -> None:
    """Killed while sampling, while measuring and before the end; first backward only, then both ways."""
    run = Run.open(shutil.copytree(smaller.path, tmp_path / "run"))
    assert origin_state(run) is None
    with pytest.raises(KeyboardInterrupt):
        trace(run, settings(), Stops(3))
    assert (origin_state(run).done, origin_state(run).complete) == (3, False)
    trace(run, settings(forward=False))
    assert found(run).missing == {"forward": "only backward transfer was asked for"}
    with pytest.raises(KeyboardInterrupt):
        trace(run, settings(), Stops(2))
    assert not run.origin_found.exists()  # of other settings than those at work now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "drift", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trace(run, settings())
    parts = {file: file.stat().st_mtime_ns for file in run.origin.rglob("*.parquet")}
    trace(run, settings_of(run))
    assert {file: file.stat().st_mtime_ns for file in parts} == parts  # what was done is not done again
    assert artifacts(run) == artifacts(traced)
    assert origin_state(run).complete
    assert artifacts(run) | {"origin.json": b""} != artifacts(traced)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("once")
def test_lost_parts_are_made_again_and_the_end_is_the_same(traced: Run, copy: Run) -> None:
    base = base_of(copy)
    (base.responses("in-domain") / "part-00001.parquet").unlink()
    for lost in (base.judged, copy.origin_found):
        lost.unlink()
    shutil.rmtree(base.contributions("invented"))
    state = origin_state(copy)
    assert not state.complete
    trace(copy, settings())
    assert artifacts(copy) == artifacts(traced)


def test_what_is_whole_is_not_found_again(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(copy)
    monkeypatch.setattr(tracing, "fitted_detectors", refuse)
    assert trace(copy, settings()) == before
    assert trace(copy, settings(by="statements read")) == found(copy)
    assert found(copy).settings["by"] == "statements read"
    assert found(copy).model_copy(update={"settings": before.settings}) == before


def test_another_probe_or_a_damaged_file_is_traced_anew(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(copy)
    monkeypatch.setattr(tracing, "_trace", lambda *_: before)
    monkeypatch.setattr(tracing, "fitted_detectors", refuse)
    write_json(copy.origin_found, before.model_copy(update={"probe": "another"}).model_dump(mode="json"))
    assert trace(copy, settings()) == before == found(copy)
    copy.origin_found.write_text("{")
    assert trace(copy, settings()) == before == found(copy)


def test_results_hold_what_was_found(copy: Run) -> None:
    write_results(copy)
    assert read_results(copy).origin == found(copy)


@pytest.mark.usefixtures("once")
def test_a_base_model_that_is_right_on_nothing_has_no_auroc(smaller: Run, tmp_path: Path) -> None:
    """There is nothing to tell apart, and no faithful answer to stand beside invented places."""
    run = Run.open(shutil.copytree(smaller.path, tmp_path / "run"))
    base = nested_run(run, run.origin / "base", ModelSettings(name=BASE, dtype="float32"), settings())
    copy_questions(run, base)
    base.responses("in-domain").mkdir(parents=True)
    hard = [each.model_copy(update={"aliases": ("zzzz",)}) for each in read_questions(run, "in-domain")]
    base.questions("in-domain").write_text("".join(each.model_dump_json() + "\n" for each in hard))
    origin = trace(run, settings(forward=False))
    asked = {each.eval_set: each for each in origin.asked}
    assert asked["in-domain"].accuracy.value == 0
    assert asked["in-domain"].verdicts["incorrect"] > 50
    assert {(each.faithful, each.hallucinated) for each in origin.asked} == {(0, 0)}
    assert {row.auroc.value for row in origin.backward.figures} == {None}
    assert all(row.auroc.reason for row in origin.backward.figures)
    assert all("AUROC is not defined" in each.sentence for each in origin.backward.findings)
    assert origin.forward is None
    write_results(run)
    assert read_results(run).origin == origin


@pytest.mark.usefixtures("once")
def test_too_few_answers_for_a_probe_of_the_base_models_own(traced: Run, smaller: Run, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(smaller.path, tmp_path / "run"))
    base = nested_run(run, run.origin / "base", ModelSettings(name=BASE, dtype="float32"), settings())
    copy_questions(run, base)
    base.responses("train").mkdir(parents=True)
    lines = base.questions("train").read_text().splitlines(keepends=True)[:6]
    base.questions("train").write_text("".join(lines))
    index = base.path / "questions" / "sets.json"
    described = read_json(index)
    write_json(index, described | {"train": described["train"] | {"n": len(lines)}})
    origin = trace(run, settings())
    assert origin.forward is None
    assert origin.native == ()
    assert origin.missing["forward"].startswith(f"no probe could be fitted on {BASE}: part ")
    assert "too few" in origin.missing["forward"]
    assert origin.backward == found(traced).backward
    assert set(read_judged(base).answers) == set(run.config.evaluate)


@pytest.mark.usefixtures("once")
def test_where_weights_cannot_be_compared_the_rest_is_there(
    traced: Run, copy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quantized(*_: object, **__: object) -> None:
        raise ModelError("x has quantized weights")

    monkeypatch.setattr(tracing, "drift", quantized)
    only = settings(forward=False)
    origin = trace(copy, only)
    assert (origin.drift, origin.missing["drift"]) == (None, "x has quantized weights")
    assert origin.backward == found(traced).backward
    monkeypatch.setattr(tracing, "drift", lambda *_, **__: found(traced).drift)
    assert trace(copy, only).drift == found(traced).drift  # tried again
    assert set(found(copy).missing) == {"forward"}
