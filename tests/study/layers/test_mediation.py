"""Mediation and ablation on a finished run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from hneurons.engine import Here
from hneurons.errors import NotEnoughDataError
from hneurons.layers.causality.ablation import Forks, components
from hneurons.layers.settings import LayersSettings
from hneurons.study.layers import mediation
from hneurons.study.layers.causality import pairs_of
from hneurons.study.layers.mediation import find_ablation, find_mediation
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run

SETTINGS = LayersSettings(n_each=20, n_pairs=3, n_train=20, n_bootstrap=20, n_permutations=19)


@pytest.fixture(scope="module")
def work(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> LayersWork:
    """A copy of the small study; little of it is ablated."""
    path: Path = tmp_path_factory.mktemp("mediation") / "run"
    shutil.copytree(finished.path, path)
    return LayersWork(Run.open(path), SETTINGS, Here())


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediation, "EACH", 3)
    monkeypatch.setattr(mediation, "DRAWS", 2)
    monkeypatch.setattr(mediation, "TOGETHER", 2)
    monkeypatch.setattr(mediation, "REFERENCE", 5)
    monkeypatch.setattr(mediation, "PER_TEST", 1)
    monkeypatch.setattr(mediation, "components", partial(components, heads=False))


def test_mediation_is_about_the_pairs_of_the_run(work: LayersWork) -> None:
    pairs = [pair for _, pair in pairs_of(work)[0]]
    found = find_mediation(work, pairs)
    model = work.model
    assert found.n_pairs == len(pairs) == 3
    assert len(found.mediators) == 2 * 3 * model.n_layers + model.n_layers * model.n_heads + 1
    assert found.random is not None
    assert found.random.n_draws == 2
    assert "neurons" not in found.missing
    clean = [_logits(work, pair.clean_input.token_ids, pair.answers) for pair in pairs]
    assert found.clean_difference.value == pytest.approx(np.mean(clean), abs=1e-3)
    corrupt = [_logits(work, pair.corrupt_input.token_ids, pair.answers) for pair in pairs]
    assert found.corrupt_difference.value == pytest.approx(np.mean(corrupt), abs=1e-3)
    last = [each for each in found.mediators if each.component.label == f"FFN {model.n_layers - 1}"]
    everywhere, subject, end = (
        next(each for each in last if each.where == where) for where in ("all", "subject", "last")
    )
    assert everywhere.difference.nie.value == pytest.approx(end.difference.nie.value, abs=1e-3)  # nothing comes after
    assert subject.difference.nie.value == pytest.approx(0, abs=1e-3)
    with pytest.raises(NotEnoughDataError, match="needs two"):
        find_mediation(work, pairs[:1])


def _logits(work: LayersWork, ids: tuple[int, ...], answers: tuple[int, int]) -> float:
    last = work.model.hf(torch.tensor([ids])).logits[0, -1]
    return float(last[answers[0]] - last[answers[1]])


def test_ablation_reads_as_many_answers_of_either_kind(work: LayersWork, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_ablation(work)
    model = work.model
    n = 2 * model.n_layers + 1
    assert (found.hallucinated.n, found.faithful.n, found.n_reference) == (3, 3, 10)
    assert found.eval_sets == ("in-domain",)
    assert list(found.left_out) == ["invented"]
    assert len(found.ablated) == 3 * n
    assert {each.n_draws for each in found.random} == {2}
    assert all(0.05 <= each.p <= each.q <= 1 for each in found.ablated)

    def never(*_arguments: object, **_options: object) -> Callable[..., None]:
        raise AssertionError("read again")

    monkeypatch.setattr(Forks, "__init__", never)
    assert find_ablation(work) == found  # from the parts on disk
