"""Scaling: z_j <- alpha * z_j for chosen neurons, while a `with` block lasts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hneurons.errors import InterventionError, ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron


@contextmanager
def scale(model: LanguageModel, neurons: Sequence[Neuron], alpha: float) -> Iterator[None]:
    """Multiply what `neurons` put out by `alpha` at every token, until the block ends.

    z_j <- alpha * z_j (H-Neurons, arXiv 2512.01797); the same function as scaling column j of W_down, without touching
    a weight. 0 suppresses, 1 leaves the model alone, more than 1 amplifies. The contribution of a single scaled neuron
    becomes alpha ||h_j|| / ||h + (alpha - 1) h_j||. The model is as before after the block, also after an exception.
    Blocks nest: their factors multiply.

    Args:
        model: any loaded model.
        neurons: pairs (layer, index); one that is named twice counts once.
        alpha: the factor, finite and not negative.

    Raises:
        ModelError: the model has no such neuron.
        InterventionError: `alpha` is negative or not finite.
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise InterventionError(
            f"alpha is {alpha}; it must be a finite number of at least 0 (0 suppresses, 1 changes nothing)"
        )
    by_layer = neurons_by_layer(model, neurons)
    with ExitStack() as hooks:
        if alpha != 1:
            for layer, indices in by_layer.items():
                hooks.callback(model.down(layer).register_forward_pre_hook(_scaler(indices, alpha)).remove)
        yield


def neurons_by_layer(model: LanguageModel, neurons: Sequence[Neuron]) -> dict[int, list[int]]:
    """Indices of `neurons` by layer, ascending, each once.

    Raises:
        ModelError: the model has no such neuron.
    """
    found: dict[int, set[int]] = {}
    for layer, index in neurons:
        if not (0 <= layer < model.n_layers and 0 <= index < model.n_neurons):
            raise ModelError(
                f"{model.name} has no neuron ({layer}, {index}): its layers are 0 to {model.n_layers - 1}, "
                f"with neurons 0 to {model.n_neurons - 1} each"
            )
        found.setdefault(operator.index(layer), set()).add(operator.index(index))
    return {layer: sorted(indices) for layer, indices in sorted(found.items())}


def _scaler(indices: list[int], alpha: float) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    columns: dict[torch.device, Tensor] = {}

    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        z: Tensor = arguments[0]
        if z.device not in columns:
            columns[z.device] = torch.tensor(indices, device=z.device)
        chosen = columns[z.device]
        # a new tensor: the caller's z may be read again (the packed or cached states of some models)
        scaled = z.index_copy(-1, chosen, z.index_select(-1, chosen) * alpha)
        return (scaled, *arguments[1:])

    return hook
