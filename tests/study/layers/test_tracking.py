"""Tracking on a small finished run: what it finds, that it goes on where it stopped, and what it leaves out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hneurons.compliance.benchmark import BenchmarkRequest
from hneurons.engine import Here
from hneurons.errors import NotEnoughDataError
from hneurons.layers.settings import LayersSettings
from hneurons.layers.tracking.decision import decided_at
from hneurons.layers.tracking.lens import logit_lens
from hneurons.layers.tracking.record import Tracking
from hneurons.layers.tracking.tuned_lens import TunedLens, train_tuned_lens
from hneurons.study.layers import tracking
from hneurons.study.layers.tracking import find_tracking, lens_folder
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run

SETTINGS = LayersSettings(
    n_each=15, n_train=20, n_cases=12, n_bootstrap=50, n_permutations=50, batch_rows=20,
    benchmarks=(BenchmarkRequest(name="atlas/context"), BenchmarkRequest(name="atlas/pressure")),
)  # fmt: skip


@pytest.fixture(scope="module")
def work(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LayersWork]:
    """A copy of the small study that may be written to; the lens is fitted in a few steps."""
    path: Path = tmp_path_factory.mktemp("tracking") / "run"
    shutil.copytree(finished.path, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "train_tuned_lens", partial(train_tuned_lens, steps=2, n_tokens=400))
        patch.setattr(tracking, "HELD_OUT", 6)
        yield LayersWork(Run.open(path), SETTINGS, Here())


@pytest.fixture(scope="module")
def found(work: LayersWork) -> Tracking:
    return find_tracking(work)


def test_every_set_and_benchmark_is_there(found: Tracking) -> None:
    assert [each.name for each in found.sets] == ["in-domain", "invented"]
    first, second = found.sets
    assert (first.n_faithful, first.n_hallucinated, first.faithful_from) == (15, 15, "")
    assert (second.n_faithful, second.n_hallucinated, second.faithful_from) == (15, 15, "in-domain")
    assert (second.n_correct, second.overtaken) == (0, ())
    assert found.residual < 3e-2
    assert found.fit.n_tokens == 400
    assert found.fit.n_held_out == 12
    assert len(found.fit.logit) == found.n_layers + 1
    assert found.fit.logit[-1].value == pytest.approx(0, abs=1e-6)
    assert found.drifts[0].name == "atlas/context"
    assert set(found.missing) <= {"atlas/pressure"}  # where too few first answers are right
    assert found.drifts[0].distances[0].case[0].value == 0  # the same last token


def test_decisions_are_those_of_the_lens_itself(work: LayersWork, found: Tracking) -> None:
    answers = [each for each in work.answered("in-domain") if each.fork is not None and each.hallucinated]
    forks = [each.fork for each in answers if each.fork is not None]
    texts = [each.token_ids for each in answers]
    places = [[len(each.prompt_ids) + fork.index - 1] for each, fork in zip(answers, forks, strict=True)]
    read = logit_lens(work.model, texts, places, [[fork.given] for fork in forks])
    depths = decided_at(read.rank[:, :, 0] == 1)
    (own,) = [
        each
        for each in found.sets[0].decisions
        if (each.lens, each.rule, each.verdict) == ("logit", "all", "hallucinated")
    ]
    assert own.never.value == pytest.approx((depths < 0).mean())
    assert own.shares == tuple(pytest.approx((depths == depth).mean()) for depth in range(7))
    assert own.mean.value == pytest.approx(depths[depths >= 0].mean())


def test_the_lens_is_fitted_on_training_answers_and_kept(work: LayersWork, found: Tracking) -> None:
    lens = TunedLens.load(lens_folder(work), work.model)
    texts = [each.token_ids for each in work.answered("train", "fit", SETTINGS.n_train)]
    again = train_tuned_lens(work.model, texts, steps=2, n_tokens=400, batch_rows=20)
    np.testing.assert_array_equal(lens.weight.numpy(), again.weight.numpy())
    assert lens.card.n_texts == found.fit.n_answers == len(texts)


def test_a_killed_run_ends_the_same(work: LayersWork, found: Tracking) -> None:
    folder = work.folder("tracking")
    for part in ("answers/in-domain/part-00001", "drift/atlas/context/cases/part-00000", "held-out/part-00000"):
        (folder / f"{part}.safetensors").unlink()
    assert find_tracking(work) == found


def test_what_cannot_be_asked_is_left_out(work: LayersWork, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = LayersWork(work.run, SETTINGS.model_copy(update={"benchmarks": ()}), Here())
    assert "drift" in find_tracking(bare).missing
    monkeypatch.setattr(tracking, "FEWEST", 99)
    assert "neutral twin" in find_tracking(work).missing["atlas/context"]
    shutil.rmtree(lens_folder(work))
    with pytest.raises(NotEnoughDataError, match="training answers"):
        find_tracking(work)
