"""Statistics of layers on every family, against hooks and numpy, text by text and without padding."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis

from hneurons.layers.tracking.statistics import STATISTICS, activation_statistics, neuron_statistics
from hneurons.models.language_model import LanguageModel

TEXTS = [[5, 9, 17, 40, 33], [11, 60, 71], [90, 14, 3, 77]]
POSITIONS = [[1, 4], [2], [3]]


def naive(model: LanguageModel, text: list[int], at: int) -> np.ndarray:
    """(layers, statistics) of one position."""
    found = np.zeros((model.n_layers, len(STATISTICS)))
    with ExitStack() as stack, torch.no_grad():

        def keep(layer: int, column: int) -> Callable[..., None]:
            def hook(_module: Any, _arguments: Any, output: Any) -> None:
                states = output[0] if isinstance(output, tuple) else output
                found[layer, column] = np.linalg.norm(states.reshape(len(text), -1)[at].double().numpy())

            return hook

        def neurons(layer: int) -> Callable[..., None]:
            def hook(_module: Any, arguments: Any) -> None:
                z = arguments[0].reshape(len(text), -1)[at].double().numpy()
                found[layer, 3] = (z**2).sum() ** 2 / (len(z) * (z**4).sum())
                found[layer, 4] = kurtosis(z)
                found[layer, 5] = (z == 0).mean()

            return hook

        for layer in range(model.n_layers):
            modules = (model.block(layer), model.down(layer), model.attention_out(layer))
            for column, module in enumerate(modules):
                stack.callback(module.register_forward_hook(keep(layer, column)).remove)
            stack.callback(model.down(layer).register_forward_pre_hook(neurons(layer)).remove)
        model.hf(input_ids=torch.tensor([text]), use_cache=False)
    return found


def test_every_family(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    found = activation_statistics(model, TEXTS, POSITIONS)
    stacked = np.stack([found[name].numpy() for name in STATISTICS], axis=2)
    places = [(text, at) for text, own in zip(TEXTS, POSITIONS, strict=True) for at in own]
    expected = np.array([naive(model, text, at) for text, at in places])
    np.testing.assert_allclose(stacked, expected, rtol=2e-3, atol=2e-3)
    shifted = np.array([naive(model, text, max(at - 1, 0)) for text, at in places])
    assert not np.allclose(stacked, shifted, rtol=2e-3, atol=2e-3)


def test_of_neurons() -> None:
    alike = neuron_statistics(torch.ones(1, 8))
    assert float(alike["active neurons"]) == pytest.approx(1)
    one = neuron_statistics(torch.tensor([[0.0, 0.0, 0.0, 1e30]]))
    assert float(one["active neurons"]) == pytest.approx(1 / 4)
    assert float(one["zero neurons"]) == pytest.approx(3 / 4)
    none = neuron_statistics(torch.zeros(1, 4))
    assert [float(none[name]) for name in ("active neurons", "kurtosis", "zero neurons")] == [0, 0, 1]
