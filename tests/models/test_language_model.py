from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import hneurons
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.language_model import LanguageModel

Directory = Callable[..., Path]


@pytest.fixture
def copy(tiny_directory: Directory, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_directory("llama"), tmp_path / "model"))


def changed(directory: Path, change: Callable[[dict[str, Tensor]], object]) -> ModelFingerprint:
    weights = load_file(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return hneurons.load(directory, device="cpu").fingerprint


def test_the_fingerprint_is_the_same_for_the_same_weights(tiny_directory: Directory, copy: Path) -> None:
    one = hneurons.load(tiny_directory("llama"), device="cpu").fingerprint
    other = hneurons.load(copy, device="cpu").fingerprint
    assert one.name != other.name
    assert one.same_model(other)
    wider = hneurons.load(copy, device="cpu", dtype="float64").fingerprint
    assert one.same_model(wider)
    assert ModelFingerprint.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w["model.layers.1.mlp.down_proj.weight"][:, 17].mul_(2),  # one neuron is amplified
        lambda w: w["model.layers.0.self_attn.q_proj.weight"].add_(1e-3),  # tuned in the attention only
        lambda w: w["model.embed_tokens.weight"].mul_(1.001),
        lambda w: w["model.norm.weight"].add_(0.01),
    ],
)
def test_the_fingerprint_tells_a_tuned_twin(
    copy: Path, change: Callable[[dict[str, Tensor]], object], tiny_model: Callable[..., LanguageModel]
) -> None:
    original = tiny_model("llama").fingerprint
    assert not changed(copy, change).same_model(original)
    assert changed(copy, lambda w: None).n_neurons == original.n_neurons


def test_the_fingerprint_tells_other_seeds_and_families(tiny_model: Callable[..., LanguageModel]) -> None:
    prints = [tiny_model("llama"), tiny_model("llama", seed=1), tiny_model("llama", layers=3), tiny_model("gpt2")]
    assert len({model.fingerprint.weights_digest for model in prints}) == len(prints)


def test_ids_that_end_a_turn(copy: Path) -> None:
    assert hneurons.load(copy, device="cpu").eos_ids == {2}
    path = copy / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [9, 11]}))
    assert hneurons.load(copy, device="cpu").eos_ids == {2, 9, 11}  # the tokenizer's own always ends


def test_pad_id_falls_back_to_an_id_of_the_embedding(copy: Path) -> None:
    assert hneurons.load(copy, device="cpu").pad_id == 0
    model = hneurons.load(copy, device="cpu")
    model.tokenizer.pad_token = None
    model.config.pad_token_id = None
    assert model.pad_id == 2
    model = hneurons.load(copy, device="cpu")
    model.tokenizer.pad_token = "<beyond the embedding>"
    assert model.tokenizer.pad_token_id is None or model.tokenizer.pad_token_id >= 300
    assert 0 <= model.pad_id < model.hf.get_input_embeddings().num_embeddings


def test_layers_are_counted_from_zero(tiny_llama: LanguageModel) -> None:
    assert tiny_llama.block(2) is tiny_llama.hf.model.layers[2]
    assert tiny_llama.ffn(2) is tiny_llama.hf.model.layers[2].mlp
    for layer in (-1, 3):
        with pytest.raises(IndexError, match="layers 0 to 2"):
            tiny_llama.down(layer)


def test_opt_has_no_ffn_module_and_flattens_its_batch(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("opt")
    assert model.ffn(0) is model.block(0)
    shapes: list[tuple[int, ...]] = []
    handle = model.down(0).register_forward_hook(lambda _m, args, _o: shapes.append(tuple(args[0].shape)))
    model.hf(input_ids=torch.full((2, 5), 9))
    handle.remove()
    assert shapes == [(10, 48)]


def test_public_names() -> None:
    assert "load" in hneurons.__all__
    assert hneurons.LanguageModel is LanguageModel
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hneurons.nonsense
    for name in hneurons.__all__:
        assert getattr(hneurons, name) is not None
