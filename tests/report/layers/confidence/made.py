"""Confidence of an invented study, found by the package's own functions on invented scores."""

from __future__ import annotations

import numpy as np

from hneurons.layers.confidence.abstaining import choose_threshold, outcome
from hneurons.layers.confidence.asked_truth import TruthRows, asked_truth
from hneurons.layers.confidence.boundary import AskedQuestion, boundary
from hneurons.layers.confidence.calibration import OWN, calibration, confident
from hneurons.layers.confidence.meaning import cluster
from hneurons.layers.confidence.record import Abstaining, Confidence, TruthAsked
from hneurons.layers.confidence.risk import random_risk, risk_coverage
from hneurons.layers.confidence.sampled import Drawn, corrected, sampled
from hneurons.layers.confidence.truth import P_TRUE
from hneurons.probes.answers import Answers
from hneurons.probes.names import H_NEURONS

SETS = ("near", "far <b>")
ENTROPY = "token entropy"


def make_confidence() -> Confidence:
    """Two sets: on the first H-Neurons tell, on the second they do not; entropy tells on both."""
    random = np.random.default_rng(0)
    calibrations, curves, bands, outcomes, choices, asked = [], [], [], [], [], []
    y_dev = random.random(200) < 0.5
    confidents, boundaries = [], []
    dev = _answers("dev", y_dev, random)
    for name in SETS:
        y, groups = random.random(160) < 0.5, np.arange(160) // 2
        answers = _answers(name, y, random)
        blur = 0.3 if name == SETS[0] else 50.0
        scores = {
            H_NEURONS: _scores(y, blur, random),
            ENTROPY: _scores(y, 0.2, random),
            OWN: _scores(y, 0.25, random),
            P_TRUE: _scores(y, 50.0, random),
        }
        for source, p in scores.items():
            calibrations.append(calibration(name, source, y, p, groups, resamples=20, draws=20))
        curves += risk_coverage(name, scores, y, groups, ENTROPY, resamples=20)
        bands.append(random_risk(name, [random.random(160) for _ in range(4)], y))
        for detector, p in scores.items():
            for guaranteed in (True, False):
                choice = choose_threshold(
                    _scores(y_dev, 0.3, np.random.default_rng(1)), y_dev, 0.2, guaranteed=guaranteed, detector=detector
                )
                choices += [choice] if name == SETS[0] else []
                outcomes.append(outcome(name, choice, p, y, groups, resamples=20))
        rows = TruthRows(y, groups, random.random(160), random.random(160), np.full(160, 0.5))
        asked.append(asked_truth(name, rows, resamples=20, permutations=20))
        confidents += confident(dev, answers, resamples=20)
        questions = [
            AskedQuestion("0" if i % 2 else "5-10", f"g{i}", "correct" if i % 3 else "refusal") for i in range(60)
        ]
        found = boundary(name, "statements", questions, answers, ["0", "5-10"] * 80, resamples=20)
        boundaries += [found] if found else []
    perfect = corrected([each.perfect for each in calibrations])
    return Confidence(
        calibration=tuple(
            each.model_copy(update={"perfect": chance}) for each, chance in zip(calibrations, perfect, strict=True)
        ),
        confident=tuple(confidents),
        boundary=tuple(boundaries),
        sampled=sampled(_drawn(random), resamples=20, permutations=20),
        p_true=TruthAsked(prompt="?", yes=("True",), no=("False",), dev_auroc=0.5, sets=tuple(asked)),
        curves=tuple(curves),
        random=tuple(bands),
        abstaining=Abstaining(choices=tuple(choices), outcomes=tuple(outcomes)),
        missing={},
    )


def _answers(name: str, y: np.ndarray, random: np.random.Generator) -> Answers:
    return Answers(
        name=name,
        hallucinated=y,
        groups=np.arange(len(y)),
        contributions=np.zeros((len(y), 1), dtype=np.float32),
        n_answer=np.ones(len(y), dtype=np.int64),
        log_prob=-random.random(len(y)) - y,
    )


def _scores(y: np.ndarray, blur: float, random: np.random.Generator) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(y - 0.5 + random.normal(0, blur, len(y))))))


def _drawn(random: np.random.Generator) -> list[Drawn]:
    found = []
    for i in range(100):
        wrong = i % 2 == 0
        texts = random.choice(["Oslo", "Rome", "Bern"], 3, p=[0.5, 0.3, 0.2] if wrong else [0.96, 0.02, 0.02])
        found.append(
            Drawn(f"g{i}", wrong, cluster("Which city?", list(texts)), i % 5 > 0, {OWN: random.random() + wrong})
        )
    return found
