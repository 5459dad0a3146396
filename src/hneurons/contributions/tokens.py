"""CETT of a few neurons at every single position, without the mean over tokens that `record` takes.

A handful of columns is all that a probe reads, so the contributions of a whole pass are kept: positions * neurons * 4
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hneurons.contributions.mixture import MixtureStates, read_mixture
from hneurons.contributions.recording import inverted, output_norms
from hneurons.errors import ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.mixture import Expert

Output = TypeVar("Output")


class TokenReader:
    """Reads what chosen neurons contribute at every position of a forward pass.

    Hooks are on the model only while a pass is read, and come after all others on their module: what is read is the
    model as it stands, whatever else has been done to it.
    """

    def __init__(self, model: LanguageModel, neurons: Sequence[tuple[int, int]]) -> None:
        """Prepare to read `neurons`, at least one (layer, index) of `model`."""
        self._model = model
        by_layer: dict[int, list[int]] = {}
        for place, (layer, _) in enumerate(neurons):
            by_layer.setdefault(layer, []).append(place)
        self._indices = {layer: torch.tensor([neurons[k][1] for k in places]) for layer, places in by_layer.items()}
        norms = model.column_norms()
        self._norms = torch.cat([norms[layer, own.to(norms.device)] for layer, own in self._indices.items()])
        owners = [place for place, own in enumerate(self._indices.values()) for _ in own]  # the layer of each column
        self._owners = torch.tensor(owners, device=norms.device)
        dense = [layer for layer in self._indices if model.mixture(layer) is None]
        self._biases = {layer: model.down_bias(layer) for layer in dense}
        self._order = np.argsort([place for places in by_layer.values() for place in places])

    def read(self, forward_pass: Callable[[], Output]) -> tuple[Output, Float[np.ndarray, "positions chosen"]]:
        """Run `forward_pass`, and return what it returns with the contributions at each of its positions.

        Positions are those of the flattened batch, padding included; columns are in the order of the neurons. Taken in
        float32 (float64 of a float64 model). A position whose FFN puts out exactly zero contributes zero; NaN where
        values overflow.

        Raises:
            ModelError: the pass does not run each layer once.
        """
        states: dict[int, Tensor] = {}
        lengths: dict[int, Tensor] = {}
        with ExitStack() as hooks:
            for layer in self._indices:
                if self._model.mixture(layer) is not None:
                    read_mixture(self._model, layer, self._at_mixture(layer, states, lengths), _all, hooks)
                    continue
                hook = self._at_down(layer, states, lengths)
                hooks.callback(self._model.down(layer).register_forward_hook(hook).remove)
            output = forward_pass()
        if len(states) < len(self._indices):
            raise self._other_layers(min(set(self._indices) - set(states)), "skips")
        # All layers at once, not each in its hook: while tokens are generated, small operations are what this costs.
        device = self._norms.device
        inverse = inverted(torch.stack([lengths[layer].to(device) for layer in self._indices], dim=-1))
        columns = torch.cat([states[layer].to(device) for layer in self._indices], dim=-1).to(inverse.dtype).abs_()
        columns *= inverse.index_select(-1, self._owners) * self._norms
        return output, columns.cpu().numpy()[:, self._order]

    def _at_down(
        self, layer: int, states: dict[int, Tensor], lengths: dict[int, Tensor]
    ) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            if layer in states:
                raise self._other_layers(layer, "repeats")
            z: Tensor = arguments[0].detach()
            if self._indices[layer].device != z.device:  # once: a layer stays where it is
                self._indices[layer] = self._indices[layer].to(z.device)
            states[layer] = z.index_select(-1, self._indices[layer]).flatten(0, -2)
            lengths[layer] = output_norms(output.detach(), self._biases[layer]).flatten()

        return hook

    def _at_mixture(
        self, layer: int, states: dict[int, Tensor], lengths: dict[int, Tensor]
    ) -> Callable[[MixtureStates], None]:
        """r z of routed neurons and s z of shared ones; 0 where a token is not routed to a neuron's expert."""
        chosen = [self._model.expert_of(layer, int(index)) for index in self._indices[layer]]
        columns: dict[Expert | None, list[int]] = {}
        for column, (expert, _) in enumerate(chosen):
            columns.setdefault(expert, []).append(column)

        def take(found: MixtureStates) -> None:
            if layer in states:
                raise self._other_layers(layer, "repeats")
            norms, routed = found.norms, found.routed
            values = norms.new_zeros(len(norms), len(chosen))
            if found.shared is not None:
                for column in columns.get("shared", ()):
                    values[:, column] = found.shared[:, chosen[column][1]]
            for expert, own in routed.segments():
                weights = routed.weights[own].to(norms.dtype)
                for column in columns.get(expert, ()):
                    values[routed.tokens[own], column] = found.z[own, chosen[column][1]].to(norms.dtype) * weights
            states[layer], lengths[layer] = values, norms

        return take

    def _other_layers(self, layer: int, what: str) -> ModelError:
        return ModelError(
            f"a forward pass of {self._model.name} {what} layer {layer}; contributions cannot be matched to tokens"
        )


def _all(device: torch.device, n_tokens: int) -> Tensor:
    """Every token is read."""
    return torch.arange(n_tokens, device=device)
