"""The synthetic study of the report's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.report import synthetic_sweep
from tests.report.synthetic import make_results

from hneurons.compliance.record import Sweep
from hneurons.files import write_json
from hneurons.probes.probe import make_probe
from hneurons.probes.solution import Path as SolutionPath
from hneurons.probes.solution import Solution
from hneurons.study.config import StudyConfig
from hneurons.study.results import Results
from hneurons.study.run import Run


@pytest.fixture(scope="session")
def results() -> Results:
    """Invented results of four sets; on cross-domain the H-Neurons do not beat random ones, invented has one kind."""
    return make_results()


@pytest.fixture(scope="session")
def make_sweep() -> Callable[..., Sweep]:
    """Invents a sweep: of these alphas and titles of benchmarks, with or without a gate, and how strong it is."""
    return synthetic_sweep.make_sweep


@pytest.fixture(scope="session")
def sweep(make_sweep: Callable[..., Sweep]) -> Sweep:
    """Four benchmarks, on one of which nothing moves; on another, replies break at alpha 3."""
    return make_sweep()


@pytest.fixture(scope="session")
def swept(results: Results, sweep: Sweep) -> Results:
    """The invented study with that sweep."""
    return results.model_copy(update={"sweep": sweep})


@pytest.fixture(scope="session")
def small(results: Results) -> Results:
    """The same results of one evaluation set alone."""
    name = "in-domain"
    found = results.evaluation
    evaluation = found.model_copy(
        update={
            "detection": tuple(each for each in found.detection if each.eval_set == name),
            "controls": tuple(each for each in found.controls if each.eval_set == name),
            "additions": tuple(each for each in found.additions if each.eval_set == name),
            "scores": {name: found.scores[name]},
        }
    )
    config = {**results.config, "evaluate": {name: results.config["evaluate"][name]}}
    return results.model_copy(
        update={
            "config": config,
            "evaluation": evaluation,
            "sets": {key: results.sets[key] for key in ("train", name)},
            "counts": {key: results.counts[key] for key in ("train", name)},
            "comparisons": tuple(each for each in results.comparisons if each.eval_set == name),
            "examples": tuple(each for each in results.examples if each.eval_set == name),
        }
    )


@pytest.fixture
def finished_run(small: Results, tmp_path: Path) -> Run:
    """A run directory with the results and a probe, and nothing else."""
    run = Run.start(tmp_path / "run", StudyConfig.model_validate(small.config))
    write_json(run.results, small.model_dump(mode="json"))
    solution = Solution(0.0316, np.array([7, 3000]), np.array([1.0, 0.5]), -1.0, 0.0, 1)
    make_probe(
        solution,
        SolutionPath((solution,), "none", "free", None),
        small.model,
        scheme="3-vs-1",
        other="response",
        positions="at",
        date="2025-01-02",
        questions={"train": "d1"},
    ).save(run.probe)
    return run
