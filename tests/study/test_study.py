"""A whole study on the bundled model: what it writes holds together, and says what happened."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import hneurons
from hneurons.contributions import ContributionStore
from hneurons.probes.probe import Probe
from hneurons.probes.rows import dense
from hneurons.responses.judging import judge
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.evaluating import H_NEURONS, evaluation_sets, read_evaluation
from hneurons.study.judging import read_judged
from hneurons.study.results import Results, comparisons, read_results
from hneurons.study.run import Run
from hneurons.study.stages import stage_states


def test_all_stages_are_done(finished: Run) -> None:
    *before, report = stage_states(finished)
    assert [state.name for state in before] == ["sample", "judge", "measure", "fit", "evaluate"]
    assert all(state.complete for state in before)
    assert (report.name, report.done, report.total) == ("report", 1, 2)  # the commands write report.html


def test_no_place_is_in_two_parts(finished: Run) -> None:
    groups: dict[str, set[str]] = {}
    for name, answers in read_judged(finished).answers.items():
        for answer in answers:
            groups.setdefault(f"{name}/{answer.part}", set()).add(answer.group)
    names = list(groups)
    assert {"train/fit", "train/dev", "in-domain/test", "invented/test"} == set(names)
    assert not any(groups[a] & groups[b] for a in names for b in names if a < b)


def test_selected_answers_are_consistent_in_all_ten_samples(finished: Run) -> None:
    """The consistency filter, counted again from the samples."""
    questions = {question.id: question for question in read_questions(finished, "train")}
    said = read_responses(finished, "train")
    for answer in read_judged(finished).answers["train"]:
        verdicts = {judge(each.text, questions[answer.question_id]) for each in said[answer.question_id]}
        assert verdicts == {"incorrect" if answer.hallucinated else "correct"}
        assert len(said[answer.question_id]) == 10
        texts = Counter(each.text.strip() for each in said[answer.question_id])
        assert texts[said[answer.question_id][answer.sample].text.strip()] == max(texts.values())


def test_counts_add_up(finished: Run) -> None:
    for name, counts in read_judged(finished).counts.items():
        assert counts.questions == len(read_questions(finished, name))
        assert counts.questions == sum(counts.used.values()) + sum(counts.left_out.values())
        assert sum(counts.verdicts.values()) == counts.responses == counts.questions * (10 if name == "train" else 1)


def test_the_stored_contributions_are_those_of_the_answer_tokens(finished: Run) -> None:
    """One answer, recomputed with a hook of this test's own, in float64 over every neuron one by one."""
    import torch

    model = hneurons.load("atlas-7m-instruct", dtype="float64")
    answer = read_judged(finished).answers["train"][0]
    response = read_responses(finished, "train")[answer.question_id][answer.sample]
    question = next(each for each in read_questions(finished, "train") if each.id == answer.question_id)
    prompt = finished.config.prompt.token_ids(question.text, model.tokenizer)
    ids = torch.tensor([[*prompt, *response.token_ids]])
    layer = 2
    seen: list[torch.Tensor] = []
    handle = model.hf.model.layers[layer].mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model.hf(ids)
    handle.remove()
    W = model.hf.model.layers[layer].mlp.down_proj.weight
    shares = []
    before = finished.config.recording.positions == "before"
    for index in answer.answer:
        z = seen[0][0, len(prompt) + index - before]
        whole = (W @ z).norm()
        shares.append([float((W[:, j] * z[j]).norm() / whole) for j in range(W.shape[1])])
    expected = np.mean(shares, axis=0)
    store = ContributionStore.open(finished.contributions("train"))
    table = store.table().where("answer")
    stored = store.layer(layer, table.row[[table.key.index(answer.key)]])[0]
    np.testing.assert_allclose(stored, expected, rtol=2e-4, atol=1e-7)
    assert finished.config.recording.positions == "before"
    at = [float((W[:, j] * z[j]).norm() / (W @ z).norm()) for z in [seen[0][0, len(prompt)]] for j in range(W.shape[1])]
    assert not np.allclose(stored, at, rtol=2e-4, atol=1e-7)  # the comparison tells positions apart


def test_reported_aurocs_are_scikit_learns(finished: Run) -> None:
    found = read_evaluation(finished)
    judged = {name: {a.key: a.hallucinated for a in answers} for name, answers in read_judged(finished).answers.items()}
    row = next(row for row in found.detection if row.detector == H_NEURONS and row.eval_set == "in-domain")
    scored = found.scores["in-domain"]
    y = [judged["in-domain"][each.key] for each in scored]
    p = [each.probability for each in scored]
    assert row.auroc.value == pytest.approx(roc_auc_score(y, p))
    assert row.auroc.low < row.auroc.value < row.auroc.high
    assert row.accuracy.value == pytest.approx(np.mean((np.array(p) > 0.5) == np.array(y)), abs=1e-9)


def test_the_saved_probe_gives_the_scores_of_the_report_up_to_calibration(finished: Run) -> None:
    probe = Probe.load(finished.probe)
    answers = evaluation_sets(finished)["in-domain"]
    shaped = dense(answers.contributions).reshape(len(answers), probe.card.model.n_layers, probe.card.model.n_neurons)
    reported = [each.probability for each in read_evaluation(finished).scores["in-domain"]]
    assert np.array_equal(np.argsort(probe.score(shaped), kind="stable"), np.argsort(reported, kind="stable"))


def test_invented_places_stand_beside_as_many_faithful_answers(finished: Run) -> None:
    answers = evaluation_sets(finished)["invented"]
    assert answers.hallucinated.sum() == (~answers.hallucinated).sum() > 10
    assert all(
        str(group).startswith("invented:") == flag
        for group, flag in zip(answers.groups, answers.hallucinated, strict=True)
    )
    shown = evaluation_sets(finished)["invented"]
    assert np.array_equal(shown.groups, answers.groups)  # the same sample every time


def test_results_follow_their_schema_and_say_who_wins(finished: Run) -> None:
    raw = json.loads(finished.results.read_text())
    results = Results.model_validate(raw)
    assert results == read_results(finished)
    assert results.probe.n_hneurons == len(results.probe.neurons) <= 0.01 * results.probe.n_neurons
    assert sum(results.fit.per_layer) == results.probe.n_hneurons
    for comparison in results.comparisons:
        assert comparison.better == (comparison.hneurons > comparison.upper)
        assert ("NOT above" in comparison.sentence) == (not comparison.better)


def test_losing_to_random_neurons_is_said(finished: Run) -> None:
    found = read_evaluation(finished)
    lost = found.model_copy(
        update={
            "controls": tuple(
                control.model_copy(update={"auroc": control.auroc.model_copy(update={"high": 1.0})})
                for control in found.controls
            )
        }
    )
    assert all("NOT above" in comparison.sentence for comparison in comparisons(lost))
