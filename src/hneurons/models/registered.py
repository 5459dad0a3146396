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
        sweep: default settings of a sweep over alpha on this model; empty where the general defaults do.
        origin: which model this one was tuned from, and how that is asked; empty where nobody knows.
        shared_trait: whether guessing and complying were taught as one trait; None where nobody knows.
    """

    path: Path
    summary: str
    study: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    shared_trait: bool | None = None
