"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Mitigation(BaseModel):
    """What helps, at what price."""

    model_config = ConfigDict(frozen=True, extra="forbid")
