"""What cannot be exported is refused with the reason and what to do, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hneurons.errors import ExportError, InterventionError, ModelError, UnsupportedModelError
from hneurons.interventions.export import export

NEURONS = [(0, 3)]


@pytest.fixture
def copy(tiny_directory: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_directory("llama"), tmp_path / "model"))


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
def test_factors_that_make_no_sense(alpha: float, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InterventionError, match="alpha is"):
        export(copy, NEURONS, alpha, tmp_path / "out")
    assert left(tmp_path) == ["model"]


def test_no_neurons_and_neurons_that_do_not_exist(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no neurons to turn"):
        export(copy, [], 0.0, tmp_path / "out")
    with pytest.raises(ModelError, match=r"has no neuron \(0, 48\)"):
        export(copy, [(0, 48)], 0.0, tmp_path / "out")
    assert left(tmp_path) == ["model"]


def test_a_place_that_is_taken(copy: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")
    for place in (taken, taken / "mine", copy):
        with pytest.raises(ExportError, match="is there already"):
            export(copy, NEURONS, 0.0, place)
    assert left(taken) == ["mine"]
    (taken / "mine").unlink()
    export(copy, NEURONS, 0.0, taken)  # empty is as good as not there
    assert "model.safetensors" in left(taken)


def test_a_place_in_the_base_model_s_own_directory(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    before = left(copy)
    for place in (copy / "edited", copy / "a" / "b", tmp_path / "link" / "edited"):
        with pytest.raises(ExportError, match="in the base model's own directory"):
            export(copy, NEURONS, 0.0, place)
    assert left(copy) == before


def test_a_place_that_is_a_link(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for number, place in enumerate((tmp_path / "empty", tmp_path / "nowhere")):
        link = tmp_path / f"link {number}"
        link.symlink_to(place)
        with pytest.raises(ExportError, match="is a link; give the directory itself"):
            export(copy, NEURONS, 0.0, link)
    assert left(tmp_path) == ["empty", "link 0", "link 1", "model"]
    assert left(tmp_path / "empty") == []
    (tmp_path / "parent").symlink_to(tmp_path / "empty")
    export(copy, NEURONS, 0.0, tmp_path / "parent" / "out")  # above it, links are as good as directories
    assert left(tmp_path / "empty") == ["out"]


@pytest.mark.parametrize("name", ["LICENSE", "tokenizer_secret", "additional_chat_templates/a.jinja"])
def test_links_out_of_the_model_are_not_followed(name: str, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("private")
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).symlink_to(tmp_path / "private")
    with pytest.raises(ExportError, match=r"is a link to .*private, which is no part of"):
        export(copy, NEURONS, 0.0, tmp_path / "out")
    assert left(tmp_path) == ["model", "private"]
    (copy / name).unlink()
    (copy / name).symlink_to(copy / "config.json")
    assert name in export(copy, NEURONS, 0.0, tmp_path / "out").copied
    assert (tmp_path / "out" / name).read_bytes() == (copy / "config.json").read_bytes()
    assert not (tmp_path / "out" / name).is_symlink()


def test_links_as_in_the_hub_cache(copy: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "repository" / "blobs", tmp_path / "repository" / "snapshots" / "commit"
    shutil.copytree(copy, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    copied = export(snapshot, NEURONS, 0.0, tmp_path / "out").copied
    assert "config.json" in copied
    assert copied == export(copy, NEURONS, 0.0, tmp_path / "other").copied
    (tmp_path / "repository" / "refs").write_text("another part of the cache")
    (snapshot / "LICENSE").symlink_to("../../refs")
    with pytest.raises(ExportError, match="is no part of"):
        export(snapshot, NEURONS, 0.0, tmp_path / "third")


def test_a_star_stays_in_one_folder(copy: Path, tmp_path: Path) -> None:
    names = ("tokenizer_old/secret", "vocab/deep/x.json", "sub/x.model", "additional_chat_templates/deep/a.jinja")
    for name in (*names, "additional_chat_templates/a.jinja"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("x")
    report = export(copy, NEURONS, 0.0, tmp_path / "out")
    assert set(report.left_out) == set(names)
    assert "additional_chat_templates/a.jinja" in report.copied
    assert not any((tmp_path / "out" / name).exists() for name in names)


def test_a_disk_that_is_too_small(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(free=10_000_000))
    with pytest.raises(ExportError, match=r"the copy takes 0\.1 GB, and .* has 0\.0 GB free"):
        export(copy, NEURONS, 0.0, tmp_path / "out")
    assert left(tmp_path) == ["model"]


def test_an_overflow_in_the_middle_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    file = copy / "model.safetensors"
    weights = {key: value.half() for key, value in load_file(file).items()}
    weights["model.layers.1.mlp.down_proj.weight"][0, 3] = 60_000
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ExportError, match="larger than F16 can store"):
        export(copy, [(0, 3), (1, 3)], 2.0, tmp_path / "out")
    assert left(tmp_path) == ["model"]


def test_eight_bit_floats(copy: Path, tmp_path: Path) -> None:
    file = copy / "model.safetensors"
    weights = load_file(file)
    key = "model.layers.0.mlp.down_proj.weight"
    weights[key] = weights[key].to(torch.float8_e4m3fn)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ExportError, match=r"stored as F8_E4M3.*turn the neurons at run time"):
        export(copy, NEURONS, 0.0, tmp_path / "out")
    export(copy, [(1, 3)], 0.0, tmp_path / "out")  # the other layer's is an ordinary one


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_experts": 4}, "mixture of experts"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "weights quantized by gptq"),
    ],
)
def test_experts_and_quantized_weights(settings: dict[str, object], message: str, copy: Path, tmp_path: Path) -> None:
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(UnsupportedModelError, match=message):
        export(copy, NEURONS, 0.0, tmp_path / "out")
    assert left(tmp_path) == ["model"]
