"""The part `causality` of a small finished study."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hneurons.engine import Here
from hneurons.errors import NotEnoughDataError
from hneurons.kept import part_file
from hneurons.layers.settings import LayersSettings
from hneurons.study.layers import causality
from hneurons.study.layers.causality import find_causality, pairs_of
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run


@pytest.fixture
def work(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LayersWork:
    """A copy of the small study, asked for few pairs; mediation finds too little, ablation nothing."""
    shutil.copytree(finished.path, tmp_path / "run")

    def too_few(*_arguments: Any) -> None:
        raise NotEnoughDataError("too few")

    monkeypatch.setattr(causality, "find_mediation", too_few)
    monkeypatch.setattr(causality, "find_ablation", lambda work: None)
    monkeypatch.setattr(causality, "NOISE_DRAWS", 0)
    monkeypatch.setattr(causality, "RANDOM_SETS", 2)
    monkeypatch.setattr(causality, "TOGETHER", 1)
    settings = LayersSettings(n_each=60, n_pairs=2, n_bootstrap=20)
    return LayersWork(Run.open(tmp_path / "run"), settings, Here())


def test_pairs_are_patched_and_kept_and_the_rest_is_missing_with_its_reason(
    work: LayersWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, found, unpaired = pairs_of(work)
    hallucinated = sum(answer.hallucinated for name in work.names for answer in work.answered(name))
    assert found + sum(unpaired.values()) == hallucinated
    assert len(pairs) == 2
    assert {name for name, _ in pairs} == set(work.names)
    for name, pair in pairs:
        assert pair.corrupt.eval_set == name
        assert pair.clean.eval_set == "in-domain"  # invented questions have no right answers of their own
        assert pair.corrupt.hallucinated
        assert not pair.clean.hallucinated
    made = find_causality(work)
    assert made.missing == {"mediation": "too few"}
    assert made.mediation is None
    assert made.ablation is None
    assert made.tracing.pairs.n == 2
    own = next(each for each in made.tracing.maps if (each.corruption, each.site) == ("question", "residual"))
    last = own.columns.index("last")
    assert own.effect.value[-1][last] == pytest.approx(1, abs=1e-3)
    assert own.effect.value[0][last] == pytest.approx(0, abs=0.2)
    assert made.neurons is not None
    assert made.neurons.n_neurons == len(work.probe.hneurons)
    assert len(made.neurons.random.values) == 2
    folder = work.folder("causality") / "patching"
    before = part_file(folder, 1).read_bytes()
    part_file(folder, 0).unlink()  # killed after the second task: the first is made again, to the same end
    assert find_causality(work) == made
    assert part_file(folder, 1).read_bytes() == before


def test_too_few_pairs_are_refused_with_the_reason(work: LayersWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "settings", work.settings.model_copy(update={"n_pairs": 1}))
    with pytest.raises(NotEnoughDataError, match="there are 1 pairs of a faithful and a hallucinated answer"):
        find_causality(work)
