"""What the tests of the comparison share."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def as_a_user_calls() -> Iterator[None]:
    """Without the tests' type checks, so that what users meet are our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
