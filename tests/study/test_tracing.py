"""A small study held against the bundled base model: every AUROC by another path, killed and resumed, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score
from tests.study.conftest import ONE_DAY

from hneurons.contributions import ContributionStore
from hneurons.errors import ConfigChangedError, ModelError, ProbeMismatchError, RunError
from hneurons.files import read_json, write_json
from hneurons.origins.record import Origin
from hneurons.probes.probe import Probe
from hneurons.probes.rows import dense
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.study import tracing
from hneurons.study.asking import copy_questions, read_questions, read_responses
from hneurons.study.config import ModelSettings, make_config
from hneurons.study.evaluating import (
    H_NEURONS,
    MATCHED,
    PERMUTED,
    PERMUTED_ANSWERS,
    RANDOM,
    REFIT,
    Fitted,
    evaluation_sets,
    fitted_detectors,
)
from hneurons.study.judging import read_judged
from hneurons.study.nested import nested_run, share_right
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.results import read_results, write_results
from hneurons.study.run import Run, read_record
from hneurons.study.stages import run_stages
from hneurons.study.tracing import origin_state, settings_of, trace

BASE = "atlas-7m-base"
SMALLER: dict[str, Any] = {
    "train": {"questions": "atlas/cities", "split": "train", "limit": 200},
    "evaluate": {
        "in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 80},
        "invented": {"questions": "atlas/invented", "split": "validation", "limit": 20, "faithful_from": "in-domain"},
    },
    "selection": {"minimum": 3},
    "sampling": {"n_samples": 3},
    "probe": {"n_grid": 3, "n_known": 3},
    "controls": {"n_random": 3, "n_layer_matched": 3, "n_permuted": 2, "n_stability": 2, "n_bootstrap": 50},
}


def settings(base: str | None = BASE, **changed: Any) -> OriginSettings:
    fields = {
        "base": base and {"name": base, "dtype": "float32"},
        "prompt": {"style": "plain"},
        "stop": ["\n"],
    }
    return OriginSettings.model_validate(fields | changed)


@pytest.fixture(scope="module", autouse=True)
def _one_day() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_DAY.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The study, finished and not traced. Look, do not write."""
    directory = tmp_path_factory.mktemp("untraced")
    write_json(directory / "smaller.json", SMALLER)
    run = Run.start(directory / "run", make_config(directory / "smaller.json"))
    run_stages(run)
    return Run.open(run.path)


@pytest.fixture(scope="module")
def fits() -> dict[str, Fitted]:
    """What was fitted on the run ("run") and on its base model ("base"), filled by `traced`."""
    return {}


@pytest.fixture(scope="module")
def traced(done: Run, fits: dict[str, Fitted], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The study, traced both ways without interruption. Look, do not write."""
    run = Run.open(shutil.copytree(done.path, tmp_path_factory.mktemp("traced") / "run"))

    def kept(run: Run) -> Fitted:
        return fits.setdefault(run.path.name, fitted_detectors(run))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "fitted_detectors", kept)
        trace(run, settings())
    return run


@pytest.fixture
def copy(traced: Run, tmp_path: Path) -> Run:
    """The traced study, in a directory of the test's own."""
    return Run.open(shutil.copytree(traced.path, tmp_path / "run"))


@pytest.fixture
def once(traced: Run, fits: dict[str, Fitted], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fitted on the same answers is the same, and not fitted again."""
    assert set(fits) == {traced.path.name, "base"}
    monkeypatch.setattr(tracing, "fitted_detectors", lambda run: fits[run.path.name])


def refuse(*_: object) -> Fitted:
    raise AssertionError("nothing is to be fitted again")


def found(run: Run) -> Origin:
    return read_record(run.origin_found, Origin)


def base_of(run: Run) -> Run:
    return Run.open(run.origin / "base")


def rows(run: Run, name: str) -> tuple[list[bool], np.ndarray]:
    """Labels and stored contributions (answers, layers, neurons) of a set, read from the files themselves."""
    answers = json.loads(run.judged.read_text())["answers"][name]
    store = ContributionStore.open(run.contributions(name))
    table = store.table()
    where = {key: i for key, role, i in zip(table.key, table.role, table.row, strict=True) if role == "answer"}
    places = np.array([where[f"{each['question_id']}#{each['sample']}"] for each in answers])
    contributions = np.stack([store.layer(layer, places) for layer in range(store.layout.n_layers)], axis=1)
    return [each["hallucinated"] for each in answers], contributions


def logits(run: Run, contributions: np.ndarray) -> list[float]:
    """w.x + b of the run's saved probe, neuron by neuron."""
    tensors = load_file(run.probe / "probe.safetensors")
    intercept = json.loads((run.probe / "probe.json").read_text())["intercept"]
    found = []
    for row in contributions:
        z = intercept
        for layer, index, weight in zip(tensors["layers"], tensors["indices"], tensors["weights"], strict=True):
            z += float(weight) * float(row[layer, index])
        found.append(z)
    return found


def figure(run: Run, direction: str, detector: str, name: str = "in-domain") -> Any:
    transfer = getattr(found(run), direction)
    return next(row for row in transfer.figures if (row.eval_set, row.detector) == (name, detector))


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_the_auroc_of_the_probe_is_scikit_learns(traced: Run, direction: str) -> None:
    """From the saved probe of one model and the stored contributions of the other, by a naive loop."""
    one, other = (traced, base_of(traced)) if direction == "backward" else (base_of(traced), traced)
    y, contributions = rows(other, "in-domain")
    row = figure(traced, direction, H_NEURONS)
    assert row.auroc.value == pytest.approx(roc_auc_score(y, logits(one, contributions)), abs=1e-12)
    assert (row.n_hallucinated, row.n_faithful) == (sum(y), len(y) - sum(y))
    assert row.auroc.low < row.auroc.value < row.auroc.high
    native = roc_auc_score(y, logits(other, contributions))  # the wrong probe
    own_y, own = rows(one, "in-domain")  # and the wrong answers
    assert row.auroc.value != pytest.approx(native, abs=1e-6)
    assert row.auroc.value != pytest.approx(roc_auc_score(own_y, logits(one, own)), abs=1e-6)


def test_the_base_models_own_probe_stands_beside(traced: Run) -> None:
    y, contributions = rows(base_of(traced), "in-domain")
    row = next(r for r in found(traced).native if (r.eval_set, r.detector) == ("in-domain", H_NEURONS))
    assert row.auroc.value == pytest.approx(roc_auc_score(y, logits(base_of(traced), contributions)), abs=1e-12)


def test_refitted_and_random_neurons_are_applied_with_the_weights_of_the_tuned_model(
    traced: Run, fits: dict[str, Fitted]
) -> None:
    fitted = fits["run"]
    y, contributions = rows(base_of(traced), "in-domain")
    flat = contributions.reshape(len(y), -1)
    hneurons = [layer * contributions.shape[2] + index for layer, index in Probe.load(traced.probe).hneurons]
    refitted: Any = next(each for each in fitted.detectors if each.name == REFIT)
    scores = [sum(w * float(x) for w, x in zip(refitted.model.weights, row[hneurons], strict=True)) for row in flat]
    assert figure(traced, "backward", REFIT).auroc.value == pytest.approx(roc_auc_score(y, scores), abs=1e-12)
    control = next(
        each for each in found(traced).backward.controls if (each.eval_set, each.control) == ("in-domain", RANDOM)
    )
    answers = evaluation_sets(base_of(traced))["in-domain"]
    draws: Sequence[Any] = fitted.draws[RANDOM]
    values = [roc_auc_score(y, each.features(answers) @ each.model.weights) for each in draws]
    assert control.auroc.values == pytest.approx(values, abs=1e-12)
    assert (control.auroc.low, control.auroc.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_invented_places_stand_beside_faithful_answers_of_the_base_model(traced: Run) -> None:
    base = base_of(traced)
    answers = evaluation_sets(base)["invented"]
    shaped = dense(answers.contributions).reshape(len(answers), -1, Probe.load(traced.probe).card.model.n_neurons)
    expected = roc_auc_score(answers.hallucinated, logits(traced, shaped))
    assert figure(traced, "backward", H_NEURONS, "invented").auroc.value == pytest.approx(expected, abs=1e-12)
    asked = {each.eval_set: each for each in found(traced).asked}
    assert asked["invented"].faithful == asked["invented"].hallucinated == answers.hallucinated.sum() > 0
    assert asked["invented"].accuracy.value is None
    assert "no question has a right answer" in asked["invented"].accuracy.reason


def test_both_ways_have_every_detector_control_and_finding(traced: Run) -> None:
    origin = found(traced)
    assert (origin.backward.fitted_on, origin.backward.applied_to) == ("atlas-7m-instruct", BASE)
    assert (origin.forward.fitted_on, origin.forward.applied_to) == (BASE, "atlas-7m-instruct")
    for transfer in (origin.backward, origin.forward):
        assert {row.detector for row in transfer.figures} > {H_NEURONS, REFIT, "token entropy", "L2 on all neurons"}
        controls = {PERMUTED, RANDOM, MATCHED} | (
            {PERMUTED_ANSWERS} if traced.config.probe.scheme != "1-vs-1" else set()
        )
        assert {(each.eval_set, each.control) for each in transfer.controls} == {
            (name, control) for name in traced.config.evaluate for control in controls
        }
        assert len(transfer.findings) == len(transfer.controls)
    assert origin.missing == {}
    assert origin.probe == Probe.load(traced.probe).card.tensors
    assert origin.drift.tests
    assert {each.neuron for each in origin.drift.hneurons} == set(Probe.load(traced.probe).hneurons)


def test_the_base_model_is_asked_the_same_questions_in_its_own_way(traced: Run) -> None:
    base = base_of(traced)
    for name in traced.config.sets:
        assert read_questions(base, name) == read_questions(traced, name)
    assert (base.config.prompt.style, base.config.prompt.template) == ("plain", "Question: {question}\nAnswer:")
    said = read_responses(base, "in-domain")
    assert not any("\n" in each[0].text for each in said.values())
    assert any(said[key][0].text != each[0].text for key, each in read_responses(traced, "in-domain").items())
    assert found(traced).base == Probe.load(base.probe).card.model


def test_accuracy_counts_right_answers_among_the_questions(traced: Run) -> None:
    """By the judge itself, a refusal not right, the interval by a loop over the same draws of groups."""
    base = base_of(traced)
    asked = next(each for each in found(traced).asked if each.eval_set == "in-domain")
    questions = read_questions(base, "in-domain")
    said = read_responses(base, "in-domain")
    verdicts = [judge(said[each.id][0].text, each) for each in questions]
    assert asked.verdicts == {kind: verdicts.count(kind) for kind in ("correct", "incorrect", "refusal")}
    assert (asked.questions, asked.accuracy.value) == (len(questions), verdicts.count("correct") / len(questions))
    groups = sorted({each.split_key for each in questions})
    draws = np.random.default_rng(traced.config.seed).multinomial(
        len(groups), np.full(len(groups), 1 / len(groups)), size=traced.config.controls.n_bootstrap
    )
    shares = []
    for draw in draws:
        times = dict(zip(groups, draw, strict=True))
        counted = [(times[q.split_key], verdict == "correct") for q, verdict in zip(questions, verdicts, strict=True)]
        shares.append(sum(n * right for n, right in counted) / sum(n for n, _ in counted))
    assert (asked.accuracy.low, asked.accuracy.high) == pytest.approx(tuple(np.percentile(shares, [2.5, 97.5])))


def test_groups_widen_the_interval_of_accuracy() -> None:
    alone = [(Question(id=str(i), text="?", aliases=("x",)), i % 20 < 10) for i in range(200)]
    together = [(each.model_copy(update={"group": str(i // 10)}), right) for i, (each, right) in enumerate(alone)]
    narrow, wide = share_right(alone), share_right(together)
    assert narrow.value == wide.value == 0.5
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert share_right([]).value is None


def artifacts(run: Run) -> dict[str, bytes]:
    files = [*run.origin.rglob("*"), run.origin_found]
    return {
        str(file.relative_to(run.path)): file.read_bytes() for file in files if file.is_file() and file.name != "lock"
    }


class Stops:
    """An engine that is killed after a few tasks in all."""

    def __init__(self, after: int) -> None:
        self.after = after

    def run(self, worker: Callable[[Any], None], tasks: Sequence[Any], description: str, done: int) -> None:
        for task in tasks:
            if not self.after:
                raise KeyboardInterrupt
            self.after -= 1
            worker(task)


@pytest.mark.slow
def test_interrupted_and_resumed_it_ends_the_same(traced: Run, done: Run, tmp_path: Path) -> None:
    """Killed while sampling, while measuring and before the end; first backward only, then both ways."""
    run = Run.open(shutil.copytree(done.path, tmp_path / "run"))
    assert origin_state(run) is None
    with pytest.raises(KeyboardInterrupt):
        trace(run, settings(), Stops(3))
    assert (origin_state(run).done, origin_state(run).complete) == (3, False)
    trace(run, settings(forward=False))
    assert found(run).missing == {"forward": "only backward transfer was asked for"}
    with pytest.raises(KeyboardInterrupt):
        trace(run, settings(), Stops(2))
    assert not run.origin_found.exists()  # of other settings than those at work now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "drift", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trace(run, settings())
    parts = {file: file.stat().st_mtime_ns for file in run.origin.rglob("*.parquet")}
    trace(run, settings_of(run))
    assert {file: file.stat().st_mtime_ns for file in parts} == parts  # what was done is not done again
    assert artifacts(run) == artifacts(traced)
    assert origin_state(run).complete
    assert artifacts(run) | {"origin.json": b""} != artifacts(traced)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("once")
def test_lost_parts_are_made_again_and_the_end_is_the_same(traced: Run, copy: Run) -> None:
    base = base_of(copy)
    (base.responses("in-domain") / "part-00001.parquet").unlink()
    for lost in (base.judged, copy.origin_found):
        lost.unlink()
    shutil.rmtree(base.contributions("invented"))
    state = origin_state(copy)
    assert not state.complete
    trace(copy, settings())
    assert artifacts(copy) == artifacts(traced)


def test_what_is_whole_is_not_found_again(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(copy)
    monkeypatch.setattr(tracing, "fitted_detectors", refuse)
    assert trace(copy, settings()) == before
    assert trace(copy, settings(by="statements read")) == found(copy)
    assert found(copy).settings["by"] == "statements read"
    assert found(copy).model_copy(update={"settings": before.settings}) == before


def test_another_probe_or_a_damaged_file_is_traced_anew(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(copy)
    monkeypatch.setattr(tracing, "_trace", lambda *_: before)
    monkeypatch.setattr(tracing, "fitted_detectors", refuse)
    write_json(copy.origin_found, before.model_copy(update={"probe": "another"}).model_dump(mode="json"))
    assert trace(copy, settings()) == before == found(copy)
    copy.origin_found.write_text("{")
    assert trace(copy, settings()) == before == found(copy)


def test_results_hold_what_was_found(copy: Run) -> None:
    write_results(copy)
    assert read_results(copy).origin == found(copy)


@pytest.mark.usefixtures("once")
def test_a_base_model_that_is_right_on_nothing_has_no_auroc(done: Run, tmp_path: Path) -> None:
    """There is nothing to tell apart, and no faithful answer to stand beside invented places."""
    run = Run.open(shutil.copytree(done.path, tmp_path / "run"))
    base = nested_run(run, run.origin / "base", ModelSettings(name=BASE, dtype="float32"), settings())
    copy_questions(run, base)
    base.responses("in-domain").mkdir(parents=True)
    hard = [each.model_copy(update={"aliases": ("zzzz",)}) for each in read_questions(run, "in-domain")]
    base.questions("in-domain").write_text("".join(each.model_dump_json() + "\n" for each in hard))
    origin = trace(run, settings(forward=False))
    asked = {each.eval_set: each for each in origin.asked}
    assert asked["in-domain"].accuracy.value == 0
    assert asked["in-domain"].verdicts["incorrect"] > 50
    assert {(each.faithful, each.hallucinated) for each in origin.asked} == {(0, 0)}
    assert {row.auroc.value for row in origin.backward.figures} == {None}
    assert all(row.auroc.reason for row in origin.backward.figures)
    assert all("AUROC is not defined" in each.sentence for each in origin.backward.findings)
    assert origin.forward is None
    write_results(run)
    assert read_results(run).origin == origin


@pytest.mark.usefixtures("once")
def test_too_few_answers_for_a_probe_of_the_base_models_own(traced: Run, done: Run, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(done.path, tmp_path / "run"))
    base = nested_run(run, run.origin / "base", ModelSettings(name=BASE, dtype="float32"), settings())
    copy_questions(run, base)
    base.responses("train").mkdir(parents=True)
    lines = base.questions("train").read_text().splitlines(keepends=True)[:6]
    base.questions("train").write_text("".join(lines))
    index = base.path / "questions" / "sets.json"
    described = read_json(index)
    write_json(index, described | {"train": described["train"] | {"n": len(lines)}})
    origin = trace(run, settings())
    assert origin.forward is None
    assert origin.native == ()
    assert origin.missing["forward"].startswith(f"no probe could be fitted on {BASE}: part ")
    assert "too few" in origin.missing["forward"]
    assert origin.backward == found(traced).backward
    assert set(read_judged(base).answers) == set(run.config.evaluate)


@pytest.mark.usefixtures("once")
def test_where_weights_cannot_be_compared_the_rest_is_there(
    traced: Run, copy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quantized(*_: object, **__: object) -> None:
        raise ModelError("x has quantized weights")

    monkeypatch.setattr(tracing, "drift", quantized)
    only = settings(forward=False)
    origin = trace(copy, only)
    assert (origin.drift, origin.missing["drift"]) == (None, "x has quantized weights")
    assert origin.backward == found(traced).backward
    monkeypatch.setattr(tracing, "drift", lambda *_, **__: found(traced).drift)
    assert trace(copy, only).drift == found(traced).drift  # tried again
    assert set(found(copy).missing) == {"forward"}


def test_files_that_changed_since_are_not_compared(copy: Run) -> None:
    other = Probe.load(copy.probe).card.model  # the tuned model's digest in place of the base model's
    with pytest.raises(ModelError, match="no longer those of the model that was asked"):
        tracing._stored(ModelSettings(name=BASE, dtype="float32"), other)
    kept = tracing._stored(ModelSettings(name=BASE, dtype="float32"), found(copy).base)
    assert kept.name == BASE


def test_what_is_refused(done: Run, tmp_path: Path, tiny_directory: Callable[..., Path]) -> None:
    run = Run.open(shutil.copytree(done.path, tmp_path / "run"))
    with pytest.raises(
        RunError, match="which model atlas-7m-instruct was tuned from is not known; give it with --base"
    ):
        trace(run, settings(None))
    with pytest.raises(ProbeMismatchError, match="n_layers 2 instead of"):
        trace(run, settings(str(tiny_directory("llama"))))
    with pytest.raises(ModelError, match="have the same weights, so one was not tuned from the other"):
        trace(run, settings("atlas-7m-instruct"))
    assert settings_of(run) is None  # none of them used it up
    assert origin_state(run) is None
    run.fit.unlink()
    with pytest.raises(RunError, match="no probe yet; find it with: hneurons fit"):
        trace(run, settings())


def test_another_base_model_or_way_of_asking_is_refused_and_nothing_is_touched(traced: Run) -> None:
    before = artifacts(traced)
    with pytest.raises(ConfigChangedError, match=r"prompt.template: Question: .*\\nA.* there, .* now\); leave the op"):
        trace(traced, settings(prompt={"style": "plain", "template": "Q: {question}\nA:"}))
    with pytest.raises(ConfigChangedError, match=r"model.name: atlas-7m-base there.*or remove .*origin/base to begin"):
        trace(traced, settings("elsewhere/base"))
    assert artifacts(traced) == before


def test_one_process_at_a_time(copy: Run) -> None:
    with base_of(copy).locked(), pytest.raises(RunError, match="another process works on"):
        trace(copy, settings())
