"""Drift: scores, ranks and verdicts are those of plain sums over the distances."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from tests.origins.naive_drift import (
    DRAWS,
    HNEURONS,
    Directory,
    Weights,
    naive,
    perturb,
    rewrite,
)

from hneurons.errors import ModelError
from hneurons.models.stored import open_stored
from hneurons.origins.drift import distances, drift, ranks, scores
from hneurons.origins.record import Drift


def test_scores_and_ranks_are_those_of_scipy(pair: tuple[Path, Path]) -> None:
    found, expected = distances(*map(open_stored, pair)), naive(*pair)
    z = {name: stats.zscore(values, axis=None) for name, values in expected.items()}
    for which, names in {"up+down": ["up", "down"], "up+gate+down": ["up", "gate", "down"], "gate": ["gate"]}.items():
        score = np.mean([z[name] for name in names], axis=0)
        np.testing.assert_allclose(scores(found, which), score, atol=1e-9)  # type: ignore[arg-type]
        place = (stats.rankdata([-value for value in score.ravel()]) - 1) / (score.size - 1)
        np.testing.assert_allclose(ranks(score).ravel(), place, atol=1e-15)
        assert ranks(score).ravel()[score.argmax()] == 0
        assert ranks(score).ravel()[score.argmin()] == 1


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert ranks(np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 7.0]])).tolist() == [[0.2, 0.6], [0.6, 0.6], [1.0, 0.0]]


def test_the_record_holds_what_the_naive_loop_finds(pair: tuple[Path, Path]) -> None:
    expected = naive(*pair)
    score = sum(stats.zscore(expected[name], axis=None) for name in ("up", "down")) / 2
    place = (stats.rankdata(-score).reshape(score.shape) - 1) / (score.size - 1)
    found = drift(*map(open_stored, pair), HNEURONS, **DRAWS)
    assert Drift.model_validate_json(found.model_dump_json()) == found
    assert [each.neuron for each in found.hneurons] == HNEURONS
    for each in found.hneurons:
        layer, index = each.neuron
        assert (each.up, each.gate, each.down) == pytest.approx(
            tuple(expected[name][layer, index] for name in ("up", "gate", "down")), rel=1e-9
        )
        assert each.score == pytest.approx(score[layer, index], rel=1e-9)
        assert each.rank == pytest.approx(place[layer, index])
        assert each.layer_rank == pytest.approx((score[layer] > score[layer, index]).sum() / 47)
    for layer, row in enumerate(found.layers):
        assert row.layer == layer
        assert (row.up, row.gate, row.down) == pytest.approx(
            tuple(expected[name][layer].mean() for name in ("up", "gate", "down")), rel=1e-9
        )
        assert row.mean_rank == pytest.approx(place[layer].mean())
    assert found.median_distance == pytest.approx({name: np.median(each) for name, each in expected.items()})
    assert (found.unchanged, found.frozen, found.n_layers, found.n_neurons) == (0, (), 2, 48)
    assert [test.score for test in found.tests] == ["up+down", "up+gate+down", "up", "gate", "down"]
    assert found.tests[0].mean_rank.value == pytest.approx(np.mean([place[at] for at in HNEURONS]))
    assert found.tests[3].mean_rank.value == pytest.approx(np.mean([ranks(expected["gate"])[at] for at in HNEURONS]))


def test_frozen_projections_add_nothing(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    before = load_file(base / "model.safetensors")

    def freeze(weights: Weights) -> None:
        weights.update({key: before[key] for key in weights if "up_proj" in key or "gate_proj" in key})
        weights["model.layers.0.mlp.down_proj.weight"][:, :5] = before["model.layers.0.mlp.down_proj.weight"][:, :5]

    rewrite(tuned, freeze)
    found = drift(open_stored(base), open_stored(tuned), HNEURONS, **DRAWS)
    assert found.frozen == ("up", "gate")
    assert found.unchanged == 5
    assert [test.score for test in found.tests] == ["up+down", "up+gate+down", "down"]
    z = stats.zscore(naive(base, tuned)["down"], axis=None)
    assert [each.score for each in found.hneurons] == pytest.approx([z[at] / 2 for at in HNEURONS], rel=1e-9)


def test_a_plain_ffn_has_no_gate(tiny_directory: Directory, copy: Callable[..., Path]) -> None:
    base = tiny_directory("opt")
    stored = open_stored(base), open_stored(rewrite(copy(base), perturb))
    found = drift(*stored, HNEURONS, **DRAWS)
    assert found.hneurons[0].gate is found.layers[0].gate is None
    assert [test.score for test in found.tests] == ["up+down", "up", "down"]
    with pytest.raises(ModelError, match="no gate-projection in a plain FFN"):
        scores(distances(*stored), "up+gate+down")


def test_a_change_of_length_alone_is_no_drift_but_a_change(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    shutil.copy(base / "model.safetensors", tuned)
    rewrite(tuned, lambda w: [value.mul_(1.7) for key, value in w.items() if "mlp" in key])
    rewrite(base, lambda w: {key: value.double() for key, value in w.items()})
    rewrite(tuned, lambda w: {key: 1.3 * load_file(base / "model.safetensors")[key] for key in w})
    with pytest.raises(ModelError, match="every neuron points the same way"):
        distances(open_stored(base), open_stored(tuned))

    def turn(weights: Weights) -> None:
        weights["model.layers.0.mlp.up_proj.weight"][3] += torch.linspace(0, 1, 32)

    rewrite(tuned, turn)
    found = drift(open_stored(base), open_stored(tuned), HNEURONS, **DRAWS)
    assert (found.unchanged, found.frozen) == (0, ())
    assert found.hneurons[0].up > 0.01
    assert found.hneurons[1].up == found.hneurons[1].down == 0


def planted(pair: tuple[Path, Path], own: float, others: float) -> Drift:
    """H-Neurons that move by `own`, others by `others` times as much as a third that both do."""
    base, tuned = pair
    shutil.copy(base / "model.safetensors", tuned)
    chosen = [(layer, index) for layer in range(2) for index in range(0, 48, 4)]

    def move(weights: Weights) -> None:
        random = torch.Generator().manual_seed(3)
        for layer in range(2):
            for name in ("up", "gate", "down"):
                weight = weights[f"model.layers.{layer}.mlp.{name}_proj.weight"]
                size = torch.full((48,), others)
                size[::4] = own
                noise = torch.randn(weight.shape, generator=random)
                weight += 0.1 * noise * (size if name == "down" else size[:, None]) * weight.std()

    rewrite(tuned, move)
    return drift(open_stored(base), open_stored(tuned), chosen, draws=1000, resamples=200)


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        (0.5, 1.0, ": less changed than others of their layers (p = 0.001)."),
        (2.0, 1.0, ": MORE changed than others of their layers (p = 0.001)."),
        (1.0, 1.0, ": NOT less changed than others of their layers (p = "),
    ],
)
def test_the_sentence_says_what_holds(own: float, others: float, verdict: str, pair: tuple[Path, Path]) -> None:
    found = planted(pair, own, others)
    mean = found.tests[0].mean_rank
    assert verdict in found.sentence
    assert f"The 24 H-Neurons rank at {mean.value:.2f} on average [{mean.low:.2f}, {mean.high:.2f}]" in found.sentence
    matched = found.tests[0].matched
    assert f"neurons of the same layers rank at {matched.low:.2f} to {matched.high:.2f}:" in found.sentence


def test_a_single_h_neuron_has_a_sentence_too(pair: tuple[Path, Path]) -> None:
    found = drift(*map(open_stored, pair), [(1, 4)], **DRAWS)
    assert found.sentence.startswith(f"The one H-Neuron ranks at {found.hneurons[0].rank:.2f} (0 changed most")
