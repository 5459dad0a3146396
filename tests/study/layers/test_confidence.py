"""Confidence on a small finished study: what is asked, of which answers, and what is written down."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hneurons.engine import Here
from hneurons.layers.confidence.abstaining import Abstention
from hneurons.layers.confidence.calibration import OWN
from hneurons.layers.confidence.record import Confidence
from hneurons.layers.confidence.risk import aurc
from hneurons.layers.confidence.sampled import Drawn
from hneurons.layers.confidence.truth import P_TRUE, TURN, truth_tokens
from hneurons.layers.settings import LayersSettings
from hneurons.probes import metrics
from hneurons.probes.names import H_NEURONS
from hneurons.questions.prompts import chat_ids
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.evaluating import evaluation_rows, evaluation_sets, read_evaluation
from hneurons.study.judging import read_judged
from hneurons.study.layers import confidence
from hneurons.study.layers.confidence import find_confidence
from hneurons.study.layers.confidence_inputs import QUESTIONS, ask_truth, drawn_questions, judged_of
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run

SETTINGS = LayersSettings(n_each=12, n_train=25, n_bootstrap=20, n_permutations=20)


@pytest.fixture(scope="module")
def work(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> LayersWork:
    """A copy of the small study, to write into."""
    copy: Path = tmp_path_factory.mktemp("confidence") / "run"
    shutil.copytree(finished.path, copy)
    return LayersWork(Run.open(copy), SETTINGS, Here())


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    """The training questions whose samples the part has read."""
    return []


@pytest.fixture(scope="module")
def found(work: LayersWork, drawn: list[Drawn]) -> Confidence:
    """What the part finds there."""

    def watched(own: LayersWork) -> list[Drawn]:
        drawn.extend(drawn_questions(own))
        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confidence, "drawn_questions", watched)
        return find_confidence(work)


def test_every_set_and_every_detector_is_there(work: LayersWork, found: Confidence) -> None:
    sets = list(evaluation_sets(work.run))
    assert {each.eval_set for each in found.calibration} == set(sets)
    detectors = {each.name for each in work.fitted.detectors} | {OWN, P_TRUE}
    assert {each.detector for each in found.curves} == detectors
    assert len(found.curves) == len(sets) * len(detectors)
    assert found.p_true is not None
    assert {each.n for each in found.p_true.sets} == {2 * SETTINGS.n_each}
    assert [each.eval_set for each in found.boundary] == ["in-domain"]


def test_scores_are_those_of_the_detection_table(work: LayersWork, found: Confidence) -> None:
    table = {(e.eval_set, e.detector): e for e in read_evaluation(work.run).detection}
    for each in found.calibration:
        if each.source not in (OWN, P_TRUE):
            assert each.brier.value == pytest.approx(table[each.eval_set, each.source].brier.value)


def test_it_is_written_down_and_read_again(found: Confidence) -> None:
    assert Confidence.model_validate_json(found.model_dump_json()) == found


def test_rows_of_a_set_are_the_answers_of_that_set(work: LayersWork) -> None:
    judged = {name: judged_of(work, name) for name in work.names}
    flags = {name: np.array([each.hallucinated for each in own]) for name, own in judged.items()}
    for name, answers in evaluation_sets(work.run).items():
        own = [judged[source][row] for source, rows in evaluation_rows(work.run, flags)[name] for row in rows]
        assert [each.group for each in own] == answers.groups.tolist()
        assert [each.hallucinated for each in own] == answers.hallucinated.tolist()


def test_p_true_is_what_the_model_says_to_one_prompt(work: LayersWork, found: Confidence) -> None:
    """The first answers of in-domain, asked one by one as a chat, and their claims in the place of each other's."""
    tokens = truth_tokens(work.model.tokenizer)
    judged = judged_of(work, "in-domain")
    places = list(range(4))
    copy = LayersWork(work.run, SETTINGS, Here())
    copy.folder = lambda part: work.run.path / "elsewhere" / part  # type: ignore[method-assign]
    said = ask_truth(copy, {"in-domain": places}, tokens)
    questions = {each.id: each for each in read_questions(work.run, "in-domain")}
    responses = read_responses(work.run, "in-domain")
    for place in places:
        answer = judged[place]
        text = responses[answer.question_id][answer.sample].text
        turn = TURN.format(question=questions[answer.question_id].text, answer=text.strip())
        ids = torch.tensor([chat_ids([{"role": "user", "content": turn}], work.model.tokenizer)])
        with torch.no_grad():
            p = work.model.hf(input_ids=ids).logits[0, -1].double().softmax(-1)
        yes, no = float(p[list(tokens.yes)].sum()), float(p[list(tokens.no)].sum())
        assert said.own["in-domain", place] == pytest.approx(yes / (yes + no), rel=1e-4)
        assert said.mass["in-domain", place] == pytest.approx(yes + no, rel=1e-4)
    assert any(said.swapped[key] != pytest.approx(said.own[key], rel=1e-6) for key in said.swapped)


def test_samples_are_of_training_questions_and_their_first_answers(
    work: LayersWork, found: Confidence, drawn: list[Drawn]
) -> None:
    used = {answer.group for answer in read_judged(work.run).answers["train"]}
    assert len(drawn) <= QUESTIONS * SETTINGS.n_train
    assert all(len(each.samples.meanings) == work.run.config.sampling.n_samples for each in drawn)
    assert any(not each.left_over for each in drawn)
    assert {each.group for each in drawn if not each.left_over} <= used
    if found.sampled is not None:
        assert found.sampled.pools[0].n == len(drawn)
    else:
        assert "sampled" in found.missing


def test_thresholds_come_from_dev_and_are_saved(work: LayersWork, found: Confidence) -> None:
    dev = judged_of(work, "train", "dev")
    choices = [each for each in found.abstaining.choices if each.detector == H_NEURONS]
    assert {each.n for each in choices} == {len({answer.group for answer in dev})}
    saved = Abstention.load(work.folder("confidence") / "abstaining" / "h-neurons-0.1.json")
    bounded = next(each for each in choices if each.guaranteed and each.risk == 0.1)
    assert saved.threshold == bounded.threshold
    sets = evaluation_sets(work.run)
    for each in found.abstaining.outcomes:
        if each.detector == H_NEURONS and not each.guaranteed:
            cut = next(e.threshold for e in choices if not e.guaranteed and e.risk == each.target)
            answers = sets[each.eval_set]
            given = np.zeros(len(answers), dtype=bool) if cut is None else work.fitted.sparse.scores(answers) < cut
            assert each.coverage.value == pytest.approx(given.mean())


def test_the_area_of_random_neurons_is_of_the_same_draws(work: LayersWork, found: Confidence) -> None:
    answers = evaluation_sets(work.run)["in-domain"]
    draws = work.fitted.draws["random neurons"]
    areas = [aurc(answers.hallucinated, each.scores(answers), np.ones((1, len(answers))))[0] for each in draws]
    band = next(each for each in found.random if each.eval_set == "in-domain")
    assert band.aurc.mean == pytest.approx(np.mean(areas))
    assert metrics.auroc(answers.hallucinated, draws[0].scores(answers), np.ones((1, len(answers))))[0] != areas[0]
