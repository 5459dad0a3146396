"""What is found layer by layer, as it is written into `results.json`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from hneurons.layers.attention.record import Attention
from hneurons.layers.causality.record import Causality
from hneurons.layers.comparison.record import Comparison
from hneurons.layers.concepts.record import Concepts
from hneurons.layers.confidence.record import Confidence
from hneurons.layers.mitigation.record import Mitigation
from hneurons.layers.tracking.record import Tracking


class Layers(BaseModel):
    """All parts that were asked; None is a part that was not, or that could not be: `missing` says why, by part.

    `settings` are those that it was asked with, `probe` names the probe that it was asked about, `seconds` say how long
    each part took when it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: dict[str, Any]
    probe: str
    seconds: dict[str, float]
    missing: dict[str, str]
    tracking: Tracking | None = None
    comparison: Comparison | None = None
    attention: Attention | None = None
    confidence: Confidence | None = None
    concepts: Concepts | None = None
    causality: Causality | None = None
    mitigation: Mitigation | None = None
