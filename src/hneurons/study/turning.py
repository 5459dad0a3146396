"""The sweep over alpha: the H-Neurons of a run turned, beside their controls, on the compliance benchmarks.

    sweep/config.json               its settings; a sweep is never continued with others
    sweep/plan.json                 what these came to: benchmarks, neurons, gate, text
    sweep/answers/WHAT/NEURONS/part-00000.parquet   what was said, a part per batch
    sweep/verdicts/                 verdicts of an LLM judge, by content
    sweep.json                      what it found

Like a study it can be killed at any moment: what is there is not made again, and the end is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hneurons.compliance.answers import read_parts, write_part
from hneurons.compliance.playing import Reply, Row, ask, play
from hneurons.compliance.reading import Loss, read
from hneurons.compliance.record import Sweep
from hneurons.compliance.settings import ANALYSIS, SweepSettings
from hneurons.compliance.sweeping import Asked, sweep_found
from hneurons.compliance.turning import INTACT
from hneurons.engine import Engine, Here
from hneurons.errors import ConfigChangedError, RunError
from hneurons.files import write_json
from hneurons.models.language_model import LanguageModel
from hneurons.models.registered import RegisteredModel
from hneurons.registry import registered
from hneurons.study.run import Run, differences, read_record
from hneurons.study.stages import State
from hneurons.study.sweep_plan import KNOWN, TEXT, Frozen, SweepPlan, Task, part_file, plan_sweep
from hneurons.study.work import Work


@dataclass(frozen=True)
class TurnJob:
    """Makes parts of a sweep."""

    plan: SweepPlan

    def start(self, work: Work, /) -> Callable[[Task], None]:
        run, model = work.run, work.model
        return lambda task: write_part(part_file(run, task), perform(run, model, self.plan, task))

    def needs(self, work: Work) -> tuple[Path, ...]:
        return ()

    def leaves(self, work: Work, task: Task) -> tuple[Path, ...]:
        return (part_file(work.run, task),)

    @property
    def content(self) -> str:
        return self.plan.settings.model_dump_json() + self.plan.frozen.model_dump_json()


def run_sweep(run: Run, settings: SweepSettings, engine: Engine | None = None) -> Sweep:
    """Do what is missing of a sweep, judge it, and write down what it found.

    Raises:
        RunError: the run has no probe, or another process works on it.
        ConfigChangedError: a sweep with other settings was begun there.
    """
    if not run.fit.exists():
        raise RunError(f"{run.path} has no probe yet; find it with: hneurons fit {run.path}")
    engine = engine or Here()
    with run.locked():
        _begin(run, settings)
        work = Work(run, engine)
        frozen = read_record(run.sweep / "plan.json", Frozen) if (run.sweep / "plan.json").exists() else None
        plan = plan_sweep(run, work.model, settings, frozen.gate if frozen else None)
        _freeze(run, frozen, plan)
        missing = [task for task in plan.tasks if not part_file(run, task).exists()]
        work.do(TurnJob(plan), missing, "turning neurons", len(plan.tasks) - len(missing))
        entry = registered("hneurons.models").get(run.config.model.name)
        shared = entry.shared_trait if isinstance(entry, RegisteredModel) else None
        found = sweep_found(_asked(run, plan), shared_trait=shared, verdicts=run.sweep / "verdicts")
        write_json(run.sweep_found, found.model_dump(mode="json"))
    return found


def settings_of(run: Run) -> SweepSettings | None:
    """The settings of the sweep that was begun in a run; None where none has got as far as an answer."""
    file = run.sweep / "config.json"
    return read_record(file, SweepSettings) if file.exists() and (run.sweep / "answers").exists() else None


def sweep_state(run: Run) -> State | None:
    """How far the sweep is; None where none was begun."""
    if not (run.sweep / "plan.json").exists():
        return None
    total = read_record(run.sweep / "plan.json", Frozen).tasks
    done = sum(1 for _ in (run.sweep / "answers").rglob("part-*.parquet"))
    finished = run.sweep_found.exists()
    return State("sweep", done if done < total or finished else total - 1, total, "batches")


def perform(run: Run, model: LanguageModel, plan: SweepPlan, task: Task) -> Sequence[Reply] | Sequence[Loss]:
    """Make one part: every alpha in one batch."""
    settings = plan.settings
    chosen = None if task.neurons == INTACT else plan.sets[task.neurons]
    alphas = (1.0,) if chosen is None else settings.turned
    numbers = plan.chunks[task.what][task.number]
    if task.what == TEXT:
        return read(model, [(i, plan.text[i]) for i in numbers], chosen, alphas)
    if task.what == KNOWN:
        greedy = run.config.sampling.model_copy(update={"n_samples": 1, "temperature": 0.0})
        known = [plan.known_rows[i] for i in numbers]
        rows = [Row(row.case, row.token_ids, alpha) for row in known for alpha in alphas]
        return ask(model, rows, chosen, greedy)
    benchmark, plain = plan.benchmarks[task.what], run.config.prompt.style == "plain"
    return play(
        model,
        benchmark,
        [benchmark.cases[i] for i in numbers],
        chosen,
        alphas,
        seed=settings.seed,
        plain=plain,
        stop=run.config.sampling.stop if plain else (),
    )


def replies_of(run: Run, plan: SweepPlan, what: str, neurons: str) -> list[Reply]:
    """All replies of one set of neurons to a benchmark, or to the known questions, alpha 1 (the intact model) included.

    Raises:
        CorruptRunError: a part is missing or cannot be read.
    """
    return read_parts([part_file(run, task) for task in _tasks(plan, what, neurons)], Reply)


def losses_of(run: Run, plan: SweepPlan, neurons: str) -> list[Loss]:
    """How one set of neurons read the text, alpha 1 included; errors as of `replies_of`."""
    return read_parts([part_file(run, task) for task in _tasks(plan, TEXT, neurons)], Loss)


def _asked(run: Run, plan: SweepPlan) -> Asked:
    return Asked(
        settings=plan.settings,
        benchmarks=tuple(plan.benchmarks.values()),
        sets=tuple(plan.sets.values()),
        gate=plan.gate,
        known=plan.known,
        replies=lambda benchmark, neurons: replies_of(run, plan, benchmark, neurons),
        known_replies=lambda neurons: replies_of(run, plan, KNOWN, neurons),
        losses=lambda neurons: losses_of(run, plan, neurons),
    )


def _tasks(plan: SweepPlan, what: str, neurons: str) -> list[Task]:
    return [Task(what, name, i) for name in dict.fromkeys((INTACT, neurons)) for i in range(len(plan.chunks[what]))]


def _begin(run: Run, settings: SweepSettings) -> None:
    """Write the settings down, or hold them against those that are there.

    Raises:
        ConfigChangedError: what is there was said under other settings; nothing of it is touched.
    """
    before = settings_of(run)
    if before is None:  # nothing there, or a slip in its settings
        (run.sweep / "plan.json").unlink(missing_ok=True)
        run.sweep_found.unlink(missing_ok=True)
    else:
        old, new = (each.model_dump(mode="json", exclude=set(ANALYSIS)) for each in (before, settings))
        if changes := list(differences(old, new)):
            raise ConfigChangedError(
                f"{run.sweep} holds a sweep with other settings ({'; '.join(changes[:3])}); leave the options out to "
                f"go on with its own, or remove {run.sweep} to begin anew"
            )
        if before != settings:  # judged or counted otherwise: what was found before is not what these find
            run.sweep_found.unlink(missing_ok=True)
    write_json(run.sweep / "config.json", settings.model_dump(mode="json"))


def _freeze(run: Run, before: Frozen | None, plan: SweepPlan) -> None:
    """Write down what the settings came to, or refuse to go on with something else.

    Raises:
        ConfigChangedError: a benchmark, the probe or the text is no longer what it was.
    """
    now = plan.frozen
    if before is None:
        write_json(run.sweep / "plan.json", now.model_dump(mode="json"))
    elif changed := [name for name in Frozen.model_fields if getattr(before, name) != getattr(now, name)]:
        raise ConfigChangedError(
            f"{run.sweep} was begun with other {', '.join(changed)} than are there now; put them back, or remove "
            f"{run.sweep} to begin anew"
        )
