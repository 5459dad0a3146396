"""`Origin` and `Growth` records of invented models with the shape of real ones; ranks and spreads are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats
from tests.report.synthetic import LAYERS, SETS, WIDTH, Fixed, make_results

from hneurons.origins.record import (
    Checkpoint,
    Drift,
    DriftToLast,
    Growth,
    LayerDrift,
    NeuronDrift,
    Origin,
    RankTest,
    Score,
    SetAsked,
    Stratum,
    Transfer,
    TransferControl,
    TransferFinding,
    Transferred,
)
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate, single_class
from hneurons.probes.controls import Band, band
from hneurons.study.evaluating import H_NEURONS, MATCHED, PERMUTED, PERMUTED_ANSWERS, RANDOM, REFIT
from hneurons.study.results import Results

BASE = "atlas-7m-base"
SIZES = {"in-domain": 300, "long-tail": 160, "cross-domain": 220, "invented": 90}
RIVALS = {
    "length": (0.1, 0.1, 0.0),
    "token log-probability": (1.0, 0.8, 0.5),
    "token entropy": (1.2, 0.9, 0.6),
    "question text": (0.4, 0.1, 0.0),
    "hidden state, best layer": (0.9, 0.6, 0.2),
}
OURS = {REFIT: (1.3, 0.9, 0.2), H_NEURONS: (1.2, 0.85, 0.2)}
CONTROLS = {
    RANDOM: ((0.5, 0.4, 0.2), 20),
    MATCHED: ((0.6, 0.5, 0.25), 20),
    PERMUTED: ((-0.3, 0.0, 0.0), 10),
    PERMUTED_ANSWERS: ((0.0, 0.0, 0.0), 10),
}
DEEP = (0.5, 0.6, 0.8, 1.6, 2.2, 1.4)
"""By how much tuning moves the neurons of each layer."""


@cache
def make_origin(
    *,
    carry: float = 1.0,
    spared: float = 0.6,
    forward: bool = True,
    backward: bool = True,
    drift: bool = True,
    base: str = BASE,
    seed: int = 0,
) -> Origin:
    """On in-domain the probe carries over where `carry` is 1; at 0 it tells nothing, at -1 the opposite.

    `spared` is how much less H-Neurons change than others of their layer: 0 as much, below 0 more. No answer of the
    base model to `invented` is right, so AUROC is not defined there.
    """
    missing = {}
    if not forward:
        missing["forward"] = "the base model answers 12 questions the same way every time, and a probe needs 40"
    if not drift:
        missing["drift"] = "the base model's weights are quantized"
    results = _results()
    return Origin(
        settings={"base": {"path": base}, "forward": forward},
        probe="d1" * 32,
        base=results.model.model_copy(update={"name": base, "weights_digest": "ba5e" * 16}),
        prompt={"style": "plain", "suffix": "", "system": None, "template": "{question}\nAnswer:"},
        stop=("\n",),
        asked=tuple(_asked(name, n) for name, n in SIZES.items()),
        backward=_transfer("backward", results.model.name, base, carry, seed) if backward else None,
        forward=_transfer("forward", base, results.model.name, 0.8 * carry, seed + 1) if forward else None,
        drift=make_drift(results.probe.neurons, spared=spared, base=base, seed=seed) if drift else None,
        missing=missing,
    )


@cache
def _results() -> Results:
    return make_results()


def _answers(name: str, n: int) -> Answers:
    y = np.ones(n, dtype=np.bool_) if name == "invented" else np.arange(n) % 2 == 0
    return Answers(name, y, np.array([f"{name}-{i}" for i in range(n)]), np.zeros((n, 1)))


def _transfer(direction: str, fitted_on: str, applied_to: str, carry: float, seed: int) -> Transfer:
    random = np.random.default_rng(seed)
    sets = [_answers(name, n) for name, n in SIZES.items()]
    strengths = {**{name: tuple(carry * each for each in s) for name, s in OURS.items()}, **RIVALS}
    figures, controls, found = [], [], []
    for answers in sets:
        y, why = answers.hallucinated, single_class(answers.hallucinated)
        bootstrap = Bootstrap(answers.groups, resamples=40)
        for k, (name, strength) in enumerate(strengths.items()):
            p = Fixed(name, strength, 50 + 10 * seed + k).scores(answers)
            figures.append(
                Transferred(
                    eval_set=answers.name,
                    detector=name,
                    n_hallucinated=int(y.sum()),
                    n_faithful=int((~y).sum()),
                    auroc=bootstrap.estimate(metrics.auroc, y, p, why),
                )
            )
        for k, (name, (strength, draws)) in enumerate(CONTROLS.items()):
            drawn = [
                Fixed(name, tuple(s + random.normal(0, 0.1) for s in strength), 1000 * (seed + 1) + 100 * k + i)
                for i in range(draws)
            ]
            ones = np.ones((1, len(y)))
            values = [] if why else [float(metrics.auroc(y, each.scores(answers), ones)[0]) for each in drawn]
            controls.append(TransferControl(eval_set=answers.name, control=name, draws=draws, auroc=band(values, why)))
    for control in controls:
        detector = REFIT if control.control in (RANDOM, MATCHED) else H_NEURONS
        ours = next(f.auroc for f in figures if (f.eval_set, f.detector) == (control.eval_set, detector))
        found.append(_finding(control, detector, ours))
    return Transfer(
        direction=direction,
        fitted_on=fitted_on,
        applied_to=applied_to,
        figures=tuple(figures),
        controls=tuple(controls),
        findings=tuple(found),
    )


def _finding(control: TransferControl, detector: str, ours: Estimate) -> TransferFinding:
    known = ours.value is not None and control.auroc.high is not None
    return TransferFinding(
        eval_set=control.eval_set,
        control=control.control,
        detector=detector,
        auroc=ours.value,
        low=ours.low,
        high=ours.high,
        above=ours.value > control.auroc.high if known else None,
        carries=None if ours.low is None else ours.low > 0.5,
        sentence=f"On {control.eval_set}, {detector} against {control.control}.",
    )


def _asked(name: str, n: int) -> SetAsked:
    invented = name == "invented"
    return SetAsked(
        eval_set=name,
        questions=SETS[name] * 2,
        verdicts={"correct": 0 if invented else n // 2 + 31, "incorrect": n, "refusal": 7},
        accuracy=Estimate(value=None, low=None, high=None, reason="there is no right answer")
        if invented
        else Estimate(value=0.31, low=0.27, high=0.36),
        faithful=0 if invented else n // 2,
        hallucinated=n if invented else n // 2,
        left_out={"refusal": 7, "faithful_beyond_the_balance": 0 if invented else 31},
    )


def make_drift(
    hneurons: Sequence[tuple[int, int]], *, spared: float = 0.6, base: str = BASE, draws: int = 500, seed: int = 0
) -> Drift:
    """Distances of all neurons of the invented model; layers differ by `DEEP`."""
    random = np.random.default_rng(seed)
    shape = (LAYERS, WIDTH)
    level = np.array(DEEP)[:, None] * 0.01
    distances = {name: level * random.gamma(8.0, 1 / 8, size=shape) for name in ("up", "gate", "down")}
    for layer, index in hneurons:
        for each in distances.values():
            each[layer, index] *= np.exp(-spared)
    z = {name: (each - each.mean()) / each.std() for name, each in distances.items()}
    scores: dict[Score, np.ndarray] = {
        "up": z["up"],
        "gate": z["gate"],
        "down": z["down"],
        "up+gate+down": (z["up"] + z["gate"] + z["down"]) / 3,
        "up+down": (z["up"] + z["down"]) / 2,
    }
    ranks = {name: _ranks(each) for name, each in scores.items()}
    within = np.stack([_ranks(row) for row in scores["up+down"]])
    paper = ranks["up+down"]
    return Drift(
        base=base,
        tuned="atlas-7m-instruct",
        base_dtype="float32",
        tuned_dtype="float32",
        n_layers=LAYERS,
        n_neurons=WIDTH,
        unchanged=0,
        frozen=(),
        median_distance={name: float(np.median(each)) for name, each in distances.items()},
        layers=tuple(
            LayerDrift(
                layer=k,
                up=float(distances["up"][k].mean()),
                gate=float(distances["gate"][k].mean()),
                down=float(distances["down"][k].mean()),
                mean_rank=float(paper[k].mean()),
            )
            for k in range(LAYERS)
        ),
        hneurons=tuple(
            NeuronDrift(
                neuron=neuron,
                up=float(distances["up"][neuron]),
                gate=float(distances["gate"][neuron]),
                down=float(distances["down"][neuron]),
                score=float(scores["up+down"][neuron]),
                rank=float(paper[neuron]),
                layer_rank=float(within[neuron]),
            )
            for neuron in hneurons
        ),
        tests=tuple(_test(name, each, hneurons, draws, random) for name, each in ranks.items()),
        bytes_read=123_456,
        sentence="Drift.",
    )


def _ranks(score: np.ndarray) -> np.ndarray:
    """0 changed most, 1 least."""
    return (stats.rankdata(-score.ravel()).reshape(score.shape) - 1) / (score.size - 1)


def _test(
    score: Score, ranks: np.ndarray, hneurons: Sequence[tuple[int, int]], draws: int, random: np.random.Generator
) -> RankTest:
    ours = np.array([ranks[neuron] for neuron in hneurons])
    everywhere = random.choice(ranks.ravel(), (draws, len(ours))).mean(axis=1)
    matched = np.mean([random.choice(ranks[layer], draws) for layer, _ in hneurons], axis=0)
    again = random.choice(ours, (200, len(ours))).mean(axis=1)
    low, high = np.percentile(again, [2.5, 97.5])
    t = stats.ttest_1samp(ours, 0.5, alternative="greater")
    mean = float(ours.mean())

    def p(drawn: np.ndarray, sign: int) -> float:
        return float((1 + np.sum(sign * drawn >= sign * mean)) / (1 + draws))

    return RankTest(
        score=score,
        n=len(ours),
        mean_rank=Estimate(value=mean, low=float(low), high=float(high)),
        t=float(t.statistic),
        t_p=float(t.pvalue),
        draws=draws,
        random=_short(band(everywhere.tolist())),
        random_p=p(everywhere, 1),
        random_p_more=p(everywhere, -1),
        matched=_short(band(matched.tolist())),
        matched_p=p(matched, 1),
        matched_p_more=p(matched, -1),
    )


def _short(found: Band) -> Band:
    return found.model_copy(update={"values": ()})


STEPS = (0, 100, 300, 1000, 3000, 10000, 20000)


@dataclass(frozen=True)
class Grown:
    """How far along a checkpoint is, from 0 to 1."""

    step: int
    share: float


@cache
def make_growth(
    *,
    steps: Sequence[int] = STEPS,
    by: str | None = "exposure",
    strength: float = 1.5,
    spared: float = 0.3,
    seed: int = 0,
) -> Growth:
    """AUROC is not defined at step 0, where nothing is right; frequent facts are learnt before rare ones."""
    random = np.random.default_rng(seed)
    grown = [Grown(step, float(np.log1p(step) / np.log1p(steps[-1]))) for step in steps]
    return Growth(
        probe="d1" * 32,
        directory="checkpoints/atlas-3m",
        by=by,
        checkpoints=tuple(_checkpoint(each, by, strength, spared, random) for each in grown),
        sentences=("Sentence one of growth.", "Sentence two of growth."),
    )


def _checkpoint(at: Grown, by: str | None, strength: float, spared: float, random: np.random.Generator) -> Checkpoint:
    nothing = at.step == 0
    figures, controls, asked = [], [], []
    for place, name in enumerate(("in-domain", "long-tail")):
        n, grow = 80, strength * max(0.0, at.share - 0.2 - 0.15 * place)
        y = np.ones(n, dtype=np.bool_) if nothing else np.arange(n) % 2 == 0
        answers = Answers(name, y, np.array([f"{name}-{i}" for i in range(n)]), np.zeros((n, 1)))
        why, ones = single_class(y), np.ones((1, n))
        bootstrap = Bootstrap(answers.groups, resamples=40)
        for k, detector in enumerate((REFIT, H_NEURONS)):
            p = Fixed(detector, (grow,) * 3, at.step + k).scores(answers)
            figures.append(
                Transferred(
                    eval_set=name,
                    detector=detector,
                    n_hallucinated=int(y.sum()),
                    n_faithful=int((~y).sum()),
                    auroc=bootstrap.estimate(metrics.auroc, y, p, why),
                )
            )
        for k, control in enumerate((RANDOM, MATCHED)):
            drawn = [Fixed(control, (0.2 * grow,) * 3, at.step + 100 + 50 * k + i).scores(answers) for i in range(12)]
            values = [] if why else [float(metrics.auroc(y, each, ones)[0]) for each in drawn]
            controls.append(TransferControl(eval_set=name, control=control, draws=12, auroc=band(values, why)))
        asked.append(_asked(name, n))
    curves = {"frequent": at.share**0.6, "rare": 0.7 * at.share**3, "never": 0.0}
    strata = tuple(
        Stratum(value=name, questions=120, accuracy=Estimate(value=c, low=max(0.0, c - 0.05), high=min(1.0, c + 0.05)))
        for name, c in curves.items()
    )
    far = 0.6 * (1 - at.share)
    ours = far * np.exp(-spared)
    around = [float(far * (1 + random.normal(0, 0.03))) for _ in range(20)]
    drift = DriftToLast(
        hneurons=Estimate(value=ours, low=0.92 * ours, high=1.08 * ours),
        random=band([1.1 * each for each in around]),
        matched=band(around),
        mean_rank=None if far == 0 else 0.7,
    )
    return Checkpoint(
        step=at.step,
        name=f"step-{at.step}",
        asked=tuple(asked),
        strata=strata if by else (),
        figures=tuple(figures),
        controls=tuple(controls),
        drift=drift,
    )
