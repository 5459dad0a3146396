"""Transfer against scikit-learn: AUROC of unchanged detectors, its intervals, bands of controls, and what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from hneurons.models.fingerprint import ModelFingerprint
from hneurons.origins.transfer import HELD_AGAINST, ranking, transfer, transfer_controls, transferred
from hneurons.probes.answers import Answers
from hneurons.probes.baselines import question_text
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import random_neurons, refit
from hneurons.probes.detectors import Detector, ProbeDetector, recalibrate
from hneurons.probes.logistic import Logistic
from hneurons.probes.names import H_NEURONS, MATCHED, PERMUTED, RANDOM, REFIT
from hneurons.probes.probe import Probe, ProbeCard, Provenance, WeightedNeuron
from hneurons.probes.rows import dense
from hneurons.probes.solution import Solution

LAYERS, WIDTH = 3, 8
CHOSEN = np.array([2, 9, 17])
SOLUTION = Solution(1.0, np.array([2, 9, 17, 20]), np.array([30.0, 20.0, 25.0, -15.0]), -4.0, 0.0, 1)


def answers(name: str, n: int, seed: int, shift: float = 0.0, signal: float = 0.05) -> Answers:
    """Rows of which `CHOSEN` tell a little, two rows a group; `shift` moves all of them, as another model might."""
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.5
    X = random.random((n, LAYERS * WIDTH)) * 0.2 + shift
    X[:, CHOSEN] += signal * y[:, None]
    groups = np.array([f"{name}-{i // 2}" for i in range(n)])
    texts = tuple(f"which {'river' if flag else 'lake'} is number {i}" for i, flag in enumerate(y))
    return Answers(name, y, groups, X.astype(np.float32), questions=texts)


@pytest.fixture(scope="module")
def train() -> Answers:
    return answers("train", 120, 1)


@pytest.fixture(scope="module")
def dev() -> Answers:
    return answers("dev", 80, 2)


@pytest.fixture(scope="module")
def sparse(dev: Answers) -> Detector:
    return replace(recalibrate(ProbeDetector(H_NEURONS, SOLUTION), dev), name=H_NEURONS)


@pytest.fixture(scope="module")
def other() -> Answers:
    """Answers of another model: its states lie elsewhere."""
    return answers("in-domain", 90, 3, shift=0.4)


def naive_logits(model: Logistic, columns: np.ndarray, intercept: float | None = None) -> list[float]:
    """w.x + b, a row and a column at a time."""
    b = model.intercept if intercept is None else intercept
    return [b + sum(float(w) * float(x) for w, x in zip(model.weights, row, strict=True)) for row in columns]


def test_the_recalibrated_probe_ranks_as_the_unchanged_one(sparse: Detector, other: Answers) -> None:
    """AUROC is scikit-learn's of `Probe.score`, the probe as it was saved."""
    fingerprint = ModelFingerprint(
        name="tuned", revision=None, model_type="llama", n_layers=LAYERS, n_neurons=WIDTH, hidden_size=4,
        weights_digest="",
    )  # fmt: skip
    address = tuple((int(i) // WIDTH, int(i) % WIDTH) for i in SOLUTION.indices)
    card = ProbeCard(
        model=fingerprint, C=1.0, scheme="1-vs-1", scale="none", intercept_kind="free", intercept=SOLUTION.intercept,
        other="response", positions="at", violation=0.0, provenance=Provenance(date="", questions={}, versions={}),
        neurons=tuple(
            WeightedNeuron(layer=k, index=j, weight=float(weight))
            for (k, j), weight in zip(address, SOLUTION.weights, strict=True)
        ),
    )  # fmt: skip
    probe = Probe(card, address, SOLUTION.weights, None)
    expected = roc_auc_score(other.hallucinated, probe.score(dense(other.contributions).reshape(-1, LAYERS, WIDTH)))
    (row,) = transferred([sparse], [other], resamples=50)
    assert row.auroc.value == pytest.approx(expected, abs=1e-12)
    assert (row.n_hallucinated, row.n_faithful) == (other.hallucinated.sum(), (~other.hallucinated).sum())
    turned = Probe(card, address, -SOLUTION.weights, None)
    wrong = roc_auc_score(other.hallucinated, turned.score(dense(other.contributions).reshape(-1, LAYERS, WIDTH)))
    assert row.auroc.value != pytest.approx(wrong, abs=1e-3)


def test_every_kind_of_detector_against_scikit_learn(train: Answers, dev: Answers, other: Answers) -> None:
    fitted = refit(CHOSEN, train, dev, REFIT)
    text = question_text(train, dev)
    rows = {row.detector: row.auroc.value for row in transferred([fitted, text], [other], resamples=20)}
    logits = naive_logits(fitted.model, other.contributions.take(CHOSEN))
    assert rows[REFIT] == pytest.approx(roc_auc_score(other.hallucinated, logits), abs=1e-12)
    p = text.model.predict_proba(text.vectorizer.transform(other.questions))[:, 1]
    assert rows["question text"] == pytest.approx(roc_auc_score(other.hallucinated, p), abs=1e-12)


def test_far_from_what_it_was_fitted_on_a_detector_still_ranks(other: Answers) -> None:
    """Probabilities that are 1 up to rounding tie; logits do not."""
    steep = ProbeDetector(H_NEURONS, Solution(1.0, CHOSEN, np.full(3, 4000.0), 3000.0, 0.0, 1))
    assert (steep.scores(other) == 1).all()
    logits = 3000 + other.contributions.take(CHOSEN) @ np.full(3, 4000.0)
    expected = roc_auc_score(other.hallucinated, logits)
    (row,) = transferred([steep], [other], resamples=20)
    assert row.auroc.value == pytest.approx(expected, abs=1e-12)
    assert roc_auc_score(other.hallucinated, expit(logits)) == 0.5 != pytest.approx(expected, abs=0.05)
    np.testing.assert_allclose(ranking(steep, other), logits)


def test_intervals_are_those_of_weighted_scikit_learn(sparse: Detector, other: Answers) -> None:
    """The same draws of groups, each scored by scikit-learn with a row's weight the times its group was drawn."""
    (row,) = transferred([sparse], [other], resamples=60, seed=7)
    names, member = np.unique(other.groups, return_inverse=True)
    draws = np.random.default_rng(7).multinomial(len(names), np.full(len(names), 1 / len(names)), size=60)
    scores = other.contributions.take(SOLUTION.indices) @ SOLUTION.weights
    values = [roc_auc_score(other.hallucinated, scores, sample_weight=draw[member]) for draw in draws]
    assert (row.auroc.low, row.auroc.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12)
    apart = [roc_auc_score(other.hallucinated, scores, sample_weight=draw[member[::-1]]) for draw in draws]
    assert row.auroc.low != pytest.approx(np.percentile(apart, 2.5), abs=1e-6)  # groups matter


def test_bands_are_percentiles_over_the_draws(train: Answers, dev: Answers, other: Answers) -> None:
    drawn = random_neurons(CHOSEN, WIDTH, train, dev, draws=6, layer_matched=True)
    (control,) = transfer_controls({MATCHED: drawn}, [other])
    values = [roc_auc_score(other.hallucinated, naive_logits(each.model, each.features(other))) for each in drawn]
    assert control.auroc.values == pytest.approx(values, abs=1e-12)
    assert (control.auroc.low, control.auroc.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert (control.control, control.draws, control.auroc.mean) == (MATCHED, 6, pytest.approx(np.mean(values)))


def test_findings_hold_like_against_like(train: Answers, dev: Answers, sparse: Detector, other: Answers) -> None:
    fitted = refit(CHOSEN, train, dev, REFIT)
    draws = {
        RANDOM: random_neurons(CHOSEN, WIDTH, train, dev, draws=5),
        PERMUTED: [ProbeDetector("permuted 0", Solution(1.0, np.array([0, 1]), np.array([1.0, 2.0]), 0.0, 0.0, 1))],
    }
    found = transfer("backward", [sparse, fitted], draws, [other], fitted_on="t", applied_to="b", resamples=100)
    assert (found.direction, found.fitted_on, found.applied_to) == ("backward", "t", "b")
    by = {each.control: each for each in found.findings}
    assert {name: each.detector for name, each in by.items()} == {RANDOM: REFIT, PERMUTED: H_NEURONS}
    aurocs = {row.detector: row.auroc for row in found.figures}
    for each in found.controls:
        finding = by[each.control]
        ours = aurocs[finding.detector]
        assert (finding.auroc, finding.low, finding.high) == (ours.value, each.auroc.low, each.auroc.high)
        assert finding.above == (ours.value > each.auroc.high)
        assert finding.carries == (ours.low > 0.5)
        assert ("NOT above" in finding.sentence) == (not finding.above)
    assert by[RANDOM].above
    assert by[RANDOM].sentence == (
        "On in-domain, the tuned model's H-Neurons, applied to the base model's own answers, have an AUROC of "
        f"{aurocs[REFIT].value:.3f} (refit; {aurocs[REFIT].low:.3f} to {aurocs[REFIT].high:.3f}), "
        f"above the interval of 5 draws of as many random neurons ({by[RANDOM].low:.3f} to {by[RANDOM].high:.3f})."
    )
    assert by[PERMUTED].sentence.startswith("On in-domain, the tuned model's sparse probe, applied to the base model's")


def test_what_does_not_carry_is_said(train: Answers, dev: Answers) -> None:
    """H-Neurons that say nothing in the other model."""
    silent = answers("in-domain", 200, 5, signal=0.0)
    fitted = refit(CHOSEN, train, dev, REFIT)
    draws = {RANDOM: random_neurons(CHOSEN, WIDTH, train, dev, draws=20)}
    found = transfer("forward", [fitted], draws, [silent], fitted_on="b", applied_to="t", resamples=100)
    (finding,) = found.findings
    assert (finding.above, finding.carries) == (False, False)
    assert "the base model's H-Neurons, applied to the tuned model's own answers" in finding.sentence
    assert "NOT above the interval of 20 draws" in finding.sentence


def test_a_set_of_one_kind_and_an_empty_one_have_no_auroc(train: Answers, dev: Answers, sparse: Detector) -> None:
    whole = answers("x", 30, 6)
    one = whole.take(np.flatnonzero(whole.hallucinated), "one kind")
    none = whole.take(np.zeros(0, dtype=np.int64), "nothing")
    fitted = refit(CHOSEN, train, dev, REFIT)
    draws = {RANDOM: random_neurons(CHOSEN, WIDTH, train, dev, draws=2), PERMUTED: []}
    found = transfer(
        "backward", [sparse, fitted, question_text(train, dev)], draws, [one, none], fitted_on="t", applied_to="b"
    )
    assert all(row.auroc.value is None and row.auroc.reason for row in found.figures)
    assert [(row.eval_set, row.n_hallucinated, row.n_faithful) for row in found.figures[::3]] == [
        ("one kind", len(one), 0), ("nothing", 0, 0)
    ]  # fmt: skip
    assert all(each.auroc.values == () and each.auroc.reason for each in found.controls)
    assert all(each.above is each.carries is None for each in found.findings)
    assert found.findings[0].sentence == f"On one kind, AUROC is not defined: all {len(one)} answers are hallucinated."
    assert found.findings[-1].sentence == (
        "On nothing, AUROC is not defined: there are not both right and wrong answers."
    )


def test_a_control_without_draws_is_not_beaten(sparse: Detector, other: Answers) -> None:
    """Permutations of which no C selects a neuron are left out, be it all of them."""
    found = transfer("backward", [sparse], {PERMUTED: []}, [other], fitted_on="t", applied_to="b", resamples=50)
    (finding,) = found.findings
    assert (finding.above, finding.low) == (None, None)
    assert finding.carries is not None
    assert finding.sentence.endswith("held against nothing: no draws.")


def test_without_an_interval_nothing_carries() -> None:
    from hneurons.origins.record import TransferControl, Transferred
    from hneurons.origins.transfer import findings
    from hneurons.probes.controls import band

    row = Transferred(
        eval_set="s", detector=REFIT, n_hallucinated=1, n_faithful=9,
        auroc=Estimate(value=0.9, low=None, high=None, reason="undefined in 60 of 100 resamples; no interval"),
    )  # fmt: skip
    control = TransferControl(eval_set="s", control=RANDOM, draws=2, auroc=band([0.4, 0.6]))
    (finding,) = findings("backward", [row], [control])
    assert (finding.above, finding.carries) == (True, None)
    assert "(refit; no interval)" in finding.sentence
    assert set(HELD_AGAINST.values()) == {REFIT, H_NEURONS}
