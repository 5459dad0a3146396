"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Concepts(BaseModel):
    """States in two dimensions, and directions for factuality and uncertainty."""

    model_config = ConfigDict(frozen=True, extra="forbid")
