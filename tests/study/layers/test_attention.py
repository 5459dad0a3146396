"""The part `attention` on a small finished study: made of its own answers, kept, and honest about what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hneurons.compliance.benchmark import BenchmarkRequest
from hneurons.engine import Here
from hneurons.errors import NotEnoughDataError, QuestionSetError
from hneurons.layers.attention.weights import ATTENDED, attention_shares
from hneurons.layers.settings import LayersSettings
from hneurons.study.layers.attention import find_attention
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run

SETTINGS = LayersSettings(
    n_each=25, n_cases=40, n_bootstrap=50, n_permutations=50, benchmarks=(BenchmarkRequest(name="atlas/context"),)
)


class Idle:
    """An engine that must not be asked for anything."""

    def run(self, job: Any, work: Any, tasks: Sequence[Any], description: str, done: int) -> None:
        raise AssertionError(f"{description}: {len(tasks)} tasks are done again")

    def release(self) -> None:
        """The model is loaded here."""


def work_on(finished: Run, path: Path, settings: LayersSettings = SETTINGS, engine: Any = None) -> LayersWork:
    if not path.exists():
        shutil.copytree(finished.path, path)
    return LayersWork(Run.open(path), settings, engine or Here())


@pytest.fixture(scope="module")
def place(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a copy of the finished study goes."""
    return tmp_path_factory.mktemp("attention") / "run"


def test_it_is_about_the_answers_of_the_run_and_is_kept(finished: Run, place: Path) -> None:
    work = work_on(finished, place)
    found = find_attention(work)
    assert (found.before, found.used, found.missing) == ("sdpa", "eager", {})
    answers = found.answers
    assert answers is not None
    own = work.answered("in-domain")
    rows = attention_shares(work.model, own)
    hallucinated = np.array([each.hallucinated for each in own])
    kinds = np.array([each.kind for each in own])
    place_of = ATTENDED.index("subject")
    lift = rows.lift[..., place_of].mean(axis=(1, 2))
    total = weight = 0.0
    for kind in set(kinds):
        ours, theirs = lift[(kinds == kind) & hallucinated], lift[(kinds == kind) & ~hallucinated]
        if len(ours) and len(theirs):
            w = len(ours) * len(theirs) / (len(ours) + len(theirs))
            total, weight = total + w * (ours.mean() - theirs.mean()), weight + w
    (share,) = (each for each in answers.whole.shares if each.segment == "subject")
    assert share.lift.value == pytest.approx(total / weight, abs=1e-6)
    invented = next(each for each in answers.sets if each.eval_set == "invented")
    assert (invented.n_first, invented.difference.value) == (0, None)
    (context,) = found.contexts
    assert context.n_first + context.n_second + sum(context.left_out.values()) == 40
    assert {each.segment for each in context.whole.shares} == set(ATTENDED)
    again = find_attention(work_on(finished, place, engine=Idle()))
    assert again == found


def test_what_cannot_be_asked_is_said(finished: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_on(finished, place)
    none = SETTINGS.model_copy(update={"benchmarks": (BenchmarkRequest(name="atlas/premise", limit=4),)})
    found = find_attention(work_on(finished, place, none))
    assert found.answers is not None
    assert found.missing == {"contexts": "no benchmark of the settings brings a context along"}
    shutil.rmtree(place / "layers", ignore_errors=True)
    few = SETTINGS.model_copy(update={"n_cases": 4})
    found = find_attention(work_on(finished, place, few))
    assert list(found.missing) == ["atlas/context"]
    assert "10 of either are needed" in found.missing["atlas/context"]
    work = work_on(finished, place, none)
    monkeypatch.setattr(LayersWork, "answered", lambda *_: [])
    with pytest.raises(NotEnoughDataError, match="no evaluation set has an answer; no benchmark"):
        find_attention(work)

    def offline(_: LayersWork) -> None:
        raise QuestionSetError("it cannot be reached")

    monkeypatch.setattr(LayersWork, "benchmarks", offline)
    with pytest.raises(NotEnoughDataError, match="no evaluation set has an answer; it cannot be reached"):
        find_attention(work)
