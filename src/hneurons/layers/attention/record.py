"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Attention(BaseModel):
    """What the model looks at while it decides: shares of attention by segment, layer and head."""

    model_config = ConfigDict(frozen=True, extra="forbid")
