from __future__ import annotations

import numpy as np
import pytest

from hneurons.probes import metrics
from hneurons.probes.stability import wilson
from hneurons.report import reading
from hneurons.study.evaluating import H_NEURONS, REFIT
from hneurons.study.results import Results


def test_detectors_come_best_first_and_all_of_them(results: Results) -> None:
    for name in reading.eval_sets(results):
        rows = reading.detections(results, name)
        figures = [reading.figure_of(row).value for row in rows]
        assert figures == sorted(figures, reverse=True)
        assert {row.detector for row in rows} == {row.detector for row in results.evaluation.detection}
    assert reading.figure_of(reading.detection(results, "invented")).value == pytest.approx(
        reading.detection(results, "invented").flagged.value
    )


def test_rivals_are_the_baselines(results: Results) -> None:
    names = [row.detector for row in reading.rivals(results, "in-domain")]
    assert len(names) == 6
    assert not {H_NEURONS, REFIT} & set(names)
    assert [row.detector for row in reading.landmarks(results, "in-domain")] == [names[0], "token entropy"]
    with pytest.raises(KeyError, match="was not evaluated"):
        reading.detection(results, "in-domain", "astrology")


def test_neurons_that_no_resample_selects_are_listed_with_zero(results: Results) -> None:
    found = reading.frequencies(results)
    assert {each.neuron for each in found} == set(results.probe.neurons)
    never = results.probe.neurons[-1]
    assert never not in {each.neuron for each in results.fit.frequencies}
    assert (found[-1].neuron, found[-1].selected, found[-1].resamples) == (never, 0, 50)
    assert (found[-1].low, found[-1].high) == wilson(0, 50)
    others = reading.others_selected(results)
    assert [each.neuron for each in others] == [(0, 7), (5, 1000)]


def test_no_resample_at_the_chosen_c_gives_no_frequencies(results: Results) -> None:
    point = results.fit.stability[results.fit.chosen].model_copy(update={"resamples": 0})
    stability = list(results.fit.stability)
    stability[results.fit.chosen] = point
    fit = results.fit.model_copy(update={"frequencies": (), "stability": tuple(stability)})
    assert reading.frequencies(results.model_copy(update={"fit": fit})) == []


def test_scores_are_those_that_the_table_was_made_of(results: Results) -> None:
    found = reading.scores(results, "in-domain")
    ones = np.ones((1, len(found.p)))
    row = reading.detection(results, "in-domain")
    assert metrics.auroc(found.hallucinated, found.p, ones)[0] == pytest.approx(row.auroc.value)
    assert metrics.auroc(~found.hallucinated, found.p, ones)[0] != pytest.approx(row.auroc.value)


def test_faithful_answers_of_another_set_stand_beside(results: Results) -> None:
    config = {**results.config, "evaluate": {**results.config["evaluate"], "invented": {"faithful_from": "long-tail"}}}
    found = reading.scores(results.model_copy(update={"config": config}), "invented")
    assert (int(found.hallucinated.sum()), int((~found.hallucinated).sum())) == (160, 120)
    assert len(reading.scores(results, "invented").p) == 160
