"""Three checkpoints of the bundled model's shape, and what they show in the smaller study; made once for all tests.

The checkpoints: untrained, half-way (the mean of both), and the bundled base model.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tests.sharing import made_once
from tests.study.growing.reading import SETTINGS, Watched
from transformers import AutoTokenizer, LlamaForCausalLM

from hneurons.atlas import WEIGHTS
from hneurons.atlas.tokenizing import SPECIAL
from hneurons.atlas.training import SIZES, new_model
from hneurons.files import read_json, write_json
from hneurons.origins.record import Growth
from hneurons.study.evaluating import Fitted, fitted_detectors
from hneurons.study.growing import grow
from hneurons.study.run import Run


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`checkpoint-0`, `step500`, `step-1000`, and what is no checkpoint beside them. Look, do not write."""
    return made_once(tmp_path_factory, "checkpoints", save_checkpoints)


def save_checkpoints(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "atlas-7m-base")
    vocabulary = tokenizer.get_vocab()
    untrained = new_model(SIZES["7m"], {token: vocabulary[token] for token in SPECIAL}, 5)
    trained = LlamaForCausalLM.from_pretrained(WEIGHTS / "atlas-7m-base", dtype=torch.float32)
    between = LlamaForCausalLM.from_pretrained(WEIGHTS / "atlas-7m-base", dtype=torch.float32)
    for mixed, start in zip(between.parameters(), untrained.parameters(), strict=True):
        mixed.data = 0.75 * mixed.data + 0.25 * start.data
    for name, model in (("checkpoint-0", untrained), ("step500", between), ("step-1000", trained)):
        model.bfloat16().save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)
    (directory / "logs-7").mkdir()
    shutil.copytree(directory / "checkpoint-0", directory / "final")


@pytest.fixture(scope="session")
def grown_at(smaller: Run, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run lies with what its checkpoints show, what `grow` returned, and what it gave its engine to do."""

    def make(path: Path) -> None:
        run, watched = Run.open(shutil.copytree(smaller.path, path / "run")), Watched()
        returned = grow(run, checkpoints, SETTINGS, watched)
        write_json(path / "returned.json", returned.model_dump(mode="json"))
        write_json(path / "done.json", watched.done)

    return made_once(tmp_path_factory, "grown", make)


@pytest.fixture(scope="session")
def grown(grown_at: Path) -> tuple[Run, Growth]:
    """What the checkpoints show, as `grow` returned it, and the run it lies in. Look, do not write."""
    return Run.open(grown_at / "run"), Growth.model_validate(read_json(grown_at / "returned.json"))


@pytest.fixture(scope="session")
def fitted(smaller: Run) -> Fitted:
    return fitted_detectors(smaller)


@pytest.fixture
def again(grown: tuple[Run, Growth], fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run with its checkpoints; its detectors, which take seconds, are fitted once for all tests."""
    monkeypatch.setattr("hneurons.study.growing.fitted_detectors", lambda _: fitted)
    shutil.copytree(grown[0].path, tmp_path / "again")
    return Run.open(tmp_path / "again")
