from __future__ import annotations

import pytest

from hneurons.probes.baselines import Addition
from hneurons.probes.bootstrap import Estimate
from hneurons.report import sentences
from hneurons.report.reading import detection
from hneurons.study.evaluating import H_NEURONS
from hneurons.study.results import Results, comparisons


def with_auroc(results: Results, detector: str, value: float, eval_set: str = "in-domain") -> Results:
    """The results with another AUROC of one detector on one set, its interval 0.02 to either side."""
    changed = tuple(
        row.model_copy(update={"auroc": Estimate(value=value, low=value - 0.02, high=value + 0.02)})
        if (row.detector, row.eval_set) == (detector, eval_set)
        else row
        for row in results.evaluation.detection
    )
    evaluation = results.evaluation.model_copy(update={"detection": changed})
    return results.model_copy(update={"evaluation": evaluation, "comparisons": tuple(comparisons(evaluation))})


def test_baselines_that_do_better_are_named_with_their_numbers(results: Results) -> None:
    said = sentences.against_rivals(with_auroc(results, "token entropy", 0.99), "in-domain")
    assert "reach a higher AUROC than the H-Neurons: token entropy (0.990)" in said
    assert "overlaps" not in said


def test_where_no_baseline_does_better_the_nearest_is_named(results: Results) -> None:
    said = sentences.against_rivals(with_auroc(results, H_NEURONS, 0.999), "in-domain")
    assert said.startswith("None of the 6 baselines reaches a higher AUROC; the nearest is ")
    assert "hidden state, best layer (0.926)" in said or "L2 on all neurons (0.926)" in said


def test_a_lead_within_the_intervals_is_called_one(results: Results) -> None:
    ours = detection(results, "in-domain").auroc.value
    assert ours is not None
    level = results
    for name in ("hidden state, best layer", "L2 on all neurons", "token log-probability"):
        level = with_auroc(level, name, ours - 0.1)
    said = sentences.against_rivals(with_auroc(level, "token entropy", ours + 0.001), "in-domain")
    assert said.startswith("1 of the 6 baselines reaches a higher AUROC than the H-Neurons: token entropy")
    assert said.endswith("but every interval overlaps the H-Neurons'.")


def test_verdicts_say_above_and_not_above(results: Results) -> None:
    above, below = sentences.verdicts(results, "in-domain")[0], sentences.verdicts(results, "cross-domain")[0]
    assert "is above the interval of 20 draws of as many random neurons" in above
    assert "NOT" not in above
    assert "is NOT above the interval of 20 draws of as many random neurons" in below


def test_a_set_of_one_kind_is_told_by_what_is_flagged(results: Results) -> None:
    (said,) = sentences.verdicts(results, "invented")
    flagged = detection(results, "invented").flagged.value
    assert flagged is not None
    assert said.startswith("All 160 answers are hallucinated, so there is no ranking to score")
    assert f"flags {100 * flagged:.1f}%" in said
    assert "AUROC" not in said
    rows = tuple(row for row in results.evaluation.detection if row.eval_set == "invented")
    alone = results.model_copy(update={"evaluation": results.evaluation.model_copy(update={"detection": rows})})
    assert f"the probe flags {100 * flagged:.1f}%" in sentences.summary(alone)
    assert sentences.overview_sentence(alone).startswith("No set holds both kinds")


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((0.02, 0.01, 0.03), "the H-Neurons add to entropy"),
        ((0.02, -0.01, 0.05), "the H-Neurons do NOT measurably add to entropy"),
        ((-0.02, -0.05, 0.01), "the H-Neurons do NOT measurably add to entropy"),
        ((-0.04, -0.05, -0.03), "the H-Neurons make entropy WORSE"),
    ],
)
def test_what_is_added_to_entropy_is_judged_by_its_interval(
    difference: tuple[float, float, float], verdict: str
) -> None:
    some = Estimate(value=0.8, low=0.7, high=0.9)
    gain = Estimate(value=difference[0], low=difference[1], high=difference[2])
    said = sentences.addition_sentence(Addition(eval_set="x", entropy=some, probe=some, joint=some, difference=gain))
    assert said.startswith(f"On x, {verdict}: ")


def test_nothing_is_said_of_a_difference_that_is_not_defined() -> None:
    none = Estimate(value=None, low=None, high=None, reason="all 9 answers are hallucinated")
    found = Addition(eval_set="x", entropy=none, probe=none, joint=none, difference=none)
    assert sentences.addition_sentence(found) == "On x, all 9 answers are hallucinated; AUROC is not defined."


def test_places_are_counted_among_the_baselines(results: Results) -> None:
    assert "7th of 7 on in-domain (0.100)" in sentences.overview_sentence(with_auroc(results, H_NEURONS, 0.1))
    assert "1st of 7 on in-domain (0.999)" in sentences.overview_sentence(with_auroc(results, H_NEURONS, 0.999))


def test_depth_path_and_stability_add_up(results: Results) -> None:
    counts = results.fit.per_layer
    depth = sentences.depth_sentence(results)
    assert f"holds the most: {max(counts)} of 22." in depth
    assert f"{100 * sum(counts[3:]) / 22:.0f}% sit in the last 3 layers, where 50% would by an even spread." in depth
    path = sentences.path_sentence(results)
    assert path.startswith("C = 0.0316 is chosen: 22 H-Neurons")
    assert "4 of 12 values of C could not be chosen: no neuron of positive weight (1) and more than 1.00%" in path
    shares = [each.share for each in results.fit.frequencies if each.neuron in results.probe.neurons]
    steady, weak = sum(share >= 0.9 for share in shares), sum(share < 0.5 for share in shares) + 1
    stability = sentences.stability_sentence(results)
    assert f"{steady} of 22 H-Neurons are selected in at least 90% of them, and {weak} in fewer than half" in stability
    assert "2 neurons outside the list are selected in half or more." in stability


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.9, "90% of the time (AUROC 0.900 [0.880, 0.920]); chance is 50%."),
        (0.51, "that is NOT distinguishable from chance."),
        (0.3, "that is WORSE than chance."),
    ],
)
def test_the_summary_does_not_boast(results: Results, value: float, verdict: str) -> None:
    assert sentences.summary(with_auroc(results, H_NEURONS, value)).endswith(verdict)


def test_permuted_labels_away_from_chance_are_said(results: Results) -> None:
    said = sentences.permuted_sentence(results, "in-domain")
    assert said.startswith("Fitted on permuted labels, the pipeline reaches 0.")
    assert "NOT 0.5: it still learns to tell answers from other tokens" in said
    assert "distrust" not in said
    assert sentences.permuted_sentence(results, "long-tail") == ""
    alone = results.model_copy(update={"fit": results.fit.model_copy(update={"scheme": "1-vs-1"})})
    assert "distrust the other figures" in sentences.permuted_sentence(alone, "in-domain")
    assert said in sentences.verdicts(results, "in-domain")
