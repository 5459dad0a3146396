"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Comparison(BaseModel):
    """Faithful against hallucinated answers, layer by layer: effect sizes, separability, similarity."""

    model_config = ConfigDict(frozen=True, extra="forbid")
