"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Tracking(BaseModel):
    """At which layer an answer is decided: lenses, the layer of decision, drift under misleading prompts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
