"""Two models of one shape, the second with changed weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.origins.naive_drift import perturb, rewrite

Directory = Callable[..., Path]


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """`copy(directory, name)`: a copy of a model to change."""
    return lambda directory, name="tuned": Path(shutil.copytree(directory, tmp_path / name))


@pytest.fixture
def pair(tiny_directory: Directory, copy: Callable[..., Path]) -> tuple[Path, Path]:
    """A tiny Llama and a tuned version of it, each to be changed at will."""
    return copy(tiny_directory("llama"), "base"), rewrite(copy(tiny_directory("llama")), perturb)
