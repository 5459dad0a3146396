"""The benchmark of a GPU, without one: the shape it makes, what it reads, and that all of it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

import figures
import gpu
from hneurons.contributions import Item
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import token_scores
from random_models import random_config


def test_the_shape_is_that_of_llama_8b() -> None:
    config = random_config("8b")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_030_261_248  # as published
    assert model.model.layers[31].mlp.down_proj.weight.shape == (4096, 14336)
    assert model.model.layers[0].self_attn.k_proj.weight.shape == (8 * 128, 4096)
    assert config.eos_token_id is None


def test_token_scores_while_generating_are_those_of_the_probe(
    tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]
) -> None:
    probe = hand_probe(tiny_llama, {(0, 3): 40.0, (2, 7): 90.0}, intercept=-1.0)
    ids = [5, 9, 20, 31, 8, 44]
    expected = token_scores(tiny_llama, probe, [Item("a", tuple(ids[:2]), tuple(ids[2:]), answer=(0,))])[0]
    with gpu.scored(tiny_llama, probe) as scores:
        tiny_llama.hf(input_ids=torch.tensor([ids]))
    assert np.abs(scores[0][2:] - expected).max() < 1e-6
    assert expected.std() > 1e-4  # or any reading would do
    assert "forward" not in vars(tiny_llama.hf)


def test_peak_memory_is_held_against_the_bare_model(tiny_llama: LanguageModel) -> None:
    assert gpu.peak(tiny_llama, lambda: None) is None  # nothing is known on a CPU
    found = gpu.memory({"bare": 2_000, "ours": 3_000}, "bare", "the bare pass", {"ours": "recording"}, {"rows": 2})
    assert [(figure.what, figure.value) for figure in found] == [("peak memory: recording", 1.5)]
    assert gpu.memory({"bare": None, "ours": None}, "bare", "the bare pass", {"ours": "recording"}, {}) == []


def test_it_says_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="there is no GPU here"):
        gpu.main()


@pytest.mark.slow
def test_all_parts_run_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--shape", "tiny", "--device", "cpu", "--json", str(file)])
    gpu.main()
    found = {(figure.what, figure.against): figure for figure in figures.read(file).figures}
    assert len(found) == 16
    assert found["equal answers of the exported model", "the hooked model"].met
    fewer = found["tokens forwarded: `generate(num_return_sequences=10)`", "the tree"]
    assert fewer.value > 2
    timed = [figure for figure in found.values() if figure.low is not None]
    assert len(timed) == 14
    assert all(figure.value > 0 for figure in timed)
