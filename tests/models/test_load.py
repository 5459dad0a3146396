from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

import hneurons
from hneurons.contributions import Item, collect
from hneurons.contributions.tokens import TokenReader
from hneurons.errors import ModelError, ModelNotFoundError, UnsupportedModelError
from hneurons.interventions import scale
from hneurons.models import source as source_module
from hneurons.models.check import inspect_model
from hneurons.models.language_model import LanguageModel
from hneurons.models.registered import RegisteredModel
from hneurons.models.source import hub_error
from hneurons.models.tail import Tail
from hneurons.responses.sampling import Prompt, Sampling, sample

Directory = Callable[..., Path]


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, RegisteredModel]:
    """Registered models of these tests: none, until a test adds one."""
    found: dict[str, RegisteredModel] = {}
    monkeypatch.setattr(source_module, "registered", lambda _group: found)
    return found


@pytest.fixture
def copy(tiny_directory: Directory, tmp_path: Path) -> Path:
    """A tiny Llama of one's own."""
    return Path(shutil.copytree(tiny_directory("llama"), tmp_path / "model"))


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(directory: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(directory / "model.safetensors")
    edit(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def test_what_is_loaded_is_the_model_itself(tiny_directory: Directory, tiny_llama: LanguageModel) -> None:
    path = tiny_directory("llama", layers=3)
    reference = AutoModelForCausalLM.from_pretrained(path)
    ids = torch.arange(8, 20)[None]
    torch.testing.assert_close(tiny_llama.hf(input_ids=ids).logits, reference(input_ids=ids).logits, rtol=0, atol=0)
    assert (tiny_llama.n_layers, tiny_llama.n_neurons, tiny_llama.hidden_size, tiny_llama.neurons) == (3, 48, 32, 144)
    assert tiny_llama.device == torch.device("cpu")
    assert tiny_llama.name == str(path)
    assert tiny_llama.revision is None
    assert not tiny_llama.hf.training
    assert not any(parameter.requires_grad for parameter in tiny_llama.hf.parameters())


def test_dtype_auto_is_the_stored_one(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.update({k: v.bfloat16() for k, v in weights.items()}))
    edit_config(copy, dtype="bfloat16")
    assert hneurons.load(copy, device="cpu").dtype == torch.bfloat16
    assert hneurons.load(copy, device="cpu", dtype=torch.float32).dtype == torch.float32


def test_a_registered_name_comes_first(
    names: dict[str, RegisteredModel], tiny_directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["tiny"] = RegisteredModel(tiny_directory("llama"), "a tiny model")
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    model = hneurons.load("tiny", device="cpu")
    assert model.name == "tiny"
    assert model.n_layers == 2


def test_a_relative_directory_needs_no_name(tiny_directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_directory("llama")
    monkeypatch.chdir(path.parent)
    assert hneurons.load(path.name, device="cpu").n_layers == 2


def test_offloaded_weights_give_the_same_figures(tiny_directory: Directory) -> None:
    path = tiny_directory("llama")
    places = dict.fromkeys(("model.layers.0", "model.norm", "lm_head", "model.rotary_emb"), "cpu")
    away = hneurons.load(path, device_map=places | {"model.embed_tokens": "disk", "model.layers.1": "disk"})
    here = hneurons.load(path, device="cpu")
    down: Any = away.down(1)
    assert down.weight.is_meta
    assert away.device == torch.device("cpu")
    torch.testing.assert_close(away.column_norms(), here.column_norms(), rtol=0, atol=0)
    assert away.fingerprint == here.fingerprint


def test_layers_that_stay_in_the_files_give_the_same_numbers(tiny_directory: Directory) -> None:
    """Automatic placement: what does not fit in memory is read from the files when its turn comes."""
    path = tiny_directory("llama", layers=4)
    here, away = hneurons.load(path, device="cpu"), hneurons.load(path, device_map="auto", max_memory={"cpu": "130KB"})
    assert {str(place) for place in away.hf.hf_device_map.values()} == {"cpu", "disk"}
    down: Any = away.down(3)
    assert down.weight.is_meta
    items = [Item("a", (5, 17, 40), (9, 30, 77), (1,)), Item("b", (8, 3), (100, 7), (0,))]
    prompts = [Prompt(str(number), item.prompt_ids, "") for number, item in enumerate(items)]
    found = []
    for model in (here, away):
        numbers = [collect(model, items).answer, collect(model, items).hidden_answer]
        with scale(model, [(0, 3), (3, 40)], 3.0):
            numbers.append(collect(model, items).answer)
        numbers.append(TokenReader(model, [(3, 1), (0, 2)]).read(lambda model=model: forwarded(model))[1])
        with torch.no_grad():
            numbers.append(Tail(model)(torch.ones(1, model.hidden_size)).numpy())
        said = sample(model, prompts, Sampling(n_samples=3, max_new_tokens=4))
        found.append((numbers, [[each.token_ids for each in own] for own in said]))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(found[0][0][0], found[0][0][2])  # scaling does something
    assert found[0][1] == found[1][1]


def test_one_weight_of_what_stays_in_the_files_is_in_memory_at_a_time(tiny_directory: Directory) -> None:
    away = hneurons.load(tiny_directory("llama", layers=4), device_map={"": "disk"})
    present: list[set[str]] = []

    def look(*_: Any) -> None:
        present.append({name for name, parameter in away.hf.named_parameters() if not parameter.is_meta})

    projections = [away.down(layer) for layer in range(away.n_layers)]
    for module in projections:  # within accelerate's own, which brings the weights
        plain: Any = module._old_forward
        module._old_forward = lambda *states, plain=plain: (look(), plain(*states))[1]
    forwarded(away)
    assert present == [{f"model.layers.{layer}.mlp.down_proj.weight"} for layer in range(away.n_layers)]
    away.column_norms()
    look()
    assert present[-1] == set()


def forwarded(model: LanguageModel) -> Any:
    with torch.no_grad():
        return model.hf(input_ids=torch.tensor([[5, 17, 40, 9]]), use_cache=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_memory": {"cpu": "1GB"}}, "max_memory and offload_folder belong to device_map"),
        ({"device_map": "auto", "max_memory": {"gpu": "1GB"}}, "name accelerators by number"),
        ({"device_map": "auto", "max_memory": {"0": "much"}}, "give bytes, or a size such as '20GiB'"),
    ],
)
def test_limits_that_make_no_sense_are_refused(copy: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        hneurons.load(copy, **arguments)


def missing_shard(directory: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(directory)
    (directory / "model.safetensors").unlink()
    model.save_pretrained(directory, max_shard_size="20KB")
    sorted(directory.glob("model-*.safetensors"))[1].unlink()


def pickled(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def adapter(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "adapter_config.json").write_text("{}")


def no_tokenizer(directory: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (directory / name).unlink(missing_ok=True)


def made_up_tokenizer(directory: Path) -> None:
    shutil.rmtree(directory)
    AutoModelForCausalLM.from_config(
        AutoConfig.for_model("qwen2", hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    ).save_pretrained(directory)


def half(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DOWN = "model.layers.1.mlp.down_proj"


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda d: (d / "config.json").unlink(), ModelNotFoundError, "holds no config.json"),
        (lambda d: (d / "config.json").write_text("{oh"), ModelError, "is damaged or names no model_type"),
        (lambda d: (d / "config.json").write_text("[]"), ModelError, "is damaged or names no model_type"),
        (lambda d: (d / "model.safetensors").unlink(), ModelError, "holds no model.safetensors; download the weights"),
        (lambda d: (d / "model.safetensors").write_bytes(b"oh"), ModelError, "are damaged or do not fit"),
        (lambda d: (d / "model.safetensors.index.json").write_text("[]"), ModelError, "index.json is damaged"),
        (half, ModelError, "are damaged or do not fit"),
        (missing_shard, ModelError, r"1 of \d+ weight files .* are missing \(model-00002"),
        (pickled, ModelError, "pickled weights are never read"),
        (adapter, ModelError, "it is an adapter: merge it"),
        (no_tokenizer, ModelError, "has no tokenizer"),
        (made_up_tokenizer, ModelError, "has no tokenizer; copy"),
        (lambda d: (d / "tokenizer.json").write_text("{oh"), ModelError, "has no tokenizer that can be read"),
        (lambda d: edit_weights(d, lambda w: w.pop(DOWN + ".weight")), ModelError, rf"1 weights .* missing .*{DOWN}"),
        (lambda d: edit_weights(d, lambda w: w.pop("lm_head.weight")), ModelError, "1 weights .* missing .*lm_head"),
        (
            lambda d: edit_weights(d, lambda w: w.update({DOWN + ".bias": torch.ones(32)})),
            ModelError,
            rf"stores weights of its FFN that a 'llama' model has no place for \({DOWN}.bias",
        ),
        (
            lambda d: edit_weights(d, lambda w: w.update({DOWN + ".weight": torch.ones(32, 40)})),
            ModelError,
            "are damaged or do not fit its configuration",
        ),
        (lambda d: edit_config(d, model_type="brandnew"), UnsupportedModelError, "'brandnew', which this version"),
        (lambda d: edit_config(d, model_type="mamba"), UnsupportedModelError, "'mamba', where nobody has verified"),
        (lambda d: edit_config(d, num_local_experts=8), UnsupportedModelError, "mixture of experts .num_local_experts"),
        (
            lambda d: edit_config(d, quantization_config={"quant_method": "gptq", "bits": 4}),
            UnsupportedModelError,
            r"weights quantized by gptq, where nobody has verified .* load the original weights",
        ),
        (
            lambda d: edit_config(d, model_type="own", auto_map={"AutoConfig": "own.Config"}),
            UnsupportedModelError,
            "runs code of its own",
        ),
    ],
)
def test_a_damaged_directory_gets_one_clear_line(
    copy: Path, damage: Callable[[Path], object], error: type[ModelError], message: str
) -> None:
    damage(copy)
    with pytest.raises(error, match=message) as caught:
        hneurons.load(copy, device="cpu")
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


EXPERTS = ["phimoe", "granitemoe", "llama4_text", "dbrx", "jamba", "glm4_moe", "ernie4_5_moe"]


@pytest.mark.parametrize("model_type", EXPERTS)
def test_mixtures_of_experts_without_a_row_are_refused(model_type: str, tmp_path: Path) -> None:
    AutoConfig.for_model(model_type).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="is a mixture of experts"):
        hneurons.load(tmp_path)


def test_a_mixture_of_experts_that_transformers_does_not_know_is_refused_as_one(copy: Path) -> None:
    edit_config(copy, model_type="brandnew", text_config={"num_experts": 4})
    with pytest.raises(UnsupportedModelError, match=r"mixture of experts .num_experts = 4"):
        hneurons.load(copy)


def test_experts_of_a_vision_part_do_not_matter(tiny_directory: Directory, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_directory("gemma3"), tmp_path / "model"))
    vision = json.loads((path / "config.json").read_text())["vision_config"]
    edit_config(path, vision_config=vision | {"num_experts": 4})
    assert hneurons.load(path, device="cpu").residual < 1e-5


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_encoder_decoders_are_refused(model_type: str, tmp_path: Path) -> None:
    AutoConfig.for_model(model_type).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="is an encoder-decoder"):
        hneurons.load(tmp_path)


def test_a_wrapper_around_another_language_model_is_refused(tiny_directory: Directory, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_directory("mistral3"), tmp_path / "model"))
    text = json.loads((path / "config.json").read_text())["text_config"]
    edit_config(path, text_config=text | {"model_type": "qwen2"})
    with pytest.raises(UnsupportedModelError, match="wraps a language model of type 'qwen2'"):
        hneurons.load(path)


def test_quantization_of_a_text_part_is_refused(tiny_directory: Directory, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_directory("gemma3"), tmp_path / "model"))
    text = json.loads((path / "config.json").read_text())["text_config"]
    edit_config(path, text_config=text | {"quantization_config": BitsAndBytesConfig(load_in_4bit=True).to_dict()})
    with pytest.raises(UnsupportedModelError, match=r"states quantized weights in a part of its"):
        hneurons.load(path)


def test_missing_vision_weights_do_not_matter(tiny_directory: Directory, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_directory("gemma3"), tmp_path / "model"))
    edit_weights(path, lambda w: [w.pop(key) for key in [*w] if "vision_tower" in key])
    assert hneurons.load(path, device="cpu").residual < 1e-5
    edit_weights(path, lambda w: w.pop(next(key for key in w if key.endswith("layers.0.mlp.up_proj.weight"))))
    with pytest.raises(ModelError, match=r"missing .*up_proj"):
        hneurons.load(path, device="cpu")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "not a model", "~/nowhere-at-all"])
def test_a_missing_directory_is_named(name: str, names: dict[str, RegisteredModel]) -> None:
    names["tiny"] = RegisteredModel(Path("somewhere"), "")
    with pytest.raises(ModelNotFoundError, match=rf"no directory {name}; .*no download: tiny$"):
        hneurons.load(name)


def test_a_hub_model_without_a_network_is_explained() -> None:
    with pytest.raises(ModelNotFoundError, match=r"no network, or offline mode.*path of a local model directory"):
        hneurons.load("someone/some-model", revision="main")


def test_a_file_is_not_a_model(copy: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="is a file; give the model's directory"):
        hneurons.load(copy / "model.safetensors")


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (GatedRepoError, "is gated: accept its terms"),
        (RepositoryNotFoundError, "the hub has no such public model"),
        (RevisionNotFoundError, "has no revision 'v9'"),
    ],
)
def test_the_hub_s_refusals_are_told_apart(cause: type[Exception], message: str) -> None:
    error = OSError("wrapped")
    error.__cause__ = cause.__new__(cause)
    assert message in str(hub_error("a/b", "v9", error))


def test_a_hub_model_is_pinned_to_its_commit(
    tiny_directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = {"main": "a" * 40, "v2": "b" * 40}
    repository = tmp_path / "models--some--tiny"
    (repository / "refs").mkdir(parents=True)
    for layers, (name, commit) in enumerate(commits.items(), start=2):
        (repository / "refs" / name).write_text(commit)
        shutil.copytree(tiny_directory("llama", layers=layers), repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for revision, layers in ((None, 2), ("v2", 3), ("b" * 40, 3)):
        model = hneurons.load("some/tiny", revision=revision, device="cpu")
        assert model.revision == model.fingerprint.revision == commits["main" if layers == 2 else "v2"]
        assert model.n_layers == layers
        report = inspect_model("some/tiny", revision=revision)
        assert (report.revision, report.n_layers, report.verification) == (model.revision, layers, None)
    assert inspect_model("some/tiny", weights=True, device="cpu").verification is not None
    with pytest.raises(ModelNotFoundError, match="neither in the local cache nor to be had"):
        hneurons.load("some/tiny", revision="v3")
    (repository / "snapshots" / commits["v2"] / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors weights of some/tiny cannot be had"):
        hneurons.load("some/tiny", revision="v2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int8"}, "dtype 'int8' is not supported; choose auto, "),
        ({"dtype": torch.int32}, "dtype 'int32' is not supported"),
        ({"dtype": "nonsense"}, "dtype 'nonsense' is not supported"),
        ({"device": "nonsense"}, r"'nonsense' cannot be used here \(.+\); choose another device, or leave it out"),
        ({"device": "cpu", "device_map": "auto"}, "device or device_map, not both"),
        ({"revision": "main"}, "has no revisions"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(copy: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        hneurons.load(copy, **arguments)


@pytest.mark.parametrize("kind", [RuntimeError, AssertionError, NotImplementedError])
def test_a_device_that_torch_is_not_built_for_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """Builds of torch say so in different ways: without CUDA, by an assertion that fails."""

    def fail(*_: object, **__: object) -> None:
        raise kind("Torch not compiled with CUDA enabled\nand more")

    monkeypatch.setattr("hneurons.models.load.torch.empty", fail)
    with pytest.raises(ModelError) as caught:
        hneurons.load(copy, device="cuda")
    assert str(caught.value) == (
        "device 'cuda' cannot be used here (Torch not compiled with CUDA enabled); "
        "choose another device, or leave it out"
    )


def test_no_code_of_a_repository_is_run_unasked(copy: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (copy / "own.py").write_text(
        f"open({str(trace)!r}, 'w').close()\nfrom transformers import LlamaConfig\nclass Own(LlamaConfig): pass\n"
    )
    edit_config(copy, auto_map={"AutoConfig": "own.Own"})
    assert hneurons.load(copy, device="cpu").n_layers == 2  # a known architecture needs none of it
    assert not trace.exists()
