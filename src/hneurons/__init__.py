"""Find, watch, turn and trace the neurons that make a language model hallucinate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hneurons.models.language_model import LanguageModel as LanguageModel
    from hneurons.models.load import load as load

_HOMES = {
    "LanguageModel": "hneurons.models.language_model",
    "load": "hneurons.models.load",
}
"""Public names and where they live; imported on first use, so that `hneurons --help` need not wait for torch."""

__all__ = ["LanguageModel", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hneurons' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
