"""The modules that a row points at, found in a real model and checked for kind and shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelerate.utils import align_module_device
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hneurons.errors import AnatomyMismatchError
from hneurons.models.anatomy import Anatomy
from hneurons.models.quantized import dequantized, quantized_as


@dataclass(frozen=True)
class LayerParts:
    """One decoder layer's modules; `gate` is None in a plain FFN and is `up` where the two are packed.

    `attention` is the module that `attention_out`, its output projection, belongs to.
    """

    block: nn.Module
    ffn: nn.Module
    down: nn.Module
    up: nn.Module
    gate: nn.Module | None
    act: nn.Module
    norm: nn.Module | None
    attention: nn.Module
    attention_out: nn.Module


def text_config(config: Any, anatomy: Anatomy) -> Any:
    """The configuration of the language part: `config` itself, or its text part in a multimodal wrapper."""
    return config.text_config if anatomy.wrapper else config


def find_parts(hf: PreTrainedModel, anatomy: Anatomy) -> tuple[LayerParts, ...]:
    """The modules of every decoder layer, first layer first; works on the meta device too.

    Raises:
        AnatomyMismatchError: the class, a module, its kind or its shape is not what the row says.
    """
    if type(hf).__name__ != anatomy.model_class:
        raise _mismatch(anatomy, f"it was loaded as {type(hf).__name__}, not as {anatomy.model_class}")
    layers = _at(hf, anatomy.layers, anatomy)
    if not isinstance(layers, nn.ModuleList) or len(layers) == 0:
        raise _mismatch(anatomy, f"{anatomy.layers} is not a list of decoder layers")
    expected = text_config(hf.config, anatomy).num_hidden_layers
    if len(layers) != expected:
        raise _mismatch(anatomy, f"it has {len(layers)} layers and its configuration says {expected}")
    found = tuple(_layer_parts(block, anatomy) for block in layers)
    hidden, neurons = weight_shape(found[0].down, anatomy)
    for index, parts in enumerate(found):
        if weight_shape(parts.down, anatomy) != (hidden, neurons):
            raise _mismatch(anatomy, f"layer {index} has another width than layer 0; equal widths are needed")
        out = neurons if anatomy.packed is None else 2 * neurons
        for name, module in ((anatomy.up, parts.up), (anatomy.gate, parts.gate)):
            if module is not None and weight_shape(module, anatomy) != (out, hidden):
                shape = weight_shape(module, anatomy)
                raise _mismatch(
                    anatomy, f"layer {index}: {name} is {shape} and {(out, hidden)} belongs to {anatomy.down}"
                )
    _check_heads(hf, anatomy, found, hidden)
    return found


def n_heads(hf: PreTrainedModel, anatomy: Anatomy) -> int:
    """Attention heads of a layer, by the configuration: heads of the queries, each a slice of what is projected out."""
    heads: int = text_config(hf.config, anatomy).num_attention_heads
    return heads


def weight_shape(module: nn.Module, anatomy: Anatomy) -> tuple[int, int]:
    """(out, in) of a projection, whatever the orientation of its weight, and of the dequantized one if it is quantized.

    Raises:
        AnatomyMismatchError: the module is not the kind of projection that the row says.
    """
    if quantized_as(module) is not None and isinstance(module, nn.Linear):  # what was a Conv1D is turned round
        return module.out_features, module.in_features
    kind: type[nn.Module] = Conv1D if anatomy.conv1d else nn.Linear
    weight = getattr(module, "weight", None)
    if not isinstance(module, kind) or not isinstance(weight, nn.Parameter) or weight.ndim != 2:
        raise _mismatch(
            anatomy, f"a projection is {type(module).__name__}, not {kind.__name__} with an ordinary weight"
        )
    rows, columns = weight.shape
    return (columns, rows) if anatomy.conv1d else (rows, columns)


def oriented_weight(module: nn.Module, anatomy: Anatomy) -> Float[Tensor, "out in"]:
    """A projection's weight as (out, in): its own memory, or a copy where it is offloaded, or dequantized."""
    with align_module_device(module):
        if quantized_as(module) is not None:
            return dequantized(module)
        weight: Any = module.weight
        oriented: Tensor = weight.detach().T if anatomy.conv1d else weight.detach()
    return oriented


def bias_of(module: nn.Module) -> Float[Tensor, " out"] | None:
    """A projection's bias, or None where it has none."""
    with align_module_device(module):
        bias: Any = module.bias
        detached: Tensor | None = None if bias is None else bias.detach()
    return detached


def _check_heads(hf: PreTrainedModel, anatomy: Anatomy, found: tuple[LayerParts, ...], hidden: int) -> None:
    heads = n_heads(hf, anatomy)
    width = weight_shape(found[0].attention_out, anatomy)[1]
    for index, parts in enumerate(found):
        shape = weight_shape(parts.attention_out, anatomy)
        if shape != (hidden, width) or width % heads:
            raise _mismatch(
                anatomy,
                f"layer {index}: {anatomy.attention_out} is {shape}, which does not take {heads} heads of one size "
                f"to a residual stream of width {hidden}",
            )


def _layer_parts(block: nn.Module, anatomy: Anatomy) -> LayerParts:
    if anatomy.post_norm is not None:
        _at(block, anatomy.post_norm, anatomy)
    return LayerParts(
        block=block,
        ffn=_at(block, anatomy.ffn, anatomy),
        down=_at(block, anatomy.down, anatomy),
        up=_at(block, anatomy.up, anatomy),
        gate=None if anatomy.gate is None else _at(block, anatomy.gate, anatomy),
        act=_at(block, anatomy.act, anatomy),
        norm=None if anatomy.norm is None else _at(block, anatomy.norm, anatomy),
        attention=_at(block, anatomy.attention_out.rpartition(".")[0], anatomy),
        attention_out=_at(block, anatomy.attention_out, anatomy),
    )


def _at(module: nn.Module, path: str, anatomy: Anatomy) -> nn.Module:
    try:
        return module.get_submodule(path)
    except AttributeError:
        raise _mismatch(anatomy, f"{type(module).__name__} has no module {path}") from None


def _mismatch(anatomy: Anatomy, what: str) -> AnatomyMismatchError:
    return AnatomyMismatchError(f"this is not what a {anatomy.model_type!r} model should be: {what}; it cannot be used")
