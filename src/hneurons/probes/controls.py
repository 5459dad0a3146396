"""What chance gives: random neurons, random neurons of the same layers, and the whole pipeline on permuted labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped
from pydantic import BaseModel, ConfigDict

from hneurons.errors import ProbeError
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import single_class
from hneurons.probes.columns import Columns
from hneurons.probes.detectors import Detector, LogisticDetector, ProbeDetector, detect_by_neurons
from hneurons.probes.following import Problem
from hneurons.probes.labels import TrainingRows
from hneurons.probes.path import fit_paths
from hneurons.probes.select import choose
from hneurons.probes.solution import Intercept
from hneurons.progress import track


def refit(
    hneurons: Int[np.ndarray, " chosen"], train: Answers, dev: Answers, name: str = "H-Neurons, refit"
) -> LogisticDetector:
    """The H-Neurons (flat numbers) fitted exactly as random neurons are, so that the comparison is like with like.

    L2 logistic regression on the standardised contributions of the training answers (hallucinated against faithful,
    no other-token vectors), C from six values by accuracy on `dev`, threshold from `dev`.
    """
    return detect_by_neurons(name, hneurons, train, dev)


def random_neurons(
    hneurons: Int[np.ndarray, " chosen"],
    n_neurons: int,
    train: Answers,
    dev: Answers,
    *,
    draws: int = 20,
    layer_matched: bool = False,
    absent: Int[np.ndarray, " absent"] | None = None,
    seed: int = 0,
) -> list[LogisticDetector]:
    """As many neurons as there are H-Neurons, drawn at random among the others, each draw fitted as `refit` says.

    Random neurons so get labels, regularisation and threshold of their own: they are as strong as their number allows.

    Args:
        hneurons: flat numbers of the H-Neurons.
        n_neurons: neurons of one layer.
        layer_matched: draw from every layer as many as it has H-Neurons, instead of from all layers alike.
        absent: flat numbers at which there is no neuron; see `ModelFingerprint.absent`.
    """
    total = train.contributions.shape[1]
    each = draw_neurons(hneurons, total, n_neurons, draws=draws, layer_matched=layer_matched, seed=seed, absent=absent)
    return [
        detect_by_neurons(f"random {i}", drawn, train, dev)
        for i, drawn in enumerate(track(each, "fitting random neurons"))
    ]


def draw_neurons(
    hneurons: Int[np.ndarray, " chosen"],
    total: int,
    n_neurons: int,
    *,
    draws: int,
    layer_matched: bool,
    seed: int,
    absent: Int[np.ndarray, " absent"] | None = None,
) -> list[Int[np.ndarray, " chosen"]]:
    """Flat numbers of random neurons, none of them an H-Neuron; also the random sets for interventions.

    They are drawn from the `total` numbers that there are, but for those of `absent`.

    Raises:
        ProbeError: too few other neurons to draw from.
    """
    random = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(total), hneurons)
    if absent is not None:
        others = np.setdiff1d(others, absent, assume_unique=True)
    if layer_matched:
        layers, counts = np.unique(np.asarray(hneurons) // n_neurons, return_counts=True)
        pools = [
            (others[others // n_neurons == layer], int(count)) for layer, count in zip(layers, counts, strict=True)
        ]
    else:
        pools = [(others, len(hneurons))]
    if not len(hneurons) or any(len(pool) < count for pool, count in pools):
        raise ProbeError(f"cannot draw {len(hneurons)} random neurons beside the H-Neurons out of {total}")
    return [
        np.sort(np.concatenate([random.choice(pool, count, replace=False) for pool, count in pools]))
        for _ in range(draws)
    ]


def permuted_probes(
    X: Columns | Float[np.ndarray, "rows neurons"],
    rows: TrainingRows,
    train: Answers,
    dev: Answers,
    Cs: Sequence[float],
    n_neurons: int,
    *,
    permutations: int = 10,
    max_ratio: float = 0.01,
    deviation: Float64[np.ndarray, " neurons"] | None = None,
    intercept: Intercept = "free",
    seed: int = 0,
) -> list[ProbeDetector]:
    """The whole pipeline on labels that mean nothing: path, choice of C, and threshold at 0.5.

    Labels of training and of held-out answers are permuted (`permute_labels`); other-token vectors keep label 0. C is
    chosen by held-out accuracy alone. Evaluate the result on true labels.

    With rows of "1-vs-1" nothing true is left in the labels: away from chance, something leaks. With "3-vs-1" the
    difference between answer and other tokens is left, so the AUROC may be far from 0.5; it says how much that
    contrast alone gives, which the probe's own AUROC has to exceed. Report both.

    Permutations of which no C selects a neuron are left out, so the list may be shorter than `permutations`.
    """
    random = np.random.default_rng(seed)
    every = np.arange(len(rows.index))
    labels = [permute_labels(train.hallucinated, train.groups, random) for _ in range(permutations)]
    held_out = [permute_labels(dev.hallucinated, dev.groups, random) for _ in range(permutations)]
    paths = fit_paths(
        X,
        [Problem(every, rows.labels(y)) for y in labels],
        Cs,
        deviation=deviation,
        intercept=intercept,
        stop_above=int(max_ratio * train.contributions.shape[1]),
        progress="fitting permuted labels",
    )
    found = []
    for i, (path, y) in enumerate(zip(paths, held_out, strict=True)):
        if any(0 < len(solution.positive) <= max_ratio * train.contributions.shape[1] for solution in path):
            chosen = choose(path, dev.contributions, y, n_neurons, max_ratio=max_ratio)
            found.append(ProbeDetector(f"permuted {i}", chosen.solution))
    return found


def permute_labels(
    hallucinated: Bool[np.ndarray, " rows"], groups: Shaped[np.ndarray, " rows"], random: np.random.Generator
) -> Bool[np.ndarray, " rows"]:
    """Permute labels while a group's labels stay together: groups of equal size exchange theirs as blocks.

    A group that is the only one of its size has its labels shuffled within itself.
    """
    permuted = hallucinated.copy()
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(member, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for size in np.unique(sizes):
        blocks = np.stack([order[starts[sizes == size] + k] for k in range(size)], axis=1)
        if len(blocks) == 1:
            permuted[blocks[0]] = hallucinated[random.permutation(blocks[0])]
        else:
            permuted[blocks] = hallucinated[blocks[random.permutation(len(blocks))]]
    return permuted


class Band(BaseModel):
    """A figure over several draws: mean, 2.5th to 97.5th percentile, and every value. Empty where undefined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float | None
    low: float | None
    high: float | None
    values: tuple[float, ...]
    reason: str = ""


class Control(BaseModel):
    """One kind of control on one set; accuracies at 0.5 and at each draw's own threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eval_set: str
    control: str
    draws: int
    auroc: Band
    accuracy: Band
    accuracy_at_threshold: Band
    flagged: Band


def control_bands(control: str, detectors: Sequence[Detector], sets: Sequence[Answers]) -> list[Control]:
    """The spread of a control's draws on every set. With 20 draws the percentiles lie near the smallest and largest."""
    found = []
    for answers in sets:
        y, ones = answers.hallucinated, np.ones((1, len(answers)))
        p = [detector.scores(answers) for detector in detectors]
        cuts = [detector.threshold for detector in detectors]
        found.append(
            Control(
                eval_set=answers.name,
                control=control,
                draws=len(detectors),
                auroc=band([metrics.auroc(y, q, ones)[0] for q in p], single_class(y)),
                accuracy=band([metrics.accuracy(y, q, ones)[0] for q in p]),
                accuracy_at_threshold=band([metrics.accuracy(y, q, ones, t)[0] for q, t in zip(p, cuts, strict=True)]),
                flagged=band([metrics.flagged(y, q, ones)[0] for q in p]),
            )
        )
    return found


def band(values: Sequence[float], reason: str = "") -> Band:
    """Mean and percentiles of `values`; `reason` says why there are none."""
    if reason or not len(values):
        return Band(mean=None, low=None, high=None, values=(), reason=reason or "no draws")
    low, high = np.percentile(values, [2.5, 97.5])
    return Band(mean=float(np.mean(values)), low=float(low), high=float(high), values=tuple(float(v) for v in values))
