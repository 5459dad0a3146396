"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Confidence(BaseModel):
    """How sure the model is, how right it is, and when it should rather say nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
