"""Quantized weights against what the papers say that they stand for, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests.models.naive_quantized import dequantized, original
from transformers import AutoConfig

import hneurons
from hneurons.errors import AnatomyMismatchError, ModelError, UnsupportedModelError
from hneurons.models import parts as parts_module
from hneurons.models import quantizing
from hneurons.models import verify as verify_module
from hneurons.models.check import inspect_model, without_memory
from hneurons.models.families import FAMILIES
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.language_model import LanguageModel
from hneurons.models.parts import find_parts
from hneurons.models.quantized import KINDS, Stated, quantized_as, read_stated, stored_parts
from hneurons.models.quantizing import quantized_size
from hneurons.models.stored import open_stored
from hneurons.models.verify import TOLERANCE, verify

Load = Callable[..., LanguageModel]


def stored_down(directory: Path, model: LanguageModel, layer: int) -> np.ndarray:
    """The original W_down, (hidden, neurons)."""
    with safe_open(directory / "model.safetensors", "np") as file:
        names = [name for name in file.keys() if f".{layer}.{model.anatomy.down}.weight" in name]  # noqa: SIM118
    (name,) = [name for name in names if "vision" not in name]
    return original(directory, name, turned=model.anatomy.conv1d)


CASES = [(family, kind) for family in ("llama", "gemma3") for kind in KINDS]
CASES += [("gpt2", "int8"), ("gpt2", "nf4"), ("opt", "int8"), ("phi3", "fp4"), ("opt", "int8-weight-only")]


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_norms_are_those_of_what_the_codes_stand_for(
    family: str, kind: str, wide_directory: Callable[[str], Path], quantized_model: Load
) -> None:
    model = quantized_model(family, kind)
    assert model.quantization == kind
    assert model.dtype == torch.float32
    for layer in range(model.n_layers):
        plain = stored_down(wide_directory(family), model, layer)
        found = model.down_weight(layer)
        kept = dequantized(plain, kind, found.numpy())
        assert found.shape == (model.hidden_size, model.n_neurons) == plain.shape
        norms, expected = model.column_norms()[layer], np.linalg.norm(kept, axis=0)
        np.testing.assert_allclose(found, kept, rtol=1e-5, atol=1e-6 * np.abs(kept).max())
        np.testing.assert_allclose(norms, expected, rtol=1e-6)
        # other norms would not pass: of the original weights, and of the next neuron
        assert np.abs(norms / np.linalg.norm(plain, axis=0) - 1).max() > 1e-3
        assert np.abs(norms / np.roll(expected, 1) - 1).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_the_check_holds_and_wrong_rows_fail(kind: str, quantized_model: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantized_model("llama", kind)
    assert model.residual < model.verification.tolerance / 2
    assert model.verification.tolerance == TOLERANCE[torch.float16 if kind == "int8" else torch.float32]
    row = model.anatomy

    def check(anatomy: Any) -> None:
        verify(model.hf, anatomy, find_parts(model.hf, anatomy), device=model.device)

    check(row)
    with pytest.raises(AnatomyMismatchError, match="what enters mlp"):
        check(replace(row, up=row.gate, gate=row.up))
    honest = parts_module.dequantized
    for wrong in (lambda module: honest(module) * 1.05, lambda module: honest(module).flip(1)):
        monkeypatch.setattr(parts_module, "dequantized", wrong)
        with pytest.raises(AnatomyMismatchError, match="is not its weights times what enters it"):
            check(row)


def test_llm_int8_is_held_against_what_it_rounds_to(quantized_model: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rounding of its input the check would need a hundred times the tolerance that it has."""
    model = quantized_model("llama", "int8")
    assert model.verification.projection < 1e-4
    monkeypatch.setattr(verify_module, "as_multiplied", lambda module, states: states)
    with pytest.raises(AnatomyMismatchError, match=r"relative difference 0.0\d"):
        verify(model.hf, model.anatomy, [model.parts(0)], device=model.device)


@pytest.mark.parametrize(("factor", "outliers"), [(0.1, False), (40.0, True)])
def test_the_rounding_of_llm_int8_is_its_own(factor: float, outliers: bool, quantized_model: Load) -> None:
    """Naively in float64: columns with a value of 6 or more as they are, the rest in 127 steps of the row's largest."""
    model = quantized_model("llama", "int8")
    down: Any = model.down(0)
    z = torch.randn(2, 5, model.n_neurons, generator=torch.Generator().manual_seed(0)) * factor
    with torch.no_grad():
        h = down(z).double().reshape(10, -1).numpy()
    flat = z.half().double().reshape(10, -1).numpy()
    expected = np.zeros_like(h)
    weight = model.down_weight(0).double().numpy()
    large = (np.abs(flat) >= 6).any(axis=0)
    assert large.any() == outliers
    for t, row in enumerate(flat):
        rest = np.where(np.abs(row) >= 6, 0, row)
        step = np.abs(rest).max() / 127
        read = np.where(large, z.double().reshape(10, -1).numpy()[t], np.round(rest / step) * step)
        expected[t] = weight @ read
    size = np.linalg.norm(h, axis=1).min()
    assert np.abs(h - expected).max() < 2e-3 * size
    assert np.linalg.norm(h - flat @ weight.T, axis=1).max() > 4e-3 * size or outliers


def test_kinds_are_models_of_their_own(wide_directory: Callable[[str], Path], quantized_model: Load) -> None:
    plain = hneurons.load(wide_directory("llama"), device="cpu").fingerprint
    prints: dict[str | None, ModelFingerprint] = {None: plain}
    for kind in KINDS:
        prints[kind] = quantized_model("llama", kind).fingerprint
        assert prints[kind].quantization == kind
        again = hneurons.load(wide_directory("llama"), device="cpu", quantize=kind)
        with torch.no_grad():
            again.hf(input_ids=torch.tensor([[5, 6, 7]]))
        assert again.fingerprint == prints[kind]  # another load, and after a pass
    assert len({each.weights_digest for each in prints.values()}) == len(prints)
    same = [(a, b) for a in prints for b in prints if prints[a].same_model(prints[b])]
    assert same == [(kind, kind) for kind in prints]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_copy_is_the_same_model(kind: str, quantized_model: Load, tmp_path: Path) -> None:
    model = quantized_model("llama", kind)
    model.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    assert not [*tmp_path.glob("*.bin")]
    saved = hneurons.load(tmp_path, device="cpu")
    assert saved.quantization == kind
    assert saved.fingerprint.same_model(model.fingerprint)
    torch.testing.assert_close(saved.column_norms(), model.column_norms(), rtol=0, atol=0)
    with pytest.raises(ModelError, match=rf"is quantized already \({kind}\); leave quantize out"):
        hneurons.load(tmp_path, device="cpu", quantize="nf4")
    with pytest.raises(UnsupportedModelError, match=rf"hold {kind} codes, .* give the original weights"):
        open_stored(tmp_path)
    _, codes = next(stored_parts(saved.down(1)))
    codes.view(-1)[3] += 1  # one code of one neuron
    del saved.__dict__["fingerprint"]
    assert not saved.fingerprint.same_model(model.fingerprint)


def test_double_quantization_is_read(
    wide_directory: Callable[[str], Path], quantized_model: Load, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    settings = make(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    hf = AutoModelForCausalLM.from_pretrained(
        wide_directory("llama"), quantization_config=settings, device_map={"": "cpu"}
    )
    hf.save_pretrained(tmp_path)
    single = quantized_model("llama", "nf4")
    single.tokenizer.save_pretrained(tmp_path)
    model = hneurons.load(tmp_path, device="cpu")
    assert model.quantization == "nf4"
    assert not model.fingerprint.same_model(single.fingerprint)
    away = model.column_norms() / single.column_norms() - 1
    assert 1e-5 < away.abs().max() < 2e-2


def test_a_cpu_does_not_repack_codes(quantized_model: Load) -> None:
    model = quantized_model("llama", "nf4")
    before = model.down_weight(1)
    with torch.no_grad():
        model.hf(input_ids=torch.tensor([[5, 6, 7]]))
    assert torch.equal(model.down_weight(1), before)
    down: Any = model.down(1)
    down.weight.quant_state.packing_format_for_cpu = True
    try:
        with pytest.raises(ModelError, match="repacked for one CPU"):
            model.down_weight(1)
    finally:
        del down.weight.quant_state.packing_format_for_cpu


def test_rows_that_a_cpu_misreads_are_refused(tiny_directory: Callable[..., Path]) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight = torch.randn(32, 48, generator=torch.Generator().manual_seed(0))
    codes, state = quantize_4bit(weight, quant_type="nf4")
    wrong = np.abs(dequantize_4bit(codes, state).numpy() - dequantized(weight.numpy(), "nf4")).max()
    assert wrong > 0.1  # once this fails, bitsandbytes is mended and the refusal can go
    with pytest.raises(UnsupportedModelError, match=r"rows of 32, no multiple of 64.*use 'int8'"):
        hneurons.load(tiny_directory("llama"), device="cpu", quantize="nf4")


def test_conv1d_is_left_alone_by_torchao_and_said_so(wide_directory: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"leaves the FFN of .* as it is \(Conv1D"):
        hneurons.load(wide_directory("gpt2"), device="cpu", quantize="int8-weight-only")


def test_unknown_kinds_and_missing_libraries_are_told(
    wide_directory: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="cannot be quantized as 'gptq'; choose int8, nf4, fp4, int8-weight-only"):
        hneurons.load(wide_directory("llama"), quantize="gptq")
    monkeypatch.setattr(quantizing, "find_spec", lambda name: None)
    for kind, library in (("nf4", "bitsandbytes"), ("int8-weight-only", "torchao")):
        with pytest.raises(ModelError, match=rf"{kind} weights need {library}; pip install 'hneurons\[quantized\]'$"):
            hneurons.load(wide_directory("llama"), quantize=kind)


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "hqq"},
        {"quant_method": "fp8"},
        {"quant_method": "compressed-tensors"},
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}},
        {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_has_fp16_weight": True},
    ],
)
def test_other_kinds_are_refused_with_what_to_load_instead(
    settings: dict[str, Any], wide_directory: Callable[[str], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(wide_directory("llama"), tmp_path / "model"))
    config = json.loads((path / "config.json").read_text()) | {"quantization_config": settings}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UnsupportedModelError, match=r"nobody has verified .* load the original weights, quantized on"
    ) as e:
        hneurons.load(path, device="cpu")
    assert "\n" not in str(e.value)


def test_what_a_configuration_states_is_read() -> None:
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    assert read_stated("m", settings).kind == "nf4"
    assert not read_stated("m", settings).nested
    assert read_stated("m", settings | {"bnb_4bit_use_double_quant": True}).nested
    assert read_stated("m", {"load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]}).skipped == ("lm_head",)


@pytest.mark.parametrize(
    ("family", "kind"), [("llama", kind) for kind in KINDS] + [("gemma3", "nf4"), ("gpt2", "int8")]
)
def test_memory_is_what_is_stored(
    family: str, kind: str, wide_directory: Callable[[str], Path], quantized_model: Load
) -> None:
    report = inspect_model(wide_directory(family), weights=False, quantize=kind)
    hf = quantized_model(family, kind).hf
    measured, codes = 0, 0
    for module in hf.modules():
        if quantized_as(module) is not None:
            parts = [part for _, part in stored_parts(module)]
            measured += sum(part.numel() * part.element_size() for part in parts)
            codes += parts[0].numel() * (2 if kind in ("nf4", "fp4") else 1)
    ordinary = {
        id(parameter): parameter.numel() * parameter.element_size()
        for module in hf.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if not (quantized_as(module) is not None and name == "weight")
    }
    assert report.memory.weights == measured + sum(ordinary.values())
    assert report.bits == pytest.approx(8 * measured / codes)
    assert (report.quantization, report.dtype) == (kind, "float32")
    assert report.memory.weights < inspect_model(wide_directory(family), weights=False).memory.weights


def test_double_quantization_takes_fewer_bits(wide_directory: Callable[[str], Path]) -> None:
    skeleton = without_memory(AutoConfig.from_pretrained(wide_directory("llama")), FAMILIES["llama"], False)
    once = quantized_size(skeleton, Stated("nf4"), 2)
    twice = quantized_size(skeleton, Stated("nf4", nested=True), 2)
    assert once.bits == 4 + 32 / 64
    assert 4 + 8 / 64 < twice.bits < 4 + 8 / 64 + 0.1
    assert quantized_size(skeleton, Stated("nf4", skipped=("model", "lm_head")), 2).weights == 0
