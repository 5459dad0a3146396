"""A plan against the same worked out by hand, number by number."""

from __future__ import annotations

import pytest

from hneurons.errors import RunError
from hneurons.study.config import StudyConfig, make_config
from hneurons.study.planning import Rates, Shape, conditions_of, counts, plan_study

SHAPE = Shape(n_layers=32, n_neurons=14336, hidden_size=4096, weight_bytes=16e9)
RATES = Rates(
    sampled=2000, measured=10_000, response_tokens=8, prompt_tokens=42, read_rate=1e9, write_rate=5e8, fit_rate=1e8
)


def config(**changed: object) -> StudyConfig:
    """The defaults of a model that is no registered one: 5,000 questions of ten samples, 2,000 of one."""
    return make_config(model="some/model").model_copy(update=changed)


def test_a_plan_by_hand() -> None:
    found = plan_study(config(), SHAPE, RATES, workers=4, gpus_per_worker=2, price=3.0)
    load, sample, measure, fit = found.stages
    assert (counts(config()).responses, counts(config()).answers) == (52_000, 4_000)
    assert load.hours == pytest.approx(2 * 16 / 3600)
    assert sample.amount == 416_000
    assert sample.hours == pytest.approx(416_000 / 2000 / 4 / 3600)
    # two rows an answer, of 32 layers of 14336 neurons and 4096 of hidden states, four bytes each
    assert found.contributions == 2 * 4_000 * 32 * (14336 + 4096) * 4
    assert measure.amount == 200_000
    assert measure.limit == "storage"  # 5 seconds of four workers, and 37.7 s of writing
    assert measure.hours == pytest.approx(found.contributions / 5e8 / 3600)
    assert found.matrix == 2 * 2_000 * 32 * 14336 * 4
    assert fit.hours == pytest.approx(found.matrix / 1e8 / 3600)
    assert fit.gpu_hours == pytest.approx(2 * fit.hours)
    assert found.cost == pytest.approx(3 * 2 * (4 * (load.hours + sample.hours + measure.hours) + fit.hours))
    assert found.hours == pytest.approx(load.hours + sample.hours + measure.hours + fit.hours)


def test_halves_take_half_the_disk_and_workers_are_the_limit_where_it_is_fast() -> None:
    whole = plan_study(config(), SHAPE, RATES, workers=4)
    fast = plan_study(config(storage="float16"), SHAPE, RATES.model_copy(update={"write_rate": 1e11}), workers=4)
    assert fast.contributions == whole.contributions / 2
    assert fast.stages[2].limit == "workers"
    assert fast.stages[2].hours == pytest.approx(200_000 / 10_000 / 4 / 3600)


def test_what_was_not_measured_is_not_told() -> None:
    found = plan_study(config(), SHAPE, RATES.model_copy(update={"fit_rate": None}), workers=1)
    assert [stage.name for stage in found.stages] == ["load", "sample", "measure"]
    assert "benchmarks/path.py" in found.missing["fit"]


def test_a_set_without_a_limit_is_refused() -> None:
    train = config().train.model_copy(update={"limit": None})
    with pytest.raises(RunError, match="how many questions train has is not known"):
        counts(config(train=train))


def test_the_conditions_are_those_of_the_plan() -> None:
    given = conditions_of("measure", config(), SHAPE, RATES, dispatch_seconds=0.002, start_seconds=20.0)
    assert given.tasks == 63  # 4,000 answers, 64 at once: 64 x 50 tokens are below the 4,096 of a batch
    assert given.task_seconds == pytest.approx(64 * 50 / 10_000)
    assert given.result_bytes * given.tasks == pytest.approx(
        plan_study(config(), SHAPE, RATES, workers=1).contributions, rel=64 / 4000
    )
    given = conditions_of("sample", config(), SHAPE, RATES, dispatch_seconds=0.002, start_seconds=20.0)
    assert given.tasks == 79 + 32
    assert given.tasks * given.task_seconds == pytest.approx(416_000 / 2000)
