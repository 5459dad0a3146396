"""Checkpoints of a training run, against recomputation from what lies on disk; killed and resumed; and what is refused.

Three checkpoints of the bundled model's shape: untrained, half-way (the mean of both), and the bundled base model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from transformers import AutoTokenizer, LlamaForCausalLM

from hneurons.atlas import WEIGHTS
from hneurons.atlas.tokenizing import SPECIAL
from hneurons.atlas.training import SIZES, new_model
from hneurons.contributions import ContributionStore
from hneurons.engine import Here
from hneurons.errors import ConfigChangedError, HNeuronsError, ModelError, ModelNotFoundError, RunError
from hneurons.files import read_json, write_json
from hneurons.origins.record import Checkpoint, Growth
from hneurons.probes.names import H_NEURONS, MATCHED, RANDOM, REFIT
from hneurons.probes.probe import Probe
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.config import StudyConfig, make_config
from hneurons.study.evaluating import Fitted, fitted_detectors
from hneurons.study.growing import find_checkpoints, grow, strata
from hneurons.study.judging import read_judged
from hneurons.study.measuring import measure
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.run import Run, read_record
from hneurons.study.stages import Work, run_stages

T = TypeVar("T")

ASKED = {"in-domain": 80, "invented": 16}
BY = "statements read"
SETTINGS = OriginSettings(prompt=PromptFormat(style="plain"), by=BY)


class Watched:
    """The engine of one process; remembers what it was given to do, and gives up after `lives` batches."""

    def __init__(self, lives: float = float("inf")) -> None:
        self.lives = lives
        self.done: list[str] = []

    def run(self, worker: Callable[[T], None], tasks: Sequence[T], description: str, done: int) -> None:
        for task in tasks:
            if self.lives <= 0:
                raise KeyboardInterrupt
            self.lives -= 1
            self.done.append(description)
            worker(task)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`checkpoint-0`, `step500`, `step-1000`, and what is no checkpoint beside them. Look, do not write."""
    directory: Path = tmp_path_factory.mktemp("checkpoints")
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "atlas-7m-base")
    vocabulary = tokenizer.get_vocab()
    untrained = new_model(SIZES["7m"], {token: vocabulary[token] for token in SPECIAL}, 5)
    trained = LlamaForCausalLM.from_pretrained(WEIGHTS / "atlas-7m-base", dtype=torch.float32)
    between = LlamaForCausalLM.from_pretrained(WEIGHTS / "atlas-7m-base", dtype=torch.float32)
    for mixed, start in zip(between.parameters(), untrained.parameters(), strict=True):
        mixed.data = 0.75 * mixed.data + 0.25 * start.data
    for name, model in (("checkpoint-0", untrained), ("step500", between), ("step-1000", trained)):
        model.bfloat16().save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)
    (directory / "logs-7").mkdir()
    shutil.copytree(directory / "checkpoint-0", directory / "final")
    return directory


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A study with as little to ask and to fit as gives a probe. Look, do not write."""
    config = make_config().model_dump(mode="json")
    config |= {
        "train": {"questions": "atlas/cities", "split": "train", "limit": 240},
        "evaluate": {
            "in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 80},
            "invented": {
                "questions": "atlas/invented",
                "split": "validation",
                "limit": 16,
                "faithful_from": "in-domain",
            },
        },
        "sampling": {"n_samples": 2, "max_new_tokens": 16},
        "controls": {"n_random": 3, "n_layer_matched": 2, "n_permuted": 1, "n_stability": 2, "n_bootstrap": 100},
    }
    config["selection"]["minimum"] = 5
    config["probe"] |= {"n_grid": 4, "n_known": 10}
    run = Run.start(tmp_path_factory.mktemp("traced") / "run", StudyConfig.model_validate(config))
    run_stages(run, until="fit")
    return run


@pytest.fixture(scope="session")
def watched() -> Watched:
    """The engine that `grown` is made with."""
    return Watched()


@pytest.fixture(scope="session")
def grown(
    traced: Run, checkpoints: Path, watched: Watched, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Growth]:
    """What the checkpoints show, and the run it lies in. Look, do not write."""
    path: Path = tmp_path_factory.mktemp("grown") / "run"
    shutil.copytree(traced.path, path)
    run = Run.open(path)
    return run, grow(run, checkpoints, SETTINGS, watched)


@pytest.fixture(scope="session")
def fitted(traced: Run) -> Fitted:
    return fitted_detectors(traced)


@pytest.fixture
def again(grown: tuple[Run, Growth], fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run with its checkpoints; its detectors, which take seconds, are fitted once for all tests."""
    monkeypatch.setattr("hneurons.study.growing.fitted_detectors", lambda _: fitted)
    shutil.copytree(grown[0].path, tmp_path / "again")
    return Run.open(tmp_path / "again")


def nested(run: Run, name: str) -> Run:
    return Run.open(run.origin / "checkpoints" / name)


def artifacts(run: Run) -> dict[str, bytes]:
    files = [*run.origin.rglob("*"), run.growth_found]
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files if file.is_file()}


def each(grown: tuple[Run, Growth]) -> Iterator[tuple[Run, Checkpoint]]:
    for found in grown[1].checkpoints:
        yield nested(grown[0], found.name), found


def test_checkpoints_are_in_the_order_of_their_steps(grown: tuple[Run, Growth], checkpoints: Path) -> None:
    run, growth = grown
    assert [(each.step, each.name) for each in growth.checkpoints] == [
        (0, "checkpoint-0"),
        (500, "step500"),
        (1000, "step-1000"),
    ]
    assert growth.probe == Probe.load(run.probe).card.tensors
    assert (growth.by, growth.directory) == (BY, str(checkpoints))
    assert read_record(run.growth_found, Growth) == growth


def test_every_checkpoint_is_asked_the_runs_questions_its_own_way(grown: tuple[Run, Growth]) -> None:
    for own, _ in each(grown):
        assert (own.config.prompt.style, own.config.prompt.template) == ("plain", "Question: {question}\nAnswer:")
        assert own.config.sampling.stop == ("\n",)
        for name in ASKED:
            assert read_questions(own, name) == read_questions(grown[0], name)
            texts = [each[0].text for each in read_responses(own, name).values()]
            assert len(texts) == ASKED[name]
            assert not any("\n" in text for text in texts)
        assert not own.responses("train").exists()


def test_accuracy_is_counted_again_over_verdicts(grown: tuple[Run, Growth]) -> None:
    for own, found in each(grown):
        by_name = {asked.eval_set: asked for asked in found.asked}
        said = read_responses(own, "in-domain")
        right = [judge(said[each.id][0].text, each) == "correct" for each in read_questions(own, "in-domain")]
        assert by_name["in-domain"].accuracy.value == pytest.approx(sum(right) / len(right))
        assert by_name["invented"].accuracy.value is None
        assert by_name["in-domain"].verdicts["correct"] == sum(right)


def test_the_untrained_model_is_all_wrong_and_auroc_is_not_defined(grown: tuple[Run, Growth]) -> None:
    first, _, last = grown[1].checkpoints
    assert first.asked[0].accuracy.value == 0
    assert (first.asked[0].faithful, first.asked[0].hallucinated) == (0, 0)
    assert all(row.auroc.value is None and row.auroc.reason for row in first.figures)
    assert all(control.auroc.mean is None and control.auroc.reason for control in first.controls)
    assert last.asked[0].accuracy.value is not None
    assert last.asked[0].accuracy.value > 0.3
    assert min(last.asked[0].faithful, last.asked[0].hallucinated) >= 10


def test_strata_are_counted_again_in_a_loop(grown: tuple[Run, Growth]) -> None:
    for own, found in each(grown):
        counts: dict[str, list[bool]] = {}
        said = read_responses(own, "in-domain")
        for question in read_questions(own, "in-domain"):
            verdict = judge(said[question.id][0].text, question)
            counts.setdefault(str(question.meta[BY]), []).append(verdict == "correct")
        assert [each.value for each in found.strata] == ["0", "1-3", "5-10", "20-50", "100-130"]
        for stratum in found.strata:
            of = counts[stratum.value]
            assert (stratum.questions, stratum.accuracy.value) == (len(of), pytest.approx(sum(of) / len(of)))
    assert sum(each.questions for each in found.strata) == ASKED["in-domain"]  # none of the invented ones


def test_the_detectors_are_the_tuned_models_on_the_checkpoints_own_answers(
    grown: tuple[Run, Growth], tmp_path: Path
) -> None:
    """Measured once more, and scored by the saved probe."""
    run, growth = grown
    found = growth.checkpoints[-1]
    shutil.copytree(nested(run, found.name).path, tmp_path / "own")
    own = Run.open(tmp_path / "own")
    measure(own, Work(own, Here()).model, Here(), ["in-domain"])
    store = ContributionStore.open(own.contributions("in-domain"))
    table = store.table().where("answer")
    probe = Probe.load(run.probe)
    fingerprint = probe.card.model
    vectors = store.matrix(table.row).reshape(len(table), fingerprint.n_layers, fingerprint.n_neurons)
    kind = {answer.key: answer.hallucinated for answer in read_judged(own).answers["in-domain"]}
    y = [kind[key] for key in table.key]
    expected = roc_auc_score(y, probe.score(vectors))
    rows = {(row.eval_set, row.detector): row for row in found.figures}
    row = rows["in-domain", H_NEURONS]
    assert row.auroc.value == pytest.approx(expected, abs=1e-9)
    assert (row.n_hallucinated, row.n_faithful) == (sum(y), len(y) - sum(y))
    assert row.auroc.value != pytest.approx(
        roc_auc_score(y, probe.score(vectors[:, ::-1])), abs=1e-3
    )  # layers reversed
    assert {REFIT, "token entropy"} <= {detector for _, detector in rows}


def test_controls_are_those_of_the_run(grown: tuple[Run, Growth]) -> None:
    settings = grown[0].config.controls
    for _, found in each(grown):
        draws = {(each.eval_set, each.control): each.draws for each in found.controls}
        assert draws == {
            (name, control): n
            for name in ASKED
            for control, n in ((RANDOM, settings.n_random), (MATCHED, settings.n_layer_matched))
        }


def test_drift_to_the_last_is_that_of_loops_in_float64(grown: tuple[Run, Growth], checkpoints: Path) -> None:
    last = load_file(checkpoints / "step-1000" / "model.safetensors")
    hneurons = Probe.load(grown[0].probe).hneurons

    def distance(a: torch.Tensor, b: torch.Tensor) -> float:
        x, y = a.double().numpy(), b.double().numpy()
        return 1 - float(x @ y) / float(np.sqrt(x @ x) * np.sqrt(y @ y))

    for _, found in each(grown):
        if found.step == 1000:
            assert found.drift is None
            continue
        own = load_file(checkpoints / found.name / "model.safetensors")
        means = []
        for layer, index in hneurons:
            up, down = (f"model.layers.{layer}.mlp.{name}_proj.weight" for name in ("up", "down"))
            means.append(
                (distance(own[up][index], last[up][index]) + distance(own[down][:, index], last[down][:, index])) / 2
            )
        assert found.drift is not None
        assert found.drift.hneurons.value == pytest.approx(np.mean(means), abs=1e-9)
        assert len(found.drift.random.values) == len(found.drift.matched.values) == 200
        assert found.drift.hneurons.value > 0.001
    start, half = grown[1].checkpoints[:2]
    assert start.drift is not None
    assert half.drift is not None
    assert start.drift.hneurons.value > 2 * half.drift.hneurons.value  # type: ignore[operator]


def test_contributions_are_gone_and_responses_stay(grown: tuple[Run, Growth]) -> None:
    for own, _ in each(grown):
        assert not [path for path in own.path.iterdir() if "contributions" in path.name]
        assert list(own.responses("in-domain").glob("*.parquet"))


def test_a_finished_one_is_not_done_again(again: Run, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = artifacts(again)
    monkeypatch.setattr("hneurons.study.growing.fitted_detectors", lambda _: pytest.fail("fitted again"))
    engine = Watched()
    grow(again, checkpoints, SETTINGS, engine)
    assert engine.done == []
    assert artifacts(again) == before


@pytest.mark.parametrize("lives", [1, 3])
def test_killed_and_resumed_it_ends_the_same(
    lives: int, grown: tuple[Run, Growth], watched: Watched, again: Run, checkpoints: Path
) -> None:
    """Killed while it samples, and while it measures, the last checkpoint."""
    own = again.origin / "checkpoints" / "step-1000"
    shutil.rmtree(own)
    again.growth_found.unlink()
    killed = Watched(lives)
    with pytest.raises(KeyboardInterrupt):
        grow(again, checkpoints, SETTINGS, killed)
    assert len(killed.done) == lives
    resumed = Watched()
    grow(again, checkpoints, SETTINGS, resumed)
    assert watched.done[-len(killed.done + resumed.done) :] == killed.done + resumed.done  # nothing twice
    assert (killed.done + resumed.done)[:3] == ["sampling in-domain", "sampling in-domain", "sampling invented"]
    assert artifacts(again) == artifacts(grown[0])


def test_killed_while_contributions_are_deleted_it_takes_no_half_store_for_a_whole_one(
    grown: tuple[Run, Growth], again: Run, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = again.origin / "checkpoints" / "step500"
    (own / "checkpoint.json").unlink()
    real = shutil.rmtree

    def half(path: Path, **settings: Any) -> None:
        if path.name not in ("contributions", ".contributions") or not path.exists():
            return real(path, **settings)
        real(path / "in-domain" / "contributions")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hneurons.study.growing.shutil.rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            grow(again, checkpoints, SETTINGS)
    (own / "checkpoint.json").unlink()  # as if the record were of another probe: it has to be measured again
    grow(again, checkpoints, SETTINGS)
    assert artifacts(again) == artifacts(grown[0])


@pytest.mark.parametrize("key", ["probe", "last"])
def test_of_another_probe_or_another_end_it_is_measured_again_and_not_asked_again(
    key: str, grown: tuple[Run, Growth], again: Run, checkpoints: Path
) -> None:
    file = again.origin / "checkpoints" / "step500" / "checkpoint.json"
    write_json(file, {**read_json(file), key: "another"})
    engine = Watched()
    grow(again, checkpoints, SETTINGS, engine)
    assert set(engine.done) == {"measuring in-domain", "measuring invented"}
    assert artifacts(again) == artifacts(grown[0])


def asked(text: str, group: str, value: object, **fields: Any) -> Question:
    meta = {} if value is None else {"read": value}
    return Question.model_validate(
        {"id": f"{text}/{value}/{group}", "text": text, "group": group, "meta": meta} | fields
    )


def test_a_question_in_two_sets_counts_once_and_groups_stay_together() -> None:
    right = [asked(text, "x", 10) for text in "abc"]
    wrong = [asked(text, "y", 10) for text in "def"]
    twice = asked(" A ", "z", 2)  # its wording is that of the first, which is the one that counts
    none = asked("h", "x", None)
    unanswerable = asked("i", "x", 10, answerable=False)
    answered = [*((each, True) for each in right), (asked("g", "x", 2), False), *((each, False) for each in wrong)]
    answered += [(twice, False), (none, True), (unanswerable, True)]
    low, high = strata(answered, "read", resamples=400, seed=2)
    assert (low.value, low.questions, low.accuracy.value) == ("2", 1, 0.0)
    assert (high.value, high.questions, high.accuracy.value) == ("10", 6, 0.5)
    # Of two groups, one all right and one all wrong, a quarter of the resamples are all wrong and a quarter all right.
    # Of six questions drawn one by one, one resample in 64 would be.
    assert (high.accuracy.low, high.accuracy.high) == (0.0, 1.0)


def refused(run: Run, directory: Path, settings: OriginSettings = SETTINGS) -> HNeuronsError:
    with pytest.raises(HNeuronsError) as caught:
        grow(run, directory, settings, Watched(0))
    assert "\n" not in str(caught.value)
    return caught.value


def test_directories_without_checkpoints_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    for path, said in (
        (tmp_path / "nowhere", "there is no directory"),
        (tmp_path, "no model directory with a step in its name"),
        (checkpoints / "logs-7", "no model directory"),
    ):
        with pytest.raises(ModelNotFoundError, match=said):
            find_checkpoints(path)


def test_two_of_one_step_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    for name in ("checkpoint-500", "step0500"):
        (tmp_path / name).symlink_to(checkpoints / "step500")
    with pytest.raises(ModelError, match=r"checkpoint-500 and step0500 .* are both of step 500"):
        find_checkpoints(tmp_path)


def test_a_checkpoint_of_another_shape_is_refused_before_anything_is_asked(
    traced: Run, tmp_path: Path, checkpoints: Path
) -> None:
    (tmp_path / "step1").symlink_to(checkpoints / "step500")
    ids = {token: i for i, token in enumerate(SPECIAL)}
    new_model(SIZES["1m"], ids, 0).save_pretrained(tmp_path / "step2")
    error = refused(traced, tmp_path)
    assert "n_layers 4 instead of 6" in str(error)
    assert "step2" in str(error)
    assert not traced.origin.exists()


def test_a_run_without_a_probe_is_refused(traced: Run, tmp_path: Path, checkpoints: Path) -> None:
    run = Run.start(tmp_path / "run", traced.config)
    assert "hneurons fit" in str(refused(run, checkpoints))


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (
            "read",
            "no question of the evaluation sets has the field 'read' .* there are bin, decile, ",
        ),
        ("population", "'population' has .* values .* too many"),
    ],
)
def test_a_field_that_nothing_can_be_shown_by_is_refused(traced: Run, checkpoints: Path, by: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        grow(traced, checkpoints, OriginSettings(by=by), Watched(0))


def test_a_checkpoint_asked_otherwise_or_with_other_weights_is_refused(again: Run, checkpoints: Path) -> None:
    before = artifacts(again)
    error = refused(again, checkpoints, SETTINGS.model_copy(update={"stop": (".",)}))
    assert isinstance(error, ConfigChangedError)
    assert "remove" in str(error)
    assert artifacts(again) == before
    file = again.origin / "checkpoints" / "step500" / "model.json"
    described = read_json(file)
    write_json(file, {**described, "fingerprint": {**described["fingerprint"], "weights_digest": "0" * 64}})
    error = refused(again, checkpoints)
    assert isinstance(error, ConfigChangedError)
    assert "step500 has other weights" in str(error)
