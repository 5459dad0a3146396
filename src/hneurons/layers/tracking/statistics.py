"""What every layer does where an answer is decided: how much it writes, and how many of its neurons take part.

Per position and layer: ||residual after the layer||, ||FFN output||, ||attention output|| (both before whatever norm or
multiplier follows them), and of z, the m inputs of the down-projection:

    active neurons   (sum z^2)^2 / (m sum z^4)       participation ratio as a share: 1 where all are alike, 1/m for one
    kurtosis         mean (z - mean)^4 / var^2 - 3   0 for a normal distribution
    zero neurons     share that is exactly 0         as ReLU makes them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from hneurons.errors import ModelError
from hneurons.interventions.sites import Site, attach
from hneurons.layers.tracking.record import Statistic
from hneurons.layers.tracking.states import Batch, Hooks
from hneurons.models.language_model import LanguageModel

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
NORMS: Mapping[Statistic, Site] = {"residual norm": "residual", "FFN norm": "ffn", "attention norm": "attention"}


class LayerStatistics:
    """Hooks that read the statistics of every layer in a pass that somebody else runs; reduced inside the hooks."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._found: dict[tuple[Statistic, int], Tensor] = {}

    def on(self, batch: Batch) -> Hooks:
        """What attaches the hooks, reading at the positions of a batch."""

        def hooks(stack: ExitStack) -> None:
            model = self._model
            for layer in range(model.n_layers):
                for name, site in NORMS.items():
                    stack.callback(attach(model, site, layer, self._norm(batch, name, layer)).remove)
                stack.callback(attach(model, "neurons", layer, self._neurons(batch, layer)).remove)

        return hooks

    def values(self) -> Mapping[Statistic, Float[Tensor, "reads layers"]]:
        """What was read, by statistic.

        Raises:
            ModelError: a part of a layer did not run.
        """
        layers = range(self._model.n_layers)
        if len(self._found) != len(STATISTICS) * len(layers):
            raise ModelError(
                f"{self._model.name} does not run every part of every layer; its statistics cannot be read"
            )
        return {name: torch.stack([self._found[name, layer] for layer in layers], dim=1) for name in STATISTICS}

    def _norm(self, batch: Batch, name: Statistic, layer: int) -> Callable[[Tensor], None]:
        def take(states: Tensor) -> None:
            self._found[name, layer] = torch.linalg.vector_norm(_wide(batch.take(states)), dim=-1).cpu()

        return take

    def _neurons(self, batch: Batch, layer: int) -> Callable[[Tensor], None]:
        def take(states: Tensor) -> None:
            for name, values in neuron_statistics(_wide(batch.take(states))).items():
                self._found[name, layer] = values.cpu()

        return take


def activation_statistics(
    model: LanguageModel, token_ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
) -> Mapping[Statistic, Float[Tensor, "reads layers"]]:
    """Statistics at some positions of some texts, one batch; rows text after text.

    Raises:
        ResponseError: texts and positions do not fit, or the model cannot read them.
        ModelError: a layer does not run, or gives values that are not finite.
    """
    batch, statistics = Batch(model, token_ids, positions), LayerStatistics(model)
    batch.forward(statistics.on(batch))
    return statistics.values()


def neuron_statistics(z: Float[Tensor, "reads neurons"]) -> dict[Statistic, Float[Tensor, " reads"]]:
    """Those of one layer's neurons; a layer that is all zero has no active neuron and no kurtosis (0)."""
    z = z / z.abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)  # fourth powers must not overflow
    squares = z.square()
    fourth = squares.square().sum(dim=-1)
    centred = z - z.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1)
    return {
        "active neurons": _ratio(squares.sum(dim=-1).square(), z.shape[-1] * fourth),
        "kurtosis": torch.where(variance > 0, _ratio(centred.pow(4).mean(dim=-1), variance.square()) - 3, 0.0),
        "zero neurons": (z == 0).to(z.dtype).mean(dim=-1),
    }


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below.clamp_min(torch.finfo(below.dtype).tiny), 0.0)


def _wide(states: Tensor) -> Tensor:
    return states.to(torch.promote_types(states.dtype, torch.float32))
