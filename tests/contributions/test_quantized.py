"""Contributions of quantized models against the naive loop in float64 on what their codes stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hneurons.contributions import Item, Recording, collect
from hneurons.contributions.tokens import TokenReader
from hneurons.models.language_model import LanguageModel
from hneurons.models.quantized import KINDS

Model = Callable[[str, str], LanguageModel]

WEIGHTS_ONLY = [("llama", kind) for kind in KINDS if kind != "int8"] + [("gpt2", "nf4"), ("gemma3", "nf4")]


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("family", "kind"), WEIGHTS_ONLY)
def test_contributions_are_those_of_the_dequantized_model(
    family: str,
    kind: str,
    quantized_model: Model,
    dequantized_model: Model,
    wide_directory: Callable[[str], Any],
    tiny_model: Callable[..., LanguageModel],
    naive: Callable[..., Any],
    items: tuple[Item, ...],
) -> None:
    recording = Recording()
    found = collect(quantized_model(family, kind), items[:3], recording)
    exact = dequantized_model(family, kind)
    plain = collect(load(wide_directory(family)), items[:3], recording)
    for index, item in enumerate(items[:3]):
        expected = naive(exact, item).answer(recording)
        assert apart(found.answer[index], expected) < 1e-4
        assert apart(plain.answer[index], expected) > 1e-3  # the original model's would not pass


def load(directory: Any) -> LanguageModel:
    import hneurons

    return hneurons.load(directory, device="cpu")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_llm_int8_shares_its_own_output(
    family: str, quantized_model: Model, naive: Callable[..., Any], items: tuple[Item, ...]
) -> None:
    """The denominator is what the kernel puts out, which is not W z: z is rounded in it."""
    model, recording = quantized_model(family, "int8"), Recording()
    item = items[0]
    found = collect(model, [item], recording)
    run = naive(model, item)
    assert apart(found.answer[0], run.answer(recording)) < 1e-5
    reader = TokenReader(model, [(0, 3), (1, 7)])
    _, columns = reader.read(lambda: model.hf(input_ids=tokens(item), use_cache=False))
    assert apart(columns[:, 0], run.cett[0, :, 3]) < 1e-5
    assert apart(columns[:, 1], run.cett[1, :, 7]) < 1e-5
    assert apart(columns[:, 1], run.cett[1, :, 8]) > 1e-2


def tokens(item: Item) -> Any:
    import torch

    return torch.tensor([item.prompt_ids + item.response_ids])
