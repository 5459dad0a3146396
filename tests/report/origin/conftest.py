"""A run that was traced to its base model and over checkpoints, invented."""

from __future__ import annotations

import pytest
from tests.report.synthetic_origin import make_growth, make_origin

from hneurons.origins.record import Growth, Origin
from hneurons.study.results import Results


@pytest.fixture(scope="module")
def origin() -> Origin:
    return make_origin()


@pytest.fixture(scope="module")
def growth() -> Growth:
    return make_growth()


@pytest.fixture(scope="module")
def traced(results: Results, origin: Origin, growth: Growth) -> Results:
    return results.model_copy(update={"origin": origin, "growth": growth})
