"""What a model's files say of it is what the loaded model is: its fingerprint, and where its down-projections lie."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hneurons
from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.safetensors_file import read_tensors
from hneurons.models.stored import open_stored

Directory = Callable[..., Path]
Weights = dict[str, torch.Tensor]


@pytest.fixture
def copy(tiny_directory: Directory, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_directory("llama"), tmp_path / "model"))


def rewrite(path: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(path / "model.safetensors")
    changed = change(weights)
    save_file(changed if isinstance(changed, dict) else weights, path / "model.safetensors", {"format": "pt"})


def test_the_files_tell_the_fingerprint_of_the_loaded_model(
    tiny_family: str, tiny_directory: Directory, tiny_model: Callable[..., LanguageModel]
) -> None:
    stored, model = open_stored(tiny_directory(tiny_family)), tiny_model(tiny_family)
    assert stored.fingerprint() == model.fingerprint
    other = open_stored(tiny_directory(tiny_family, seed=1)).fingerprint()
    assert other is not None
    assert not other.same_model(model.fingerprint)
    for layer, tensor in enumerate(stored.down):
        values = tensor.values(slice(None)).reshape(tensor.shape)
        assert torch.equal(values.T if stored.anatomy.conv1d else values, model.down_weight(layer))
    packed = stored.anatomy.packed is not None
    assert (stored.gate is stored.up) == packed
    assert (stored.gate is None) == (not stored.anatomy.gated)
    for layer in range(stored.n_layers):
        parts = model.parts(layer)
        for tensors, projection in ((stored.up, parts.up), (stored.gate, parts.gate)):
            if tensors is not None:
                values = tensors[layer].values(slice(None)).reshape(tensors[layer].shape)
                assert torch.equal(values, projection.weight)  # as it is stored: by Conv1D transposed
                assert len(values) == (32 if stored.anatomy.conv1d else 96 if packed else stored.n_neurons)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_the_fingerprint_is_that_of_the_type_it_is_loaded_in(dtype: str, copy: Path) -> None:
    loaded = hneurons.load(copy, dtype=dtype, device="cpu").fingerprint
    assert open_stored(copy).fingerprint(dtype) == loaded
    assert (open_stored(copy).fingerprint() == loaded) == (dtype == "float64")  # wider types keep it


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_stored_in_any_type(dtype: torch.dtype, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"dtype": str(dtype).removeprefix("torch.")}
    (copy / "config.json").write_text(json.dumps(config))
    rewrite(copy, lambda w: {key: value.to(dtype) for key, value in w.items()})
    assert open_stored(copy).fingerprint() == hneurons.load(copy, device="cpu").fingerprint


@pytest.mark.parametrize(
    ("family", "old", "new"),
    [
        ("gpt2", "transformer.", ""),
        ("bloom", "transformer.", ""),
        ("gemma3", "language_model.model.", "model.language_model."),
        ("opt", "model.decoder.", "decoder."),
    ],
)
def test_published_layouts_with_other_prefixes(
    family: str, old: str, new: str, tiny_directory: Directory, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(tiny_directory(family), tmp_path / "model"))
    rewrite(path, lambda w: {key.replace(old, new, 1): value for key, value in w.items()})
    stored = open_stored(path)
    assert all(tensor.key.startswith(new) and old not in tensor.key for tensor in stored.down)
    assert stored.fingerprint() == hneurons.load(path, device="cpu").fingerprint


def test_a_vision_tower_with_like_names_is_passed_over(tiny_directory: Directory) -> None:
    stored = open_stored(tiny_directory("gemma3"))
    assert any("vision_tower" in key and "mlp.fc2" in key for key in stored.tensors)
    assert stored.gate is not None
    assert all("vision_tower" not in tensor.key for tensor in (*stored.down, *stored.up, *stored.gate))


def test_where_a_weight_is_missing_there_is_no_fingerprint(copy: Path) -> None:
    rewrite(copy, lambda w: w.pop("model.norm.weight"))
    assert open_stored(copy).fingerprint() is None


@pytest.mark.parametrize("projection", ["up", "gate", "down"])
def test_a_missing_a_doubled_and_a_misshapen_projection_are_refused(projection: str, copy: Path) -> None:
    key = f"model.layers.1.mlp.{projection}_proj.weight"
    whole = load_file(copy / "model.safetensors")
    right = tuple(whole[key].shape)

    rewrite(copy, lambda w: w.pop(key))
    with pytest.raises(ModelError, match=rf"weight of model\.layers\.1\.mlp\.{projection}_proj .* there is none"):
        open_stored(copy)
    save_file(whole | {key.removeprefix("model."): whole[key].clone()}, copy / "model.safetensors")
    with pytest.raises(ModelError, match="there is several"):
        open_stored(copy)
    save_file(whole | {key: whole[key].T.contiguous()}, copy / "model.safetensors")
    message = f"{key} of {copy} is {right[::-1]}, and config.json asks for {right}"
    with pytest.raises(ModelError, match=re.escape(message)):
        open_stored(copy)


def test_half_of_a_packed_projection_is_refused(tiny_directory: Directory, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_directory("phi3"), tmp_path / "model"))
    key = "model.layers.0.mlp.gate_up_proj.weight"
    rewrite(path, lambda w: w.update({key: w[key][:48].clone()}))
    with pytest.raises(ModelError, match=r"is \(48, 32\), and config\.json asks for \(96, 32\)"):
        open_stored(path)


@pytest.mark.parametrize("projection", ["up", "gate", "down"])
def test_scales_beside_a_weight_mean_quantized(projection: str, copy: Path) -> None:
    key = f"model.layers.0.mlp.{projection}_proj.weight_scale"
    rewrite(copy, lambda w: w.update({key: torch.ones(1)}))
    with pytest.raises(UnsupportedModelError, match=rf"quantized weights .*{projection}_proj\.weight_scale"):
        open_stored(copy)


def test_a_file_that_is_cut_short_or_no_such_file_is_refused(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged or cut short"):
        open_stored(copy)
    file.write_bytes(b"not a safetensors file")
    with pytest.raises(ModelError, match="damaged or cut short"):
        open_stored(copy)


def test_pickled_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are never read"):
        open_stored(copy)


def sharded(path: Path) -> Path:
    hneurons.load(path, device="cpu").hf.save_pretrained(path, max_shard_size="20KB")
    (path / "model.safetensors").unlink()
    return path


def test_shards_are_found_by_their_index(copy: Path) -> None:
    before = open_stored(copy).fingerprint()
    stored = open_stored(sharded(copy))
    assert len(stored.files) > 2
    assert stored.fingerprint() == before


def test_shards_without_an_index_and_an_index_without_a_shard_are_refused(copy: Path) -> None:
    index = sharded(copy) / "model.safetensors.index.json"
    text = index.read_text()
    index.unlink()
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        open_stored(copy)
    for damaged in ("{", json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}), json.dumps({"weight_map": {}})):
        index.write_text(damaged)
        with pytest.raises(ModelError):
            open_stored(copy)
    index.write_text(text)
    next(copy.glob("model-00002*")).unlink()
    with pytest.raises(ModelError, match=r"weight files of .* are missing"):
        open_stored(copy)


def test_an_adapter_is_not_the_model_s(copy: Path) -> None:
    save_file({"base_model.model.layers.0.mlp.down_proj.lora_A.weight": torch.ones(2, 2)}, copy / "adapter.safetensors")
    assert [file.name for file in open_stored(copy).files] == ["model.safetensors"]


def test_values_are_read_where_they_lie(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    for key, tensor in read_tensors(copy / "model.safetensors").items():
        assert torch.equal(tensor.values(slice(3, 20, 5)), weights[key].flatten()[3:20:5])
        if weights[key].ndim == 2:
            pieces = [piece.clone() for piece in tensor.pieces(3, 10, 2)]
            assert [len(piece) for piece in pieces] == [2, 2, 2, 1]
            assert torch.equal(torch.cat(pieces), weights[key][3:10])


def test_a_file_that_is_cut_short_while_it_is_read_is_refused(copy: Path) -> None:
    file = copy / "model.safetensors"
    last = max(read_tensors(file).values(), key=lambda tensor: tensor.start)
    matrix = replace(last, shape=(last.shape[0], last.nbytes // 4 // last.shape[0]))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match=f"ends within {re.escape(last.key)}"):
        list(matrix.pieces(0, last.shape[0], 5))


def test_a_hub_model_comes_from_the_cache(
    tiny_directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--some--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(tiny_directory("llama"), snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stored = open_stored("some/tiny")
    assert (stored.revision, stored.directory) == ("a" * 40, snapshot)
    assert stored.fingerprint() == hneurons.load("some/tiny", device="cpu").fingerprint
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        open_stored("some/tiny")
