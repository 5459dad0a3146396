"""The stages of a study, in order: what each needs, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hneurons.engine import Engine, Here
from hneurons.errors import RunError
from hneurons.study.asking import parts, sample_responses, write_questions
from hneurons.study.evaluating import evaluate
from hneurons.study.fitting import fit_probe
from hneurons.study.judging import judge_responses
from hneurons.study.measuring import measure, measured
from hneurons.study.run import Run
from hneurons.study.work import Work


@dataclass(frozen=True)
class State:
    """How far a stage is."""

    name: str
    done: int
    total: int
    unit: str

    @property
    def complete(self) -> bool:
        return self.done == self.total


def _sample(work: Work) -> None:
    write_questions(work.run)
    sample_responses(work)


def _report(work: Work) -> None:
    from hneurons.study.results import write_results

    write_results(work.run)


STAGES: dict[str, Callable[[Work], None]] = {
    "sample": _sample,
    "judge": lambda work: judge_responses(work.run),
    "measure": lambda work: measure(work),
    "fit": lambda work: fit_probe(work.run, work.model),
    "evaluate": lambda work: evaluate(work.run, work.model),
    "report": _report,
}


def stage_states(run: Run) -> list[State]:
    """How far every stage is, from what lies on disk."""
    sets = list(run.config.sets)
    asked = (run.path / "questions" / "sets.json").exists()
    sampled = [parts(run, name) for name in sets] if asked else [(0, 1)]
    return [
        State("sample", sum(done for done, _ in sampled), sum(total for _, total in sampled), "batches"),
        State("judge", int(run.judged.exists()), 1, "files"),
        State("measure", sum(measured(run, name) for name in sets), len(sets), "sets"),
        State("fit", int(run.fit.exists()), 1, "files"),
        State("evaluate", int(run.detection.exists()), 1, "files"),
        State("report", run.results.exists() + run.report.exists(), 2, "files"),
    ]


def run_stages(run: Run, until: str = "report", engine: Engine | None = None) -> None:
    """Do every stage up to `until` that is not done yet.

    Raises:
        RunError: there is no such stage, or another process works on the run.
    """
    if until not in STAGES:
        raise RunError(f"there is no stage {until!r}; use one of {', '.join(STAGES)}")
    work = Work(run, engine or Here())
    with run.locked():
        done = {state.name for state in stage_states(run) if state.complete}
        for name, stage in STAGES.items():
            if name not in done or name == "report":
                stage(work)
            if name == until:
                return
