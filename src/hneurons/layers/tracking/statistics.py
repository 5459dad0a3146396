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
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hneurons.errors import ModelError
from hneurons.layers.tracking.record import Statistic
from hneurons.layers.tracking.states import Batch
from hneurons.models.language_model import LanguageModel

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


def activation_statistics(
    model: LanguageModel, token_ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
) -> Mapping[Statistic, Float[Tensor, "reads layers"]]:
    """Statistics at some positions of some texts, one batch; rows text after text. Reduced inside the hooks.

    Raises:
        ResponseError: texts and positions do not fit, or the model cannot read them.
        ModelError: a layer does not run, or gives values that are not finite.
    """
    batch = Batch(model, token_ids, positions)
    found: dict[tuple[Statistic, int], Tensor] = {}

    def norm(name: Statistic, layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            states = _wide(batch.take(output[0] if isinstance(output, tuple) else output))
            found[name, layer] = torch.linalg.vector_norm(states, dim=-1).cpu()

        return hook

    def neurons(layer: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
            for name, values in neuron_statistics(_wide(batch.take(arguments[0]))).items():
                found[name, layer] = values.cpu()

        return hook

    def hooks(stack: ExitStack) -> None:
        for layer in range(model.n_layers):
            for name, module in (
                ("residual norm", model.block(layer)),
                ("FFN norm", model.down(layer)),
                ("attention norm", model.attention_out(layer)),
            ):
                stack.callback(module.register_forward_hook(norm(name, layer)).remove)  # type: ignore[arg-type]
            stack.callback(model.down(layer).register_forward_pre_hook(neurons(layer)).remove)

    batch.forward(hooks)
    if len(found) != len(STATISTICS) * model.n_layers:
        raise ModelError(f"{model.name} does not run every part of every layer; its statistics cannot be read")
    layers = range(model.n_layers)
    return {name: torch.stack([found[name, layer] for layer in layers], dim=1) for name in STATISTICS}


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
