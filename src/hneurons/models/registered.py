"""A model that a package registers under a name, through the entry-point group `hneurons.models`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RegisteredModel:
    """What a name stands for.

    Attributes:
        path: an ordinary Hugging Face model directory.
        summary: one line on what the model is.
        study: default settings of a study on this model, by name; empty where the general defaults do.
    """

    path: Path
    summary: str
    study: Mapping[str, Any] = field(default_factory=dict)
