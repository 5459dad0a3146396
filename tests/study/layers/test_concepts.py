"""The part `concepts` on a small finished study: fitted on training answers, kept, the same when asked again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hneurons.engine import Here
from hneurons.errors import NotEnoughDataError, ProbeMismatchError
from hneurons.layers.concepts import probing, projecting, relating
from hneurons.layers.concepts.directions import Directions
from hneurons.layers.concepts.record import Concepts
from hneurons.layers.settings import LayersSettings
from hneurons.study.layers import concepts as part
from hneurons.study.layers.work import LayersWork
from hneurons.study.measuring import read_measured
from hneurons.study.run import Run

SETTINGS = LayersSettings(n_each=10, n_bootstrap=20, n_permutations=20)


class Idle:
    """An engine that must not be asked for anything."""

    def run(self, job: Any, work: Any, tasks: Sequence[Any], description: str, done: int) -> None:
        raise AssertionError(f"{description}: {len(tasks)} tasks are done again")

    def release(self) -> None:
        """The model is loaded here."""


class Flat:
    """Stands in for UMAP, which takes its time: the first two coordinates."""

    def __init__(self, **settings: object) -> None:
        pass

    def fit_transform(self, X: np.ndarray) -> np.ndarray:
        return X[:, :2]

    transform = fit_transform


@pytest.fixture(scope="module")
def quick() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Flat))
        for module, name, value in (
            (probing, "N_REFITS", 2), (probing, "MEANS", 5), (relating, "DRAWS", 5), (projecting, "DRAWS", 5),
            (part, "N_LAYERS_STEERED", 2), (part, "N_DRAWS", 8),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        patch.setattr(part, "N_CONTROL", 2)
        patch.setattr(part, "REMOVED", 1)
        yield


@pytest.fixture(scope="module")
def place(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("concepts") / "run"
    shutil.copytree(finished.path, path)
    return path


@pytest.fixture(scope="module")
def found(place: Path, quick: None) -> Concepts:
    return part.find_concepts(LayersWork(Run.open(place), SETTINGS, Here()))


def test_readings_are_those_of_the_recorded_states(place: Path, found: Concepts) -> None:
    run = Run.open(place)
    fit, test = read_measured(run, "train", "fit").answers, read_measured(run, "in-domain", "test").answers
    assert (found.n_fit, found.n_dev) == (len(fit), len(read_measured(run, "train", "dev").answers))
    for layer in range(found.n_layers):
        X, X_test = fit.hidden[:, layer].astype(np.float64), test.hidden[:, layer].astype(np.float64)
        direction = X[~fit.hallucinated].mean(axis=0) - X[fit.hallucinated].mean(axis=0)
        (own,) = (
            each.auroc.value
            for each in found.readings
            if (each.concept, each.how, each.layer, each.eval_set) == ("factuality", "means", layer, "in-domain")
        )
        assert own == pytest.approx(roc_auc_score(~test.hallucinated, X_test @ direction))
    invented = [each for each in found.readings if each.eval_set == "invented" and each.concept == "factuality"]
    assert all(each.auroc.value is None and each.accuracy.value is not None for each in invented)


def test_directions_are_kept_for_this_model_alone(place: Path, found: Concepts) -> None:
    work = LayersWork(Run.open(place), SETTINGS, Here())
    kept = Directions.load(place / found.directory, work.model.fingerprint)
    assert len(kept.card.created) == len("2026-01-01")
    assert kept.best_layer("factuality") == found.best["factuality"]
    assert kept.card.entropy_median == found.entropy_median
    other = work.model.fingerprint.model_copy(update={"weights_digest": "0" * 64})
    with pytest.raises(ProbeMismatchError):
        Directions.load(place / found.directory, other)


def test_every_layer_and_set_is_answered_for(found: Concepts) -> None:
    n_sets = len(found.sets)
    assert len(found.readings) == 2 * 2 * found.n_layers * n_sets
    assert len(found.selectivity) == 2 * found.n_layers * n_sets
    assert [each.layer for each in found.angles] == list(range(found.n_layers))
    assert {each.how for each in found.pictures} == {"pca", "umap"}
    assert {each.eval_set for each in found.pictures} == {"in-domain"}
    assert found.steering is not None
    assert found.steering.eval_set == "in-domain"
    assert [each.layer for each in found.steering.moved[::4]] == [0, found.n_layers - 1]
    forward = [each for each in found.steering.moved if each.strength > 0]
    assert all(each.reading[each.layer].value.value == pytest.approx(2, abs=1e-3) for each in forward)


@pytest.mark.slow
def test_what_was_steered_is_not_steered_again(place: Path, found: Concepts, quick: None) -> None:
    again = part.find_concepts(LayersWork(Run.open(place), SETTINGS, Idle()))
    assert again == found


def test_without_hidden_states_there_is_nothing_to_read(place: Path) -> None:
    run = Run.open(place)
    recording = run.config.recording.model_copy(update={"hidden": False})
    bare = Run(run.path, run.config.model_copy(update={"recording": recording}))
    with pytest.raises(NotEnoughDataError, match="no hidden states"):
        part.find_concepts(LayersWork(bare, SETTINGS, Here()))
