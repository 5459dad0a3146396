"""The synthetic study of the report's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hneurons.study.results import Results


def _synthetic() -> ModuleType:
    """tests/report/synthetic.py, which no test folder can import by name."""
    name = "synthetic_results"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "synthetic.py")
        assert spec and spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def results() -> Results:
    """Invented results of four sets; on cross-domain the H-Neurons do not beat random ones, invented has one kind."""
    made: Results = _synthetic().make_results()
    return made
