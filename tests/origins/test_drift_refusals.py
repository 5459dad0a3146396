"""What cannot be compared is refused, with the reason, before anything is read in vain."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests.origins.naive_drift import (
    DRAWS,
    HNEURONS,
    Directory,
    Weights,
    rewrite,
)

from hneurons.errors import ModelError, ProbeMismatchError
from hneurons.models.safetensors_file import StoredTensor
from hneurons.models.stored import open_stored
from hneurons.origins.drift import distances, drift


def test_models_that_hardly_look_alike_are_said_to(tiny_directory: Directory, pair: tuple[Path, Path]) -> None:
    other = open_stored(tiny_directory("llama", seed=1))
    found = drift(open_stored(pair[0]), other, HNEURONS, **DRAWS)
    assert found.median_distance["up"] > 0.5
    assert "hardly look like a model and its tuned version" in found.sentence
    assert "hardly" not in drift(*map(open_stored, pair), HNEURONS, **DRAWS).sentence


@pytest.mark.parametrize(
    ("family", "config"),
    [("llama", {"layers": 3}), ("llama", {"intermediate_size": 40}), ("llama", {"hidden_size": 16}), ("phi", {})],
)
def test_models_of_different_sizes_or_kinds_are_refused(
    family: str, config: dict[str, int], tiny_directory: Directory
) -> None:
    with pytest.raises(ModelError, match="neither can be tuned from the other"):
        distances(open_stored(tiny_directory("llama")), open_stored(tiny_directory(family, **config)))


def test_transposed_and_ordinary_weights_are_not_compared(tiny_directory: Directory) -> None:
    with pytest.raises(ModelError, match="only one of them stores its weights transposed"):
        distances(open_stored(tiny_directory("gpt2")), open_stored(tiny_directory("opt")))


def test_the_same_model_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match=r"every neuron is the same in .* nothing drifted"):
        distances(open_stored(pair[0]), open_stored(pair[0]))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("projection", ["up", "gate", "down"])
def test_a_weight_that_is_no_number_is_refused(
    projection: str, which: int, value: float, pair: tuple[Path, Path]
) -> None:
    key = f"model.layers.1.mlp.{projection}_proj.weight"

    def spoil(weights: Weights) -> None:
        weights[key][(2, 7) if projection == "down" else (7, 2)] = value

    rewrite(pair[which], spoil)
    with pytest.raises(ModelError, match=rf"neuron 7 in {key} of .*{pair[which].name} is not a finite number"):
        distances(*map(open_stored, pair))


def test_zeros_in_one_model_are_refused_and_in_both_are_no_distance(pair: tuple[Path, Path]) -> None:
    def silence(weights: Weights) -> None:
        weights["model.layers.1.mlp.down_proj.weight"][:, 9] = 0

    rewrite(pair[1], silence)
    with pytest.raises(ModelError, match=r"neuron 9 has only zeros in .*layers\.1\.mlp\.down_proj.*tuned.*alpha 0"):
        distances(*map(open_stored, pair))
    rewrite(pair[0], silence)
    assert distances(*map(open_stored, pair)).down[1, 9] == 0


def test_h_neurons_of_another_model_are_refused_before_anything_is_read(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = list(map(open_stored, pair))
    monkeypatch.setattr(StoredTensor, "pieces", None)
    for outside in ((2, 0), (0, 48), (-1, 0)):
        with pytest.raises(ProbeMismatchError, match="of another model"):
            drift(*stored, [(0, 3), outside])


def test_eight_bit_weights_are_refused(pair: tuple[Path, Path]) -> None:
    def narrow(weights: Weights) -> None:
        key = "model.layers.1.mlp.up_proj.weight"
        weights[key] = weights[key].to(torch.float8_e4m3fn)

    rewrite(pair[1], narrow)
    with pytest.raises(ModelError, match=r"up_proj\.weight .* stored as F8_E4M3, whose values need scales"):
        distances(*map(open_stored, pair))
