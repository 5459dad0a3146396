from __future__ import annotations

from collections.abc import Callable

from hneurons.models.language_model import LanguageModel


def test_every_family_loads_and_verifies(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    assert tiny_model(tiny_family).residual < 1e-5
