"""Checkpoints of a training run, against recomputation from what lies on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from tests.study.growing.reading import ASKED, BY, each, nested

from hneurons.contributions import ContributionStore
from hneurons.engine import Here
from hneurons.origins.record import Growth
from hneurons.probes.names import H_NEURONS, MATCHED, RANDOM, REFIT
from hneurons.probes.probe import Probe
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.growing import strata
from hneurons.study.judging import read_judged
from hneurons.study.measuring import measure
from hneurons.study.run import Run, read_record
from hneurons.study.work import Work


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
    measure(Work(own, Here()), ["in-domain"])
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
