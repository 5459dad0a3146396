"""What an export did, as it is written beside the edited model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.models.mixture import ExpertLayout
from hneurons.probes.labels import Neuron


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaseModelRecord(_Record):
    """The model that was edited.

    `weights_digest` is that of its fingerprint, None where its files do not tell it.
    `experts` says how the neurons of a mixture of experts are counted.
    """

    name: str
    revision: str | None
    model_type: str
    n_layers: int
    n_neurons: int
    hidden_size: int
    weights_digest: str | None
    experts: ExpertLayout | None = None

    @property
    def neurons(self) -> int:
        """Number of neurons in the whole model."""
        return self.n_layers * self.n_neurons if self.experts is None else self.experts.neurons


class EditedTensor(_Record):
    """A tensor in which columns were scaled; `rounding` is the largest relative rounding error of a product."""

    file: str
    tensor: str
    layer: int
    n_neurons: int
    dtype: str
    rounding: float


class ExportReport(_Record):
    """What `export` wrote: `hneurons.json`.

    `copied` are the files beside the weights, `left_out` the base model's files that are not in the copy.
    """

    format: Literal["hneurons-export-1"] = "hneurons-export-1"
    version: str
    base: BaseModelRecord
    alpha: float
    neurons: tuple[Neuron, ...]
    edited: tuple[EditedTensor, ...]
    copied: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def rounding(self) -> float:
        """The largest relative rounding error of a scaled weight."""
        return max((each.rounding for each in self.edited), default=0.0)
