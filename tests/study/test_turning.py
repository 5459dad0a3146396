"""A sweep on the small study: against separate runs, killed and resumed, and what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import hneurons
from hneurons.compliance.answers import read_parts
from hneurons.compliance.benchmark import BenchmarkRequest
from hneurons.compliance.loading import load_benchmark
from hneurons.compliance.playing import Reply
from hneurons.compliance.record import Sweep
from hneurons.compliance.settings import SweepSettings
from hneurons.compliance.turning import GATED, H_NEURONS, INTACT
from hneurons.errors import ConfigChangedError, CorruptRunError, EndpointError, QuestionSetError, RunError
from hneurons.files import read_json, write_json
from hneurons.interventions import scale
from hneurons.probes.probe import Probe
from hneurons.responses.judging import judge
from hneurons.responses.sampling import Prompt, sample
from hneurons.study.asking import prompts_of, read_questions
from hneurons.study.config import make_sweep_settings
from hneurons.study.judging import read_judged
from hneurons.study.results import Results, read_results, write_results
from hneurons.study.run import Run, read_record
from hneurons.study.sweep_plan import KNOWN, Frozen, folder
from hneurons.study.turning import run_sweep, settings_of, sweep_state

PASSAGES = ["The city lies on a river.", "Nobody lives there.", "It was founded long ago, by people who came by sea."]


def settings(text: Path, **changed: Any) -> SweepSettings:
    fields = {
        "alphas": (0.0, 1.0, 3.0),
        "benchmarks": [{"name": "atlas/pressure", "limit": 6}, {"name": "atlas/sealed", "limit": 8}],
        "n_random": 2,
        "n_layer_matched": 1,
        "n_known": 6,
        "text": str(text),
        "batch_rows": 8,
        "n_bootstrap": 50,
        "n_permutations": 20,
    }
    return SweepSettings.model_validate(fields | changed)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("text") / "passages.txt"
    file.write_text("\n".join(PASSAGES))
    return file


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """The small study, in a directory of the test's own."""
    return Run.open(shutil.copytree(finished.path, tmp_path / "run"))


@pytest.fixture(scope="session")
def swept(finished: Run, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The small study, swept without interruption. Look, do not write."""
    run = Run.open(shutil.copytree(finished.path, tmp_path_factory.mktemp("swept") / "run"))
    run_sweep(run, settings(text))
    return run


def found(run: Run) -> Sweep:
    return read_record(run.sweep_found, Sweep)


def known_asked(run: Run) -> dict[str, str]:
    """The questions that costs are measured on, and their set, read off the parts themselves."""
    folder_of = run.sweep / "answers" / folder(KNOWN) / folder(INTACT)
    ids = [reply.case for reply in read_parts(sorted(folder_of.glob("part-*.parquet")), Reply)]
    sets = {name: {each.id for each in read_questions(run, name)} for name in run.config.sets}
    return {each: next(name for name, there in sets.items() if each in there) for each in ids}


def test_costs_are_not_measured_on_what_c_was_chosen_on(swept: Run) -> None:
    judged = read_judged(swept)
    right = [a.question_id for a in judged.answers["train"] if a.part == "dev" and not a.hallucinated]
    used = set(right[: swept.config.probe.n_known])
    assert used
    assert not used & set(known_asked(swept))
    rest = [*right[swept.config.probe.n_known :]]
    test = [a.question_id for a in judged.answers["in-domain"] if not a.hallucinated]
    assert set(known_asked(swept)) == set((rest + test)[:6])


def artifacts(run: Run) -> dict[str, bytes]:
    files = [*run.sweep.rglob("*"), run.sweep_found]
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files if file.is_file()}


def test_one_pass_equals_separate_runs(swept: Run) -> None:
    """Rates and known accuracy of the H-Neurons at alpha 3, once more, one case at a time with `scale`."""
    model = hneurons.load("atlas-7m-instruct", dtype="float32")
    chosen = Probe.load(swept.probe).hneurons
    for curve in found(swept).curves:
        if curve.kind != "hneurons":
            continue
        asked = load_benchmark(next(each for each in settings_of(swept).benchmarks if each.name == curve.benchmark))
        outcomes = []
        for case in asked.cases:
            turns, replies = [turn.model_dump() for turn in case.turns], []
            for number in range(1 + len(case.follow_ups)):
                ids = model.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)[
                    "input_ids"
                ]
                with scale(model, chosen, 3.0):
                    ((reply,),) = sample(model, [Prompt(f"{case.id}\nround {number}", tuple(ids))], asked.sampling)
                replies.append(reply.text)
                if number == len(case.follow_ups) or not asked.goes_on(case, replies):
                    break
                turns += [{"role": "assistant", "content": reply.text}]
                turns += [{"role": "user", "content": case.follow_ups[number]}]
            outcomes.append(asked.rule(case, replies).outcome)
        point = next(each for each in curve.points if each.alpha == 3)
        assert point.complied == outcomes.count("complies")
        assert point.eligible == len(outcomes) - outcomes.count("ineligible")
        assert point.unparsed == outcomes.count("unparsed")
    asked = known_asked(swept)
    assert len(asked) == 6
    questions = {question.id: question for name in asked.values() for question in read_questions(swept, name)}
    prompts = [
        prompt
        for name in set(asked.values())
        for prompt in prompts_of(swept, name, model)
        if asked.get(prompt.question_id) == name
    ]
    greedy = swept.config.sampling.model_copy(update={"n_samples": 1, "temperature": 0.0})
    with scale(model, chosen, 3.0):
        right = [
            judge(sample(model, [prompt], greedy)[0][0].text, questions[prompt.question_id]) == "correct"
            for prompt in prompts
        ]
    cost = next(each for each in found(swept).costs if each.neurons == H_NEURONS)
    assert cost.points[-1].known_accuracy.value == pytest.approx(sum(right) / 6)


def test_the_intact_model_is_run_once_and_shared(swept: Run) -> None:
    sweep = found(swept)
    for benchmark in ("atlas/pressure", "atlas/sealed"):
        ones = {curve.points[1] for curve in sweep.curves if curve.benchmark == benchmark}
        assert len(ones) == 1
        assert ones.pop().alpha == 1
    assert {curve.neurons for curve in sweep.curves} == set(sweep.sets)
    assert set(sweep.sets) == {H_NEURONS, GATED, "random 0", "random 1", "layer-matched 0"}
    assert {curve.points[1] for curve in sweep.costs} == {sweep.costs[0].points[1]}
    gated = next(each for each in sweep.costs if each.kind == "gated")
    assert gated.points[1].turned == 0 < gated.points[2].turned < 1
    assert sweep.gate.n_tokens > 0


def test_what_is_found_is_said_for_every_benchmark(swept: Run) -> None:
    sweep = found(swept)
    assert [(each.benchmark, each.kind) for each in sweep.findings] == [
        (name, kind) for name in ("atlas/pressure", "atlas/sealed") for kind in ("hneurons", "gated")
    ]
    for each in sweep.findings:
        assert "beyond them" in each.sentence or "not defined" in each.sentence
        assert each.sentence.endswith(("random sets.", "random set.")) or "not defined" in each.sentence
    assert sweep.shared_trait is True
    assert (sweep.text_passages, sweep.known_questions) == (3, 6)
    assert [each.cases for each in sweep.benchmarks] == [6, 8]
    assert sum(sweep.benchmarks[1].judged_by.values()) == 8 * 3 * 5  # cases, alphas, sets


def test_results_hold_the_sweep_and_old_results_can_still_be_read(swept: Run, finished: Run, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(swept.path, tmp_path / "run"))
    write_results(run)
    assert read_results(run).sweep == found(run)
    old = {key: value for key, value in read_json(finished.results).items() if key != "sweep"}
    assert Results.model_validate(old).sweep is None


class Stops:
    """An engine that is killed after a few tasks."""

    def __init__(self, after: int) -> None:
        self.after = after

    def run(self, job: Any, work: Any, tasks: Sequence[Any], description: str, done: int) -> None:
        one = job.start(work)
        for task in tasks[: self.after]:
            one(task)
        raise KeyboardInterrupt

    def release(self) -> None:
        """The model is in this process."""


@pytest.mark.slow
def test_interrupted_and_resumed_it_ends_the_same(swept: Run, run: Run, text: Path) -> None:
    assert sweep_state(run) is None
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_sweep(run, settings(text), Stops(9))
    state = sweep_state(run)
    assert (state.done, state.complete) == (18, False)
    parts = {file: file.stat().st_mtime_ns for file in run.sweep.rglob("*.parquet")}
    run_sweep(run, settings_of(run))
    assert {file: file.stat().st_mtime_ns for file in parts} == parts  # what was done is not done again
    assert artifacts(run) == artifacts(swept)
    assert sweep_state(run).complete
    changed = artifacts(run) | {"sweep.json": b""}
    assert changed != artifacts(swept)


@pytest.mark.slow
def test_killed_it_ends_the_same(swept: Run, run: Run, text: Path, tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    write_json(file, settings(text).model_dump(mode="json"))
    command = [sys.executable, "-m", "hneurons.cli", "sweep", str(run.path), "--config", str(file)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "CI": "1"}
    )
    deadline = time.monotonic() + 240
    while len(list(run.sweep.rglob("*.parquet"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 5 <= sweep_state(run).done < sweep_state(run).total
    again = subprocess.run([*command[:5]], capture_output=True, check=False, env={**os.environ, "CI": "1"})
    assert again.returncode == 0, again.stderr.decode()
    assert artifacts(run) == artifacts(swept)
    assert read_results(run).sweep == found(swept)


def test_other_settings_are_refused_and_nothing_is_touched(swept: Run, text: Path) -> None:
    before = artifacts(swept)
    with pytest.raises(ConfigChangedError, match=r"batch_rows: 8 there, 16 now.*remove"):
        run_sweep(swept, settings(text, batch_rows=16))
    assert artifacts(swept) == before


def test_it_is_counted_again_with_other_resamples(swept: Run, text: Path, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(swept.path, tmp_path / "run"))
    parts = {file: file.stat().st_mtime_ns for file in run.sweep.rglob("*.parquet")}
    run_sweep(run, settings(text, n_permutations=40))
    assert {file: file.stat().st_mtime_ns for file in parts} == parts
    assert found(run).settings["n_permutations"] == 40


def test_a_text_that_changed_is_refused(swept: Run, text: Path, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(swept.path, tmp_path / "run"))
    plan = read_record(run.sweep / "plan.json", Frozen)
    write_json(run.sweep / "plan.json", plan.model_copy(update={"text": "other"}).model_dump(mode="json"))
    with pytest.raises(ConfigChangedError, match="begun with other text"):
        run_sweep(run, settings(text))


def test_a_damaged_part_is_named(swept: Run, text: Path, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(swept.path, tmp_path / "run"))
    file = next(run.sweep.rglob("part-00000.parquet"))
    file.write_bytes(b"no parquet")
    with pytest.raises(CorruptRunError, match="part-00000"):
        run_sweep(run, settings(text))


def test_a_run_without_a_probe_and_a_probe_without_neurons_are_refused(run: Run, text: Path) -> None:
    probe = Probe.load(run.probe)
    card = probe.card.model_copy(
        update={"neurons": tuple(each.model_copy(update={"weight": -abs(each.weight)}) for each in probe.card.neurons)}
    )
    Probe(card, probe.neurons, -abs(probe.weights), probe.deviations).save(run.probe)
    with pytest.raises(RunError, match="no H-Neurons"):
        run_sweep(run, settings(text))
    run.fit.unlink()
    with pytest.raises(RunError, match="hneurons fit"):
        run_sweep(run, settings(text))
    assert settings_of(run) is None  # neither used the sweep up


def test_an_unknown_benchmark_or_text_does_not_use_the_sweep_up(run: Run, text: Path) -> None:
    with pytest.raises(QuestionSetError, match="is 'falseqa' meant"):
        run_sweep(run, settings(text, benchmarks=[{"name": "falsqa"}]))
    with pytest.raises(QuestionSetError, match=r"'nowhere.txt' cannot be read"):
        run_sweep(run, settings(Path("nowhere.txt")))
    assert settings_of(run) is None
    assert sweep_state(run) is None


def test_settings_come_from_the_model_the_file_and_the_options(tmp_path: Path) -> None:
    own = make_sweep_settings("atlas-7m-instruct")
    assert {each.name for each in own.benchmarks} == {
        "atlas/premise",
        "atlas/context",
        "atlas/pressure",
        "atlas/sealed",
    }
    assert own.alphas == (0, 0.5, 1, 1.5, 2, 3)
    assert own.text == "atlas/text"
    assert {each.name for each in make_sweep_settings("some/model").benchmarks} == {
        "falseqa", "faitheval", "sycophancy", "jailbreak"
    }  # fmt: skip
    file = tmp_path / "sweep.toml"
    file.write_text('n_random = 3\nalphas = [0, 2]\n[judge]\nurl = "http://localhost:1/v1"\nmodel = "m"\n')
    given = make_sweep_settings(
        "atlas-7m-instruct", file, benchmarks=["falseqa=mine.csv", "faitheval"], limit=7, alphas=[4.0], gated=None
    )
    assert (given.n_random, given.alphas, given.judge.model, given.gated) == (3, (1, 4), "m", True)
    assert given.benchmarks == (
        BenchmarkRequest(name="falseqa", path="mine.csv", limit=7), BenchmarkRequest(name="faitheval", limit=7)
    )  # fmt: skip


def test_options_are_laid_over_the_settings_that_a_sweep_was_begun_with(swept: Run, text: Path) -> None:
    begun = settings_of(swept)
    assert make_sweep_settings("atlas-7m-instruct", begun=begun) == begun
    given = make_sweep_settings(
        "atlas-7m-instruct", begun=begun, judge_url="http://localhost:1/v1", judge_model="m", gated=None
    )
    assert (given.judge.model, given.model_copy(update={"judge": None})) == ("m", begun)
    assert make_sweep_settings("atlas-7m-instruct") != begun


def test_where_judging_fails_what_was_found_before_is_gone(
    swept: Run, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a new judge in its settings, the old findings would pass for those of the new judge."""
    run = Run.open(shutil.copytree(swept.path, tmp_path / "run"))

    def fails(*_: object, **__: object) -> None:
        raise EndpointError("no answer")

    monkeypatch.setattr("hneurons.study.turning.sweep_found", fails)
    for same, there in ((True, True), (False, False)):
        with pytest.raises(EndpointError):
            run_sweep(run, settings(text) if same else settings(text, n_permutations=40))
        assert run.sweep_found.exists() == there
    assert not sweep_state(run).complete


def test_the_sweep_of_another_probe_is_left_out_of_the_results(
    swept: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.open(shutil.copytree(swept.path, tmp_path / "run"))
    other = found(run).model_copy(update={"sets": found(run).sets | {H_NEURONS: ((0, 0),)}})
    write_json(run.sweep_found, other.model_dump(mode="json"))
    write_results(run)
    assert read_results(run).sweep is None
    assert "another probe" in " ".join(capsys.readouterr().err.split())


def test_folders_are_plain_names() -> None:
    assert [folder(name) for name in ("atlas/premise", GATED, "random 0")] == [
        "atlas-premise", "h-neurons-gated", "random-0"
    ]  # fmt: skip
