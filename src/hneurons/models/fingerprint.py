"""What identifies a loaded model: name, shape, and a digest of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from accelerate.utils import align_module_device
from jaxtyping import Int64, Shaped
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from hneurons.models.mixture import Expert, ExpertLayout
from hneurons.models.quantized import named, quantized_as, stored_parts

_SAMPLE = 256


class ModelFingerprint(BaseModel):
    """What a probe or a set of contributions records of its model.

    `weights_digest` tells a base model from its tuned twin and an edited checkpoint from the original. It does not
    depend on the device, and a model that is loaded in a wider type than it is stored in keeps it. Of quantized weights
    it takes codes and scales as they are stored; `quantization` names their kind, and is None where there are none.
    `experts` says how the neurons of a mixture of experts are counted; None of a dense model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str | None
    model_type: str
    n_layers: int
    n_neurons: int
    hidden_size: int
    weights_digest: str
    quantization: str | None = None
    experts: ExpertLayout | None = None

    @property
    def neurons(self) -> int:
        """Number of neurons in the whole model."""
        return self.n_layers * self.n_neurons if self.experts is None else self.experts.neurons

    def neurons_in(self, layer: int) -> int:
        """Neurons of one layer; `n_neurons` but for narrower layers of a mixture of experts."""
        return self.n_neurons if self.experts is None else self.experts.neurons_in(layer)

    @property
    def absent(self) -> Int64[np.ndarray, " absent"]:
        """Flat numbers, layer * n_neurons + index, at which a narrower layer has no neuron; none of a dense model."""
        return np.zeros(0, dtype=np.int64) if self.experts is None else self.experts.absent

    def expert_of(self, layer: int, index: int) -> Expert | None:
        """The expert that a neuron belongs to, a number or "shared"; None in a dense layer."""
        return None if self.experts is None else self.experts.expert_of(layer, index)[0]

    def expert(self, layer: int, index: int) -> str:
        """What a table says beside a neuron's numbers, such as "expert 3, 17"; empty in a dense layer."""
        return "" if self.experts is None else self.experts.name_of(layer, index)

    def same_model(self, other: ModelFingerprint) -> bool:
        """Whether both are one model, whatever name or path it was loaded by; a quantized copy is another model."""
        return self._identity == other._identity

    @property
    def _identity(self) -> tuple[object, ...]:
        shape = (self.n_layers, self.n_neurons, self.hidden_size, self.experts)
        return (self.model_type, *shape, self.quantization, self.weights_digest)


def weights_digest(model: nn.Module, rows: Iterable[Shaped[Tensor, " _"]]) -> str:
    """SHA-256 over `rows` in full and up to 256 evenly spaced values of every parameter of `model`.

    `rows` is one row of each down-projection: a value of every neuron's column, so that a scaled column shows.
    Values are hashed as float32, exactly; nothing is computed from them.
    """
    return digest(rows, _samples(model))


def digest(
    rows: Iterable[Shaped[Tensor, " _"]], samples: Iterable[tuple[str, tuple[int, ...], Shaped[Tensor, " some"]]]
) -> str:
    """The digest of a model whose parameters come as (name, shape, the values at `sampled`), in the model's order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(_bytes(row))
    for name, shape, values in samples:
        total.update(f"{name} {shape}\n".encode())
        total.update(_bytes(values))
    return total.hexdigest()


def sampled(count: int) -> slice:
    """Which of a parameter's `count` values are hashed."""
    step = max(1, count // _SAMPLE)
    return slice(0, _SAMPLE * step, step)


def _samples(model: nn.Module) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
    for path, module in model.named_modules():
        with align_module_device(module):
            kind = quantized_as(module)
            if kind is not None:
                for name, part in stored_parts(module):
                    flat = part.detach().reshape(-1)
                    yield f"{path}.weight {named(module)} {name}", tuple(part.shape), flat[sampled(len(flat))]
            for name, parameter in module.named_parameters(recurse=False):
                if kind is not None and name == "weight":
                    continue
                flat = parameter.detach().reshape(-1)
                yield f"{path}.{name}", tuple(parameter.shape), flat[sampled(len(flat))]


def _bytes(values: Tensor) -> bytes:
    data: bytes = values.to("cpu", torch.float32).contiguous().numpy().tobytes()
    return data
