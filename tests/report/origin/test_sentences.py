from __future__ import annotations

import pytest
from tests.report.synthetic_origin import make_growth, make_origin

from hneurons.origins.record import Drift, Growth, Origin, Transfer
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.report.origin import growth_sentences, sentences
from hneurons.report.origin.reading import carries, rank_p, short, spared
from hneurons.study.results import Results

NONE = Estimate(value=None, low=None, high=None, reason="no right answer")


@pytest.fixture(scope="module")
def origin() -> Origin:
    return make_origin()


def with_findings(origin: Origin, found: dict[str, tuple[bool | None, bool | None]], low: float = 0.6) -> Origin:
    """The same origin with these outcomes of findings ("*" for all other controls): above, and carries."""
    assert origin.backward is not None
    changed = []
    for each in origin.backward.findings:
        above, carried = found.get(each.control, found["*"])
        ends = {"auroc": None, "low": None, "high": None} if above is None else {"low": low, "high": low + 0.1}
        changed.append(each.model_copy(update={"above": above, "carries": carried, **ends}))
    return origin.model_copy(update={"backward": origin.backward.model_copy(update={"findings": tuple(changed)})})


def with_test(origin: Origin, **update: object) -> Origin:
    """The same origin, the test of the paper's score changed."""
    assert origin.drift is not None
    tests = tuple(t.model_copy(update=update) if t.score == "up+down" else t for t in origin.drift.tests)
    return origin.model_copy(update={"drift": origin.drift.model_copy(update={"tests": tests})})


def told(results: Results, origin: Origin) -> list[str]:
    return sentences.origin_sentences(results.model_copy(update={"origin": origin}))


YES, NO = (True, True), (False, True)
OUTCOMES = [
    ({"*": YES}, 0.6, "holds", "base model holds on in-domain"),
    ({"*": YES, "random neurons, layer-matched": NO}, 0.6, "in part", "holds in part (above random neurons, NOT above"),
    ({"*": YES, "random neurons": NO}, 0.6, "fails", "does NOT hold on in-domain"),
    ({"*": (True, False)}, 0.45, "fails", "does NOT hold on in-domain"),
    ({"*": (False, False)}, 0.3, "opposite", "is the other way round (AUROC below 0.5) on in-domain"),
    ({"*": (None, None)}, 0.3, "undefined", "cannot be decided on in-domain"),
]


@pytest.mark.parametrize(("found", "low", "outcome", "words"), OUTCOMES)
def test_whether_the_probe_carries_over_is_read_from_every_control(
    results: Results,
    origin: Origin,
    found: dict[str, tuple[bool | None, bool | None]],
    low: float,
    outcome: str,
    words: str,
) -> None:
    changed = with_findings(origin, found, low)
    assert changed.backward is not None
    assert carries(changed.backward, "in-domain") == outcome
    said = told(results, changed)[0]
    assert said.startswith("The paper's claim that the probe carries over to the base model ")
    assert words in said


def test_the_claim_names_the_figure_and_the_draws_beside_it(results: Results, origin: Origin) -> None:
    assert origin.backward is not None
    refit = next(each for each in origin.backward.figures if each.detector == "H-Neurons, refit")
    random = next(each.auroc for each in origin.backward.controls if each.control == "random neurons")
    words = f"in-domain ({refit.auroc.value:.3f}; random {random.low:.3f} to {random.high:.3f})"
    assert words in told(results, origin)[0]
    assert "cannot be decided on invented (all 90 answers are hallucinated)" in told(results, origin)[0]


@pytest.mark.parametrize(
    ("update", "outcome", "words"),
    [
        ({"matched_p": 0.01, "matched_p_more": 0.99}, "holds", "less than others holds (mean rank"),
        ({"matched_p": 0.3, "matched_p_more": 0.7}, "fails", "less than others does NOT hold (mean rank"),
        ({"matched_p": 0.05, "matched_p_more": 0.95}, "fails", "does NOT hold"),
        ({"matched_p": 0.99, "matched_p_more": 0.01}, "opposite", "is the other way round: they changed MORE (mean"),
        (
            {"matched": Band(mean=None, low=None, high=None, values=(), reason="no other neuron")},
            "undefined",
            "cannot be decided: no other neuron.",
        ),
    ],
)
def test_whether_they_were_spared_is_read_from_the_same_layers(
    results: Results, origin: Origin, update: dict[str, object], outcome: str, words: str
) -> None:
    changed = with_test(origin, random_p=0.001, t_p=0.001, **update)
    assert changed.drift is not None
    assert spared(next(each for each in changed.drift.tests if each.score == "up+down")) == outcome
    said = told(results, changed)[1]
    assert words in said
    naive = "By the t-test against 0.5 (p 0.001) and neurons drawn from all layers (p 0.001) they changed less"
    assert (naive in said) == (outcome in ("fails", "opposite"))


def test_a_test_that_takes_layers_as_alike_and_shows_nothing_is_named(results: Results, origin: Origin) -> None:
    said = told(results, with_test(origin, matched_p=0.01, random_p=0.4, t_p=0.001))[1]
    assert "By neurons drawn from all layers (p 0.400), where all layers count as alike, that does NOT show." in said
    assert "where all layers" not in told(results, with_test(origin, matched_p=0.01, random_p=0.01, t_p=None))[1]


@pytest.mark.parametrize(
    ("found", "p", "words"),
    [
        ({"*": YES}, (0.01, 0.99), "Both point to H-Neurons that were there before tuning"),
        ({"*": YES}, (0.5, 0.5), "So they told hallucinations apart before tuning, and tuning did not spare them."),
        ({"*": YES}, (0.99, 0.01), "tuning changed them more than others."),
        ({"*": NO, "random neurons": YES}, (0.01, 0.99), "is not clearly theirs"),
        ({"*": NO}, (0.01, 0.99), "So nothing here shows that they told hallucinations apart before tuning, though"),
        ({"*": NO}, (0.5, 0.5), "before tuning, and tuning did not spare them."),
    ],
)
def test_both_parts_together(
    results: Results, origin: Origin, found: dict[str, tuple[bool, bool]], p: tuple[float, float], words: str
) -> None:
    changed = with_test(with_findings(origin, found), matched_p=p[0], matched_p_more=p[1])
    assert words in sentences.both_sentence(results, changed)


def test_of_one_part_alone_nothing_is_concluded(results: Results, origin: Origin) -> None:
    assert sentences.both_sentence(results, make_origin(drift=False)) == ""
    assert sentences.both_sentence(results, with_findings(origin, {"*": (None, None)})) == ""


def test_what_is_missing_is_said_with_the_reason(results: Results) -> None:
    said = told(results, make_origin(forward=False, drift=False))
    assert said[-2:] == [
        "Forward transfer is missing: the base model answers 12 questions the same way every time, and a probe needs "
        "40.",
        "Drift is missing: the base model's weights are quantized.",
    ]
    assert len(said) == 3
    assert sentences.origin_sentences(results) == []


def test_a_set_is_told_beside_each_control(results: Results, origin: Origin) -> None:
    found = results.model_copy(update={"origin": origin})
    backward, forward = sentences.set_sentences(found, "long-tail")
    transfer = origin.backward
    assert transfer is not None
    held = {each.control: each.auroc for each in transfer.controls if each.eval_set == "long-tail"}
    matched = held["random neurons, layer-matched"]
    assert f"NOT above random neurons of the same layers ({matched.low:.3f} to {matched.high:.3f})" in backward
    assert backward.startswith("Backward transfer: on 160 answers of the base model, the probe of the other one")
    assert forward.startswith("Forward transfer: on 160 answers of the tuned model")
    assert sentences.set_sentences(found, "invented") == [
        f"{way} transfer: AUROC is not defined; all 90 answers are hallucinated." for way in ("Backward", "Forward")
    ]
    assert (
        "that is WORSE than chance"
        in sentences.set_sentences(results.model_copy(update={"origin": make_origin(carry=-1.0)}), "in-domain")[0]
    )


def test_the_caption_of_transfer_names_rivals_that_tell_more(results: Results, origin: Origin) -> None:
    said = sentences.transfer_sentence(results, origin)
    assert origin.backward is not None
    entropy = next(each for each in origin.backward.figures if each.detector == "token entropy")
    assert f"More than the H-Neurons tell there: token entropy on in-domain ({entropy.auroc.value:.3f})" in said
    ours = next(row.auroc.value for row in results.evaluation.detection if row.detector == "H-Neurons")
    assert f"on in-domain, {ours:.3f} on its own" in said
    weak = tuple(e for e in origin.backward.figures if e.detector in ("H-Neurons", "H-Neurons, refit", "length"))
    alone = origin.model_copy(update={"backward": origin.backward.model_copy(update={"figures": weak})})
    assert "in-domain (" not in sentences.transfer_sentence(results, alone).partition("More than")[2]


def test_the_caption_of_drift_says_what_other_scores_say_and_what_to_beware_of(origin: Origin) -> None:
    drift = origin.drift
    assert drift is not None
    assert "LESS change than in as many neurons of the same layers" in sentences.drift_sentence(drift)
    assert "other weights" not in sentences.drift_sentence(drift)
    tests = tuple(
        t.model_copy(update={"matched_p": 0.9, "matched_p_more": 0.1 if t.score == "up" else 0.01})
        if t.score in ("up", "down")
        else t
        for t in drift.tests
    )
    update = {"tests": tests, "unchanged": 7, "frozen": ("gate",), "tuned_dtype": "bfloat16"}
    said = sentences.drift_sentence(drift.model_copy(update=update))
    assert "looks: they changed neither more nor less by up (mean rank" in said
    assert "and MORE by down (mean rank" in said
    assert "Of 6,144 neurons, 7 did not change at all." in said
    assert "Tuning changed no weight of any gate-projection" in said
    assert "stored as float32, the tuned one as bfloat16: part of the distance is rounding." in said
    assert "MORE change than" in sentences.drift_sentence(make_drifted(-0.5))
    assert "NOT distinguishable from" in sentences.drift_sentence(make_drifted(0.0))


def make_drifted(spared_by: float) -> Drift:
    found = make_origin(spared=spared_by, backward=False, forward=False).drift
    assert found is not None
    return found


def test_a_rank_counts_the_draws_at_least_as_high() -> None:
    drawn = Band(mean=0.5, low=0.4, high=0.6, values=(0.4, 0.5, 0.6))
    assert rank_p(0.5, drawn) == pytest.approx(3 / 4)
    assert rank_p(0.7, drawn) == pytest.approx(1 / 4)
    assert rank_p(None, drawn) is None
    assert rank_p(0.5, Band(mean=None, low=None, high=None, values=())) is None


def test_names_are_cut() -> None:
    assert short("owner/model-7b") == "model-7b"
    assert short("/models/base/") == "base"
    assert short("a" * 40) == "a" * 27 + "…"


def test_growth_tells_from_when_on(origin: Origin) -> None:
    growth = make_growth()
    said = growth_sentences.growth_sentence(growth)
    assert said.startswith("7 checkpoints, steps 0 to 20,000. On in-domain, the H-Neurons stand above chance and")
    assert "AUROC is not defined at step 0: all 80 answers are hallucinated." in said
    assert "Accuracy by exposure goes from 0.0% to 100.0% (frequent), from 0.0% to 70.0% (rare)" in said
    assert "nearer to the last checkpoint than random neurons of the same layers at every step before it" in said
    start = growth_sentences.onset(growth, "in-domain")
    assert start is not None
    # by hand: the last step at which they are not above everything is the one before
    steps = []
    for each in growth.checkpoints:
        refit = next(f.auroc for f in each.figures if (f.eval_set, f.detector) == ("in-domain", "H-Neurons, refit"))
        highs = [c.auroc.high for c in each.controls if c.eval_set == "in-domain"]
        if refit.value is not None and not (refit.low > 0.5 and all(refit.value > high for high in highs)):
            steps.append(each.step)
    assert start.step == next(each.step for each in growth.checkpoints if each.step > max(steps))
    assert f"from step {start.step:,} on" in said


def test_growth_of_neurons_that_tell_nothing_or_move_more(origin: Origin) -> None:
    said = growth_sentences.growth_sentence(make_growth(strength=0.0, spared=-0.3))
    assert "the H-Neurons do NOT stand above chance and random neurons at step 20,000 (AUROC 0." in said
    assert "FARTHER from it than those at every step before it" in said
    level = growth_sentences.growth_sentence(make_growth(spared=0.0))
    assert "NOT distinguishable from random neurons of the same layers by their distance" in level


def test_growth_of_little_or_nothing() -> None:
    growth = make_growth(steps=(0, 5))
    one = growth.model_copy(update={"checkpoints": growth.checkpoints[:1]})
    assert growth_sentences.growth_sentence(one).startswith(
        "1 checkpoint, step 0. On in-domain, AUROC is nowhere defined: all 80 answers are hallucinated."
    )
    nothing = {"asked": (), "strata": (), "figures": (), "controls": (), "drift": None}
    bare = growth.checkpoints[0].model_copy(update=nothing)
    empty = Growth(probe="p", directory="d", by=None, checkpoints=(bare,), sentences=())
    assert growth_sentences.growth_sentence(empty) == "1 checkpoint, step 0. Nothing could be measured."
    assert growth_sentences.growth_sentence(empty.model_copy(update={"checkpoints": ()})) == "There are no checkpoints."


def test_transfer_of_other_sets_than_the_runs_is_told(results: Results, origin: Origin) -> None:
    transfer = origin.backward
    assert transfer is not None
    figures = tuple(each.model_copy(update={"eval_set": "elsewhere"}) for each in transfer.figures[:2])
    alone = Transfer.model_validate({**transfer.model_dump(), "figures": figures, "controls": (), "findings": ()})
    found = origin.model_copy(update={"backward": alone, "forward": None})
    assert "cannot be decided on elsewhere" in sentences.carries_sentence(results, found)
