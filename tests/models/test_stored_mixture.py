"""Where experts are in files, one by one or fused: each neuron's weights, and the fingerprint of the loaded model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hneurons.errors import ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.stored import StoredModel, open_stored
from hneurons.models.stored_experts import StoredPart

Directory = Callable[..., Path]
Make = Callable[..., LanguageModel]


def saved(model: LanguageModel, directory: Path, original: bool) -> StoredModel:
    """Files as they are published, or as the loaded model holds its parameters."""
    model.hf.save_pretrained(directory, save_original_format=original)
    model.tokenizer.save_pretrained(directory)
    return open_stored(directory)


def rows(part: StoredPart) -> Tensor:
    """(neurons, hidden): the weights of each neuron."""
    matrix = part.tensor.values(slice(None)).reshape(part.tensor.shape)
    by_row = matrix if part.by_row else matrix.T
    return by_row[part.start : part.start + part.step * part.n_neurons : part.step]


def by_hand(state: dict[str, Tensor], gpt: bool, layer: int, expert: int | str | None, index: int) -> dict[str, Tensor]:
    """A neuron's weights by the parameters of the loaded model."""
    path = f"model.layers.{layer}.mlp."
    if expert is None or expert == "shared":
        shared = ("shared_expert.", "shared_experts.")
        name = "" if expert is None else next(n for n in shared if f"{path}{n}up_proj.weight" in state)
        return {
            "up": state[f"{path}{name}up_proj.weight"][index],
            "gate": state[f"{path}{name}gate_proj.weight"][index],
            "down": state[f"{path}{name}down_proj.weight"][:, index],
        }
    packed, down = state[f"{path}experts.gate_up_proj"][expert], state[f"{path}experts.down_proj"][expert]
    if gpt:
        return {"gate": packed[:, 2 * index], "up": packed[:, 2 * index + 1], "down": down[index]}
    return {"gate": packed[index], "up": packed[len(packed) // 2 + index], "down": down[:, index]}


@pytest.mark.parametrize("original", [True, False])
def test_every_neuron_is_found(original: bool, moe_family: str, tiny_model: Make, tmp_path: Path) -> None:
    model = tiny_model(moe_family, layers=3)
    stored = saved(model, tmp_path, original)
    apart = any(".experts.0." in key for key in stored.tensors)
    assert apart == (original and moe_family != "gpt_oss")
    assert stored.layout == model.layout
    state = model.hf.state_dict()
    for layer in range(3):
        for projection in ("up", "gate", "down"):
            parts = stored.parts(projection, layer)
            assert [part.first for part in parts] == sorted(part.first for part in parts)
            found = torch.cat([rows(part) for part in parts])
            assert len(found) == model.neurons_in(layer)
            for index, own in enumerate(found):
                expected = by_hand(state, moe_family == "gpt_oss", layer, *model.expert_of(layer, index))
                assert torch.equal(own, expected[projection])
    fingerprint = stored.fingerprint()
    assert fingerprint is not None
    assert fingerprint.same_model(model.fingerprint)
    assert fingerprint.experts == model.layout


def test_other_weights_have_another_fingerprint(tiny_directory: Directory, tiny_model: Make) -> None:
    for family in ("mixtral", "gpt_oss"):
        other = open_stored(tiny_directory(family, layers=3, seed=1)).fingerprint()
        assert other is not None
        assert not other.same_model(tiny_model(family, layers=3).fingerprint)


def test_a_missing_or_doubled_expert_is_refused(tiny_directory: Directory, tmp_path: Path) -> None:
    def change(name: str, how: Callable[[dict[str, Tensor]], object]) -> Path:
        path = Path(shutil.copytree(tiny_directory("mixtral", layers=3), tmp_path / name))
        weights = load_file(path / "model.safetensors")
        how(weights)
        save_file(weights, path / "model.safetensors", {"format": "pt"})
        return path

    expert = "model.layers.1.block_sparse_moe.experts.{}.w2.weight"
    with pytest.raises(ModelError, match=r"experts\.3\.w2 in the files of .* there is none"):
        open_stored(change("missing", lambda weights: weights.pop(expert.format(3))))
    with pytest.raises(ModelError, match="stored neither one by one nor in fused parameters"):
        open_stored(change("first", lambda weights: weights.pop(expert.format(0))))
    both = {"model.layers.1.mlp.experts.down_proj": torch.zeros(6, 32, 16)}
    with pytest.raises(ModelError, match="stored both one by one and in fused parameters"):
        open_stored(change("both", lambda weights: weights.update(both)))
    with pytest.raises(ModelError, match=r"config\.json asks for \(32, 16\)"):
        open_stored(change("shape", lambda weights: weights.update({expert.format(2): torch.zeros(32, 15)})))
