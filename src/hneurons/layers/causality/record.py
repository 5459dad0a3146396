"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Causality(BaseModel):
    """Which part causes it: patching, attribution, ablation, mediation."""

    model_config = ConfigDict(frozen=True, extra="forbid")
