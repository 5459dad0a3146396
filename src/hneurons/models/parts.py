"""The modules that a row points at, found in a real model and checked for kind and shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import align_module_device
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hneurons.errors import AnatomyMismatchError
from hneurons.models.anatomy import Anatomy
from hneurons.models.mixture import ExpertLayout, Mixture
from hneurons.models.quantized import dequantized, quantized_as, stored_parts


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


@dataclass(frozen=True)
class MixtureParts:
    """The modules of a decoder layer with experts.

    `experts` holds the routed experts in two fused parameters. `shared` are the parts of the shared expert, of which
    `ffn` is the module itself; None where there is none, as is `shared_gate`, the projection to its own gate.
    """

    block: nn.Module
    ffn: nn.Module
    experts: nn.Module
    shared: LayerParts | None
    shared_gate: nn.Module | None
    attention: nn.Module
    attention_out: nn.Module


Parts = LayerParts | MixtureParts


def text_config(config: Any, anatomy: Anatomy) -> Any:
    """The configuration of the language part: `config` itself, or its text part in a multimodal wrapper."""
    return config.text_config if anatomy.wrapper else config


def find_parts(hf: PreTrainedModel, anatomy: Anatomy) -> tuple[Parts, ...]:
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
    found = tuple(_parts_of(block, anatomy) for block in layers)
    hidden = weight_shape(found[0].attention_out, anatomy)[0]
    dense = {index: parts for index, parts in enumerate(found) if isinstance(parts, LayerParts)}
    shapes = {index: weight_shape(parts.down, anatomy) for index, parts in dense.items()}
    first = min(dense, default=0)
    for index, parts in dense.items():
        if shapes[index] != shapes[first]:
            raise _mismatch(anatomy, f"layer {index} has another width than layer {first}; equal widths are needed")
        _check_ffn(index, parts, anatomy, hidden)
    if anatomy.mixture is not None:
        _check_mixtures(found, anatomy, hidden)
    _check_heads(hf, anatomy, found, hidden)
    return found


def expert_layout(hf: PreTrainedModel, anatomy: Anatomy, found: tuple[Parts, ...]) -> ExpertLayout | None:
    """How the neurons of a mixture of experts are counted; None of a dense model."""
    mixed = [parts for parts in found if isinstance(parts, MixtureParts)]
    if anatomy.mixture is None or not mixed:
        return None
    dense = {index: parts for index, parts in enumerate(found) if isinstance(parts, LayerParts)}
    n_experts, width, _ = expert_shape(mixed[0].experts, anatomy)
    shared = mixed[0].shared
    return ExpertLayout(
        n_layers=len(found),
        n_experts=n_experts,
        per_token=getattr(text_config(hf.config, anatomy), anatomy.mixture.per_token),
        width=width,
        shared=0 if shared is None else weight_shape(shared.down, anatomy)[1],
        dense=tuple(dense),
        dense_width=weight_shape(next(iter(dense.values())).down, anatomy)[1] if dense else 0,
    )


def expert_shape(experts: nn.Module, anatomy: Anatomy) -> tuple[int, int, int]:
    """Experts of a layer, neurons of each, and width of the residual stream, by the fused down-projection.

    Raises:
        AnatomyMismatchError: it is not a parameter of three axes, or the other fused parameters do not fit it.
    """
    mixture = anatomy.mixture
    assert mixture is not None
    shapes = {name: tuple(parameter.shape) for name, parameter in experts.named_parameters(recurse=False)}
    if len(shapes.get("down_proj", ())) != 3:
        raise _mismatch(anatomy, f"{mixture.experts} has no fused down_proj, but {', '.join(shapes) or 'no parameter'}")
    n_experts, hidden, width = shapes["down_proj"]
    packed: tuple[int, ...] = (n_experts, 2 * width, hidden)
    if mixture.transposed:
        hidden, width = width, hidden
        packed = (n_experts, hidden, 2 * width)
    wanted = {"down_proj": shapes["down_proj"], "gate_up_proj": packed}
    if mixture.biases:
        wanted |= {"down_proj_bias": (n_experts, hidden), "gate_up_proj_bias": (n_experts, 2 * width)}
    if shapes != wanted:
        raise _mismatch(anatomy, f"{mixture.experts} holds {shapes}, and {wanted} belongs there")
    if getattr(experts, "_is_expert_parallel", False):
        raise _mismatch(anatomy, "its experts are spread over processes, which cannot be read")
    return n_experts, width, hidden


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


def width_of(found: tuple[Parts, ...], layout: ExpertLayout | None, anatomy: Anatomy) -> int:
    """Neurons of the widest layer."""
    if layout is not None:
        return layout.widest
    dense = found[0]
    assert isinstance(dense, LayerParts)
    return weight_shape(dense.down, anatomy)[1]


def dtype_of(parts: Parts) -> torch.dtype | None:
    """Type of a layer's down-projection; None where its weights are quantized."""
    if isinstance(parts, LayerParts) and quantized_as(parts.down) is not None:
        return None
    weight: Any = parts.experts.down_proj if isinstance(parts, MixtureParts) else parts.down.weight
    dtype: torch.dtype = weight.dtype
    return dtype


def column_norms_of(parts: Parts, anatomy: Anatomy) -> Float[Tensor, " neurons"]:
    """||W_down[:, j]||_2 of a layer's neurons, in the order in which they are counted; float32, float64 of float64."""
    if isinstance(parts, LayerParts):
        weight = oriented_weight(parts.down, anatomy)
        wide = torch.promote_types(weight.dtype, torch.float32)  # float64 weights refuse to be narrowed on the way
        lengths: Tensor = torch.linalg.vector_norm(weight, dim=0, dtype=wide)
        return lengths
    assert anatomy.mixture is not None
    with align_module_device(parts.experts):
        fused: Any = parts.experts.down_proj
        wide = torch.promote_types(fused.dtype, torch.float32)
        axis = 2 if anatomy.mixture.transposed else 1
        norms: Tensor = torch.linalg.vector_norm(fused.detach(), dim=axis, dtype=wide).flatten()
    return norms if parts.shared is None else torch.cat([norms, column_norms_of(parts.shared, anatomy).to(norms)])


def first_row_of(parts: Parts, anatomy: Anatomy) -> Shaped[Tensor, " neurons"]:
    """One value of every neuron's column of W_down, in the order in which they are counted.

    Of quantized weights their codes: as they are stored, whatever device dequantizes them.
    """
    if isinstance(parts, LayerParts):
        if quantized_as(parts.down) is None:
            return oriented_weight(parts.down, anatomy)[0]
        _, codes = next(stored_parts(parts.down))
        return codes.reshape(-1)[: codes.numel() // weight_shape(parts.down, anatomy)[0]]
    assert anatomy.mixture is not None
    with align_module_device(parts.experts):
        fused: Any = parts.experts.down_proj
        row: Tensor = (fused[:, :, 0] if anatomy.mixture.transposed else fused[:, 0, :]).detach().flatten()
    return row if parts.shared is None else torch.cat([row, first_row_of(parts.shared, anatomy).to(row)])


def bias_of(module: nn.Module) -> Float[Tensor, " out"] | None:
    """A projection's bias, or None where it has none."""
    with align_module_device(module):
        bias: Any = module.bias
        detached: Tensor | None = None if bias is None else bias.detach()
    return detached


def _check_ffn(index: int, parts: LayerParts, anatomy: Anatomy, hidden: int) -> None:
    out_of, neurons = weight_shape(parts.down, anatomy)
    out = neurons if anatomy.packed is None else 2 * neurons
    for name, module in ((anatomy.up, parts.up), (anatomy.gate, parts.gate)):
        if module is not None and weight_shape(module, anatomy) != (out, out_of):
            shape = weight_shape(module, anatomy)
            raise _mismatch(anatomy, f"layer {index}: {name} is {shape} and {(out, out_of)} belongs to {anatomy.down}")
    if out_of != hidden:
        raise _mismatch(anatomy, f"layer {index}: {anatomy.down} does not put out a residual stream of width {hidden}")


def _check_mixtures(found: tuple[Parts, ...], anatomy: Anatomy, hidden: int) -> None:
    mixed = {index: parts for index, parts in enumerate(found) if isinstance(parts, MixtureParts)}
    if not mixed:
        raise _mismatch(anatomy, "none of its layers has experts")
    first = next(iter(mixed.values()))
    for index, parts in mixed.items():
        if expert_shape(parts.experts, anatomy) != expert_shape(first.experts, anatomy):
            raise _mismatch(
                anatomy, f"layer {index} has other experts than the first such layer; equal ones are needed"
            )
        if expert_shape(parts.experts, anatomy)[2] != hidden:
            raise _mismatch(anatomy, f"layer {index}: its experts do not put out a residual stream of width {hidden}")
        if parts.shared is not None and first.shared is not None:
            _check_ffn(index, parts.shared, anatomy, hidden)
            if weight_shape(parts.shared.down, anatomy) != weight_shape(first.shared.down, anatomy):
                raise _mismatch(anatomy, f"layer {index} has another shared expert than the first such layer")
        if parts.shared_gate is not None and weight_shape(parts.shared_gate, anatomy) != (1, hidden):
            raise _mismatch(anatomy, f"layer {index}: the shared expert's gate is not one number a token")


def _check_heads(hf: PreTrainedModel, anatomy: Anatomy, found: tuple[Parts, ...], hidden: int) -> None:
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


def _parts_of(block: nn.Module, anatomy: Anatomy) -> Parts:
    mixture = anatomy.mixture
    if mixture is None or not _has(block, mixture.experts):
        return _layer_parts(block, anatomy)
    attention = _at(block, anatomy.attention_out.rpartition(".")[0], anatomy)
    return MixtureParts(
        block=block,
        ffn=_at(block, anatomy.ffn, anatomy),
        experts=_at(block, mixture.experts, anatomy),
        shared=None if mixture.shared is None else _shared_parts(block, anatomy, mixture),
        shared_gate=None if mixture.shared_gate is None else _at(block, mixture.shared_gate, anatomy),
        attention=attention,
        attention_out=_at(block, anatomy.attention_out, anatomy),
    )


def _shared_parts(block: nn.Module, anatomy: Anatomy, mixture: Mixture) -> LayerParts:
    """The shared expert is built as a dense layer's FFN is, under another name."""

    def inside(path: str) -> nn.Module:
        return _at(block, f"{mixture.shared}.{path.removeprefix(anatomy.ffn + '.')}", anatomy)

    return LayerParts(
        block=block,
        ffn=_at(block, mixture.shared or "", anatomy),
        down=inside(anatomy.down),
        up=inside(anatomy.up),
        gate=None if anatomy.gate is None else inside(anatomy.gate),
        act=inside(anatomy.act),
        norm=None,
        attention=_at(block, anatomy.attention_out.rpartition(".")[0], anatomy),
        attention_out=_at(block, anatomy.attention_out, anatomy),
    )


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


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
