"""A small study held against the bundled base model: every AUROC by another path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score
from tests.study.tracing.reading import BASE, base_of, found

from hneurons.contributions import ContributionStore
from hneurons.probes.probe import Probe
from hneurons.probes.rows import dense
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.evaluating import (
    H_NEURONS,
    MATCHED,
    PERMUTED,
    PERMUTED_ANSWERS,
    RANDOM,
    REFIT,
    Fitted,
    evaluation_sets,
)
from hneurons.study.nested import share_right
from hneurons.study.run import Run


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
