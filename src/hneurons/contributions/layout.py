"""What a store holds and where: written once when it is made, and compared whenever it is opened again."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, Field

from hneurons.contributions.batches import Batches, batches_digest
from hneurons.contributions.item import Recording, has_other
from hneurons.errors import NotEnoughDataError
from hneurons.models.fingerprint import ModelFingerprint

StoredType = Literal["float32", "float16"]


@runtime_checkable
class Planned(Protocol):
    """What a layout says of a model: a `LanguageModel`, or what is known of one."""

    @property
    def n_layers(self) -> int: ...
    @property
    def n_neurons(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def fingerprint(self) -> ModelFingerprint: ...


class Layout(BaseModel):
    """Shapes and settings of a store.

    Batch b owns the rows from `b * rows_per_batch` on, as many of them as it has; the rest stay empty. So the place of
    a row depends on the plan alone, never on what was recorded before.

    Attributes:
        recording: how the rows were read; None for imported rows.
        model: what identifies the model; None for imported rows. Its name is not compared (a path may change).
        compute: type of the model's weights, in which the forward pass ran; None for imported rows.
        items: digest of the planned batches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    n_layers: int = Field(ge=1)
    n_neurons: int = Field(ge=1)
    hidden_size: int | None
    batches: int = Field(ge=1)
    rows_per_batch: int = Field(ge=1)
    dtype: StoredType = "float32"
    recording: Recording | None
    model: ModelFingerprint | None
    compute: str | None
    items: str

    @classmethod
    def plan(cls, model: Planned, batches: Batches, recording: Recording, dtype: StoredType = "float32") -> Layout:
        """Layout for recording `batches` of `model`.

        Raises:
            NotEnoughDataError: there is no batch.
        """
        if not batches:
            raise NotEnoughDataError("there is nothing to record: no response is left; sample more questions")
        return cls(
            n_layers=model.n_layers,
            n_neurons=model.n_neurons,
            hidden_size=model.hidden_size if recording.hidden else None,
            batches=len(batches),
            rows_per_batch=max(len(batch) + sum(has_other(item, recording) for item in batch) for batch in batches),
            dtype=dtype,
            recording=recording,
            model=model.fingerprint,
            compute=str(model.dtype).removeprefix("torch."),
            items=batches_digest(batches),
        )

    def differences(self, other: Layout) -> list[str]:
        """Names of the fields in which two layouts differ; empty when one store serves both."""
        names = [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]
        if self.model is not None and other.model is not None and self.model.same_model(other.model):
            names = [name for name in names if name != "model"]
        return names
