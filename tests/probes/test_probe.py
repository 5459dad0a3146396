"""A saved probe: what is in the files, what it scores, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from hneurons.errors import ProbeError, ProbeMismatchError
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.mixture import ExpertLayout
from hneurons.probes.path import c_grid, fit_path
from hneurons.probes.probe import CARD, TENSORS, Probe, make_probe
from hneurons.probes.rows import dense
from hneurons.probes.solution import Path, Solution

MODEL = ModelFingerprint(
    name="tiny", revision=None, model_type="llama", n_layers=4, n_neurons=64, hidden_size=16, weights_digest="ab" * 32
)


@pytest.fixture(scope="module", params=["none", "std"])
def probe(request, world):
    X, y = world.answers.contributions, world.answers.hallucinated
    path = fit_path(X, y, c_grid(X, y, 2, 10.0, scale=request.param), scale=request.param)
    return make_probe(
        path.solutions[1],
        path,
        MODEL,
        scheme="1-vs-1",
        other="response",
        positions="at",
        date="2026-01-31",
        questions={"world": "cd" * 32},
        metrics={"auroc": 0.9, "interval": [0.85, 0.94]},
        notes={"seed": 0},
        calibration=(1.5, 0.25),
    )


def test_it_comes_back_as_it_was(probe, tmp_path):
    probe.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD, TENSORS]
    again = Probe.load(tmp_path)
    assert again.neurons == probe.neurons
    assert again.card == probe.card.model_copy(update={"tensors": again.card.tensors})
    np.testing.assert_array_equal(again.weights, probe.weights)
    assert (again.deviations is None) == (probe.card.scale == "none")
    with safe_open(tmp_path / TENSORS, "np") as file:
        assert {"layers", "indices", "weights"} <= set(file.keys())
    listed = json.loads((tmp_path / CARD).read_text())
    assert listed["neurons"][0].keys() == {"layer", "index", "weight"}
    assert listed["provenance"]["date"] == "2026-01-31"
    assert "numba" in listed["provenance"]["versions"]


def test_it_scores_as_a_naive_loop_does(probe, test_set):
    full = dense(test_set.contributions).reshape(-1, 4, 64)
    naive = []
    for row in full[:50]:
        z = probe.card.intercept
        for (layer, index), weight in zip(probe.neurons, probe.weights, strict=True):
            z += weight * float(row[layer, index])
        naive.append(z)
    np.testing.assert_allclose(probe.score(full[:50]), naive, rtol=1e-9)
    columns = np.stack([full[:, layer, index] for layer, index in probe.neurons], axis=1)
    np.testing.assert_allclose(probe.score(columns), probe.score(full))
    np.testing.assert_allclose(probe.probabilities(full), 1 / (1 + np.exp(-(1.5 * probe.score(full) + 0.25))))
    turned = full.reshape(-1, 64, 4).transpose(0, 2, 1)  # right shape, wrong neurons
    assert np.abs(probe.score(np.ascontiguousarray(turned))[:50] - naive).max() > 0.1
    with pytest.raises(ProbeMismatchError, match="do not fit a probe"):
        probe.score(full[:, :3])


def test_hneurons_are_those_of_positive_weight(probe):
    expected = tuple(n for n, w in zip(probe.neurons, probe.weights, strict=True) if w > 0)
    assert probe.hneurons == expected
    assert 0 < len(expected) <= len(probe.neurons)
    assert probe.per_mille == pytest.approx(1000 * len(expected) / 256)


def test_another_model_is_refused_with_what_differs(probe):
    probe.require(MODEL)
    probe.require(MODEL.model_copy(update={"name": "elsewhere/tiny"}))
    base = MODEL.model_copy(update={"name": "base", "weights_digest": "ef" * 32})
    with pytest.raises(
        ProbeMismatchError, match="does not fit base: weights_digest efefefefefef instead of abababababab"
    ):
        probe.require(base)
    probe.require(base, weights=False)
    wider = MODEL.model_copy(update={"n_neurons": 128, "n_layers": 5})
    with pytest.raises(ProbeMismatchError, match="n_layers 5 instead of 4, n_neurons 128 instead of 64"):
        probe.require(wider, weights=False)


def test_files_that_contradict_each_other_are_refused(probe, tmp_path):
    with pytest.raises(ProbeError, match=r"there is no probe\.json"):
        Probe.load(tmp_path)
    probe.save(tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    for change, message in (
        ({"extra": 1}, "cannot be read"),
        ({"tensors": "0" * 64}, "do not belong together"),
        ({"neurons": card["neurons"][:-1]}, "lists other neurons"),
        ({"C": "much"}, "cannot be read"),
    ):
        (tmp_path / CARD).write_text(json.dumps(card | change))
        with pytest.raises(ProbeError, match=message):
            Probe.load(tmp_path)
    (tmp_path / CARD).write_text(json.dumps(card))
    (tmp_path / TENSORS).write_bytes(b"\x80\x04N.")
    with pytest.raises(ProbeError, match="cannot be read"):
        Probe.load(tmp_path)


def test_a_solution_of_a_larger_model_is_refused(world):
    X, y = world.answers.contributions, world.answers.hallucinated
    path = fit_path(X, y, c_grid(X, y, 1, 10.0))
    small = MODEL.model_copy(update={"n_layers": 1, "n_neurons": 2})
    with pytest.raises(ProbeError, match="tiny has 2"):
        make_probe(
            path.solutions[0], path, small, scheme="1-vs-1", other="response", positions="at", date="", questions={}
        )


def test_a_quantized_copy_is_another_model_unless_it_is_asked_for(probe):
    copy = probe.card.model.model_copy(update={"quantization": "nf4", "weights_digest": "e" * 64})
    with pytest.raises(ProbeMismatchError, match=r"nf4 weights instead of original ones; .* with moved_to"):
        probe.require(copy)
    moved = probe.moved_to(copy)
    moved.require(copy)
    np.testing.assert_array_equal(moved.weights, probe.weights)
    with pytest.raises(ProbeMismatchError):
        moved.require(probe.card.model)
    with pytest.raises(ProbeMismatchError, match="n_neurons"):
        probe.moved_to(copy.model_copy(update={"n_neurons": copy.n_neurons + 1}))


def test_neurons_of_experts_are_named_and_only_those_that_there_are_count(tmp_path):
    layout = ExpertLayout(n_layers=4, n_experts=3, per_token=1, width=20, shared=4, dense=(3,), dense_width=30)
    mixture = MODEL.model_copy(update={"experts": layout})
    assert (mixture.neurons, MODEL.neurons) == (3 * 64 + 30, 4 * 64)
    assert mixture.absent.tolist() == list(range(3 * 64 + 30, 4 * 64))
    assert not len(MODEL.absent)
    there = np.array([7, 64 + 45, 2 * 64 + 62, 3 * 64 + 5])
    solution = Solution(1.0, there, np.array([1.0, 2.0, 3.0, -1.0]), 0.5, 0.0, 1)
    made = made_of(solution, mixture)
    assert [each.expert for each in made.card.neurons] == [0, 2, "shared", None]
    assert made.per_mille == 1000 * 3 / (3 * 64 + 30)
    made.save(tmp_path)
    listed = json.loads((tmp_path / CARD).read_text())["neurons"]
    assert [each.get("expert", "none") for each in listed] == [0, 2, "shared", "none"]
    assert Probe.load(tmp_path).card.model == mixture
    with pytest.raises(ProbeError, match="reads number 222, where a narrower layer of tiny has no neuron"):
        made_of(replace(solution, indices=np.array([7, 8, 9, 222])), mixture)


def made_of(solution, model):
    how = {"scheme": "1-vs-1", "other": "response", "positions": "at", "date": "2026-01-31", "questions": {}}
    return make_probe(solution, Path((solution,), "none", "free", None), model, **how)
