"""The comparison of a finished study: its states in order, read once, and its sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hneurons.engine import Here
from hneurons.errors import NotEnoughDataError
from hneurons.layers.comparison.record import Comparison
from hneurons.layers.comparison.states import collect_states
from hneurons.layers.settings import LayersSettings
from hneurons.study.layers import comparison
from hneurons.study.layers.comparison import find_comparison, states_of
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run

SETTINGS = LayersSettings(n_each=25, n_bootstrap=20, n_permutations=20, batch_rows=20)


@pytest.fixture
def work(finished: Run, tmp_path: Path) -> LayersWork:
    """A copy of the small finished study, asked of few answers."""
    shutil.copytree(finished.path, tmp_path / "run")
    return LayersWork(Run.open(tmp_path / "run"), SETTINGS, Here())


def test_states_stand_in_the_order_of_the_answers_and_are_read_once(
    work: LayersWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = work.answered("in-domain")
    found = states_of(work, "in-domain")
    assert len(found) == len(answered) > SETTINGS.batch_rows
    for row in (0, 7, len(answered) - 1):
        alone = collect_states(work.model, [answered[row]])[0]
        np.testing.assert_allclose(found[row], alone, atol=1e-4)
        assert np.abs(found[row - 1] - alone).max() > 1e-2

    def never(*_given: object) -> None:
        raise AssertionError("states were read again")

    monkeypatch.setattr(comparison, "collect_states", never)
    assert np.array_equal(states_of(work, "in-domain"), found)


def test_every_set_is_compared_and_one_without_faithful_answers_borrows_them(work: LayersWork) -> None:
    found = find_comparison(work)
    assert Comparison.model_validate(found.model_dump(mode="json")) == found
    sets = {each.eval_set: each for each in found.sets}
    own = work.answered("in-domain")
    plain = sets["in-domain"]
    assert (plain.every.n_faithful, plain.every.n_hallucinated) == (
        sum(not each.hallucinated for each in own),
        sum(each.hallucinated for each in own),
    )
    assert plain.faithful_from is None
    assert len(plain.every.levels) == 3 * work.model.n_layers
    borrowed = sets["invented"]
    assert borrowed.faithful_from == "in-domain"
    assert borrowed.every.n_faithful == plain.every.n_faithful


def test_too_few_answers_are_a_reason(work: LayersWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LayersWork, "answered", lambda *_given: [])
    with pytest.raises(NotEnoughDataError, match="no evaluation set has enough answers of both kinds"):
        find_comparison(work)
