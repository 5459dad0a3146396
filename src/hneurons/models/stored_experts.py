"""Where the weights of experts are in files: each expert's by themselves, as most are published, or fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from hneurons.errors import ModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.mixture import ExpertLayout, Mixture
from hneurons.models.safetensors_file import StoredTensor

Projected = Literal["up", "gate", "down"]


@dataclass(frozen=True)
class StoredPart:
    """The weights of some neurons of a layer in one projection.

    Attributes:
        tensor: a matrix, or the slice of a fused one that is a matrix; more than these neurons may be in it.
        first: the number of the first of them in the layer.
        n_neurons: how many they are.
        by_row: each row is a neuron's weights, and each column where not.
        start, step: which of the rows or columns are theirs.
    """

    tensor: StoredTensor
    first: int
    n_neurons: int
    by_row: bool
    start: int = 0
    step: int = 1


@dataclass(frozen=True)
class Joined:
    """A fused parameter in pieces that follow one another in its memory, last axis fastest."""

    pieces: tuple[StoredTensor, ...]

    def values(self, chosen: slice) -> Shaped[Tensor, " some"]:
        """Some of its values, counted as if it were flat; no others are read. `chosen` goes forward."""
        first, step, found, begin = chosen.start or 0, chosen.step or 1, [], 0
        for piece in self.pieces:
            size = piece.nbytes // piece.type.itemsize
            low = first if first >= begin else first + -(-(begin - first) // step) * step  # the first chosen one in it
            high = min(chosen.stop, begin + size)
            if low < high:
                found.append(piece.values(slice(low - begin, high - begin, step)))
            begin += size
        return torch.cat(found)


@dataclass(frozen=True)
class StoredExperts:
    """A layer's parts by projection, in the order of the neurons.

    `joined` are the fused parameters of the loaded model where the files hold each expert by itself.
    """

    up: tuple[StoredPart, ...]
    gate: tuple[StoredPart, ...]
    down: tuple[StoredPart, ...]
    joined: Mapping[str, Joined] | None = None


@dataclass(frozen=True)
class ExpertFinder:
    """Finds the parts of each layer in the files of a mixture of experts.

    Attributes:
        hidden: width of the residual stream.
        find: the stored tensor of a path in the loaded model; refuses what is not there once, in that shape.
        has: whether something is stored under a path.
    """

    anatomy: Anatomy
    layout: ExpertLayout
    hidden: int
    find: Callable[[str, tuple[int, ...]], StoredTensor]
    has: Callable[[str], bool]

    def of(self, layer: int) -> StoredExperts:
        """The parts of one layer.

        Raises:
            ModelError: a weight is not stored once, or not in its shape.
        """
        mixture = self.anatomy.mixture
        assert mixture is not None
        block = f"{self.anatomy.layers}.{layer}"
        if layer in self.layout.dense:
            return self._dense(block, self.anatomy.ffn, 0, self.layout.dense_width)
        path = f"{block}.{mixture.experts}"
        fused = self.has(f"{path}.down_proj")
        if fused == (mixture.stored is not None and self.has(f"{path}.0.{mixture.stored[2]}.weight")):
            how = "both one by one and" if fused else "neither one by one nor"
            raise ModelError(
                f"the experts of layer {layer} are stored {how} in fused parameters ({path}); "
                "download the model again, or save the whole of it with save_pretrained"
            )
        routed = self._fused(path, mixture) if fused else self._apart(path, mixture.stored or ())
        if mixture.shared is None:
            return routed
        shared = self._dense(block, mixture.shared, self.layout.n_experts * self.layout.width, self.layout.shared)
        return replace(routed, up=routed.up + shared.up, gate=routed.gate + shared.gate, down=routed.down + shared.down)

    def _dense(self, block: str, ffn: str, first: int, width: int) -> StoredExperts:
        def part(projection: str, by_row: bool) -> tuple[StoredPart, ...]:
            path = f"{block}.{ffn}.{projection.removeprefix(self.anatomy.ffn + '.')}.weight"
            tensor = self.find(path, (width, self.hidden) if by_row else (self.hidden, width))
            return (StoredPart(tensor, first, width, by_row),)

        assert self.anatomy.gate is not None
        return StoredExperts(
            up=part(self.anatomy.up, True), gate=part(self.anatomy.gate, True), down=part(self.anatomy.down, False)
        )

    def _apart(self, path: str, names: Sequence[str]) -> StoredExperts:
        width = self.layout.width
        experts = range(self.layout.n_experts)

        def part(name: str, by_row: bool) -> tuple[StoredPart, ...]:
            shape = (width, self.hidden) if by_row else (self.hidden, width)
            found = (self.find(f"{path}.{expert}.{name}.weight", shape) for expert in experts)
            return tuple(StoredPart(tensor, expert * width, width, by_row) for expert, tensor in enumerate(found))

        gate, up, down = (part(name, name != names[2]) for name in names)
        both = tuple(each.tensor for pair in zip(gate, up, strict=True) for each in pair)
        joined = {"gate_up_proj": Joined(both), "down_proj": Joined(tuple(each.tensor for each in down))}
        return StoredExperts(up, gate, down, joined)

    def _fused(self, path: str, mixture: Mixture) -> StoredExperts:
        n_experts, width = self.layout.n_experts, self.layout.width
        sizes = {"down_proj": (self.hidden, width), "gate_up_proj": (2 * width, self.hidden)}
        slices = {}
        for name, (out, inside) in sizes.items():
            shape = (inside, out) if mixture.transposed else (out, inside)
            slices[name] = _slices(self.find(f"{path}.{name}", (n_experts, *shape)))

        def half(second: bool) -> tuple[StoredPart, ...]:
            start, step = (int(second), 2) if mixture.order == "interleaved" else (width * second, 1)
            return tuple(
                StoredPart(tensor, expert * width, width, not mixture.transposed, start, step)
                for expert, tensor in enumerate(slices["gate_up_proj"])
            )

        gate_is_second = mixture.order == "up_gate"
        down = tuple(
            StoredPart(tensor, expert * width, width, mixture.transposed)
            for expert, tensor in enumerate(slices["down_proj"])
        )
        return StoredExperts(up=half(not gate_is_second), gate=half(gate_is_second), down=down)


def _slices(tensor: StoredTensor) -> tuple[StoredTensor, ...]:
    """The matrices along the first axis of a stored tensor of three axes."""
    count, *shape = tensor.shape
    size = tensor.nbytes // count
    return tuple(
        replace(tensor, shape=tuple(shape), start=tensor.start + index * size, nbytes=size) for index in range(count)
    )
