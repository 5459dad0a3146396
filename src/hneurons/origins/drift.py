"""How far tuning moved each neuron: cosine distances of its weights, read from the files of both models.

H-Neurons, arXiv 2512.01797, section 6: 1 - cos of the neuron's row of W_up and of its column of W_down in the base
model and in the tuned one, each z-scored over all neurons, averaged, ranked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float64
from scipy.stats import rankdata

from hneurons.errors import ModelError
from hneurons.models.safetensors_file import StoredTensor
from hneurons.models.stored import StoredModel
from hneurons.origins.ranks import check_neurons, rank_test
from hneurons.origins.record import Drift, LayerDrift, NeuronDrift, Projection, RankTest, Score
from hneurons.probes.labels import Neuron
from hneurons.progress import track

PIECE = 2**15
"""Weights that are read and compared at a time; few enough to stay in a core's cache in float64."""

WORKERS = 8
"""Projections that are compared at the same time, at most."""

UNLIKE = 0.5
"""A median cosine distance from which two models hardly look like one and its tuned version."""

LEVEL = 0.025
"""One-sided level, on either side, at which the sentence says that H-Neurons changed less, or more."""

_ROUNDING = 1e-14
"""Part of a squared difference that may be rounding, in float64."""


@dataclass(frozen=True)
class Distances:
    """Cosine distances, 0 to 2, between each neuron's weights in two models; `gate` is None in a plain FFN.

    `bytes_read` counts what was read of both models.
    """

    up: Float64[np.ndarray, "layers neurons"]
    gate: Float64[np.ndarray, "layers neurons"] | None
    down: Float64[np.ndarray, "layers neurons"]
    bytes_read: int

    @property
    def by_projection(self) -> dict[Projection, Float64[np.ndarray, "layers neurons"]]:
        """Those that there are, by name."""
        found: dict[Projection, Float64[np.ndarray, "layers neurons"]] = {"up": self.up}
        if self.gate is not None:
            found["gate"] = self.gate
        return found | {"down": self.down}


@dataclass(frozen=True)
class _Part:
    """Neurons in one projection of one layer as a model stores them: `rows` rows of `tensor` from `first` on.

    Each row is a neuron's weights where `by_row`, and some of the columns where not. `neurons` are their numbers in the
    layer.
    """

    name: str
    tensor: StoredTensor
    first: int
    rows: int
    by_row: bool
    neurons: range
    columns: slice


def distances(base: StoredModel, tuned: StoredModel) -> Distances:
    """Cosine distances of all neurons, read from the files a piece at a time; neither model is loaded.

    How each model stores its weights does not matter: shards, types, gate and up packed in one. Products are summed in
    float64. With d = a - b and e = ‖a‖ - ‖b‖ = d.(a + b) / (‖a‖ + ‖b‖),

        1 - cos(a, b) = (‖d‖² - e²) / (2 ‖a‖ ‖b‖)

    which is accurate however small it is; 1 minus a cosine is not. Where nothing but rounding is left of the numerator,
    only the length has changed, and the distance is 0.

    Raises:
        ModelError: the models differ in size or kind; a weight is not finite; a neuron has only zeros in one of the
            models; or the neurons point the same way in both, so that there is no drift.
    """
    return _measure(base, tuned)[0]


def scores(found: Distances, which: Score = "up+down") -> Float64[np.ndarray, "layers neurons"]:
    """The mean of z-scores, each over all neurons of the model (standard deviation of the population).

    A projection of which all distances are equal, such as a frozen one, adds 0.

    Raises:
        ModelError: `which` asks for a gate, and the FFN is a plain one.
    """
    of = found.by_projection
    missing = [name for name in which.split("+") if name not in of]
    if missing:
        raise ModelError(f"there is no {missing[0]}-projection in a plain FFN; use up+down")
    chosen = [of[cast(Projection, name)] for name in which.split("+")]
    return np.asarray(sum(_z(distance) for distance in chosen) / len(chosen))


def ranks(scores: Float64[np.ndarray, "layers neurons"]) -> Float64[np.ndarray, "layers neurons"]:
    """Place among all: 0 for the largest score (changed most), 1 for the smallest; ties share the mean of theirs."""
    return np.asarray((rankdata(-scores, method="average").reshape(scores.shape) - 1) / max(1, scores.size - 1))


def drift(
    base: StoredModel,
    tuned: StoredModel,
    hneurons: Sequence[Neuron],
    *,
    draws: int = 10_000,
    resamples: int = 2000,
    seed: int = 0,
) -> Drift:
    """The drift of all neurons from `base` to `tuned`, and where the H-Neurons stand in it.

    There is a test by the paper's score, by the one with the gate in a gated FFN, and by each projection that changed.

    Args:
        hneurons: (layer, index) of each.
        draws, resamples, seed: as for `rank_test`.

    Raises:
        ModelError: as for `distances`.
        ProbeError: as for `rank_test`.
    """
    check_neurons(hneurons, (tuned.n_layers, tuned.n_neurons))
    found, same = _measure(base, tuned)
    frozen = tuple(projection for projection, each in same.items() if each.all())
    score = scores(found)
    rank = ranks(score)
    within = np.stack([ranks(layer[None])[0] for layer in score])
    kinds: list[Score] = ["up+down", "up+gate+down"] if found.gate is not None else ["up+down"]
    kinds += [projection for projection in found.by_projection if projection not in frozen]
    tests = tuple(
        rank_test(kind, ranks(scores(found, kind)), hneurons, draws=draws, resamples=resamples, seed=seed)
        for kind in track(kinds, "drawing random neurons")
    )
    medians: dict[str, float] = {name: float(np.median(distance)) for name, distance in found.by_projection.items()}
    types = _types(base), _types(tuned)
    return Drift(
        base=base.name,
        tuned=tuned.name,
        base_dtype=types[0],
        tuned_dtype=types[1],
        n_layers=base.n_layers,
        n_neurons=base.n_neurons,
        unchanged=int(np.logical_and.reduce(list(same.values())).sum()),
        frozen=frozen,
        median_distance=medians,
        layers=tuple(
            LayerDrift(
                layer=layer,
                up=float(found.up[layer].mean()),
                gate=None if found.gate is None else float(found.gate[layer].mean()),
                down=float(found.down[layer].mean()),
                mean_rank=float(rank[layer].mean()),
            )
            for layer in range(base.n_layers)
        ),
        hneurons=tuple(
            NeuronDrift(
                neuron=at,
                up=float(found.up[at]),
                gate=None if found.gate is None else float(found.gate[at]),
                down=float(found.down[at]),
                score=float(score[at]),
                rank=float(rank[at]),
                layer_rank=float(within[at]),
            )
            for at in hneurons
        ),
        tests=tests,
        bytes_read=found.bytes_read,
        sentence=" ".join([_verdict(tests[0]), *_warnings(types, medians)]),
    )


def _measure(
    base: StoredModel, tuned: StoredModel
) -> tuple[Distances, dict[Projection, Bool[np.ndarray, "layers neurons"]]]:
    """The distances, and by projection of which neurons no weight differs: where only the length does, both are 0."""
    _check_alike(base, tuned)
    projections: list[Projection] = ["up", "down"] if base.gate is None else ["up", "gate", "down"]
    order = [(projection, layer) for layer in range(base.n_layers) for projection in projections]
    parts = [[part for each in order for part in _parts(model, *each)] for model in (base, tuned)]
    pool = ThreadPoolExecutor(min(WORKERS, 1 + torch.get_num_threads()))  # one more: some read while others compute
    try:
        results = pool.map(_compare, *parts)
        pieces = list(track(results, "comparing weights", total=len(parts[0])))
    finally:
        pool.shutdown(cancel_futures=True)
    found, n = _by_layer(pieces, parts[0]), len(projections)
    distance = {p: np.stack([each for each, _ in found[i::n]]) for i, p in enumerate(projections)}
    same = {p: np.stack([each for _, each in found[i::n]]) for i, p in enumerate(projections)}
    if not any(each.any() for each in distance.values()):
        kind = "is the same" if all(each.all() for each in same.values()) else "points the same way"
        raise ModelError(
            f"every neuron {kind} in {base.name} and in {tuned.name}, so nothing drifted; "
            "name the model that the other was tuned from"
        )
    read = sum(part.rows * part.tensor.shape[1] * part.tensor.type.itemsize for each in parts for part in each)
    return Distances(distance["up"], distance.get("gate"), distance["down"], read), same


def _check_alike(base: StoredModel, tuned: StoredModel) -> None:
    def kind(model: StoredModel) -> str:
        if model.layout is not None:
            return f"{model.layout.phrase}, width {model.hidden_size:,}"
        gated = "gated" if model.gate is not None else "plain"
        return f"{model.n_layers} layers of {model.n_neurons:,} neurons, width {model.hidden_size:,}, {gated} FFN"

    if kind(base) != kind(tuned):
        raise ModelError(
            f"{base.name} has {kind(base)}, and {tuned.name} {kind(tuned)}: neither can be tuned from the other; "
            "name the model that the other was tuned from"
        )
    if base.layout is not None and base.layout.dense:
        raise ModelError(
            f"{base.name} has {base.layout.phrase}: drift ranks neurons among all others, which needs layers of one "
            "width for now"
        )
    if base.anatomy.conv1d != tuned.anatomy.conv1d:
        raise ModelError(
            f"{base.name} is a {base.anatomy.model_type} model and {tuned.name} a {tuned.anatomy.model_type} model, "
            "and only one of them stores its weights transposed; compare models of one architecture"
        )


def _parts(model: StoredModel, projection: Projection, layer: int) -> Iterator[_Part]:
    for part in model.parts(projection, layer):
        last = part.start + part.step * part.n_neurons
        yield _Part(
            name=f"{part.tensor.key} of {model.name}",
            tensor=part.tensor,
            first=part.start if part.by_row else 0,
            rows=part.n_neurons if part.by_row else part.tensor.shape[0],
            by_row=part.by_row,
            neurons=range(part.first, part.first + part.n_neurons),
            columns=slice(part.start, last, part.step),
        )


def _by_layer(
    pieces: Sequence[tuple[Float64[np.ndarray, " _"], Bool[np.ndarray, " _"]]], parts: Sequence[_Part]
) -> list[tuple[Float64[np.ndarray, " neurons"], Bool[np.ndarray, " neurons"]]]:
    """One piece a projection of a layer: those of experts joined, which begin with the layer's first neuron."""
    begins = [index for index, part in enumerate(parts) if part.neurons.start == 0]
    spans = [slice(*each) for each in pairwise([*begins, len(parts)])]
    return [(np.concatenate([d for d, _ in pieces[own]]), np.concatenate([s for _, s in pieces[own]])) for own in spans]


def _compare(base: _Part, tuned: _Part) -> tuple[Float64[np.ndarray, " neurons"], Bool[np.ndarray, " neurons"]]:
    """Distances of one projection's neurons, and of which of them no weight differs."""
    columns = base.tensor.shape[1]
    rows = min(base.rows, max(1, PIECE // columns))
    pieces = [part.tensor.pieces(part.first, part.first + part.rows, rows) for part in (base, tuned)]
    room = torch.empty(3, rows, columns, dtype=torch.float64)  # taken once: fresh memory costs more than the products
    sums = np.zeros((4, len(base.neurons) if base.by_row else columns))
    first = 0
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused below
        for x, y in zip(*pieces, strict=True):
            some = room[:, : len(x)]
            some[0], some[1] = x, y
            if base.by_row:
                sums[:, first : first + len(x)] = _products(some.numpy(), "ij,ij->i")
            else:
                sums += _products(some.numpy(), "ij,ij->j")
            first += len(x)
    aa, bb, dd, ds = sums if base.by_row else sums[:, base.columns]
    for part, squares in ((base, aa), (tuned, bb)):
        if not np.isfinite(squares).all():
            neuron = part.neurons[int(np.argmin(np.isfinite(squares)))]
            raise ModelError(
                f"a weight of neuron {neuron} in {part.name} is not a finite number; the file is damaged, or "
                "training has diverged"
            )
    empty = (aa == 0) != (bb == 0)
    if empty.any():
        neuron = int(np.argmax(empty))
        part = base if aa[neuron] == 0 else tuned
        raise ModelError(
            f"neuron {part.neurons[neuron]} has only zeros in {part.name}, so that its direction cannot be compared; "
            "compare a model in which no neuron is switched off (an export with alpha 0 is one)"
        )
    a, b = np.sqrt(np.where(aa > 0, aa, 1.0)), np.sqrt(np.where(bb > 0, bb, 1.0))
    rest = dd - (ds / (a + b)) ** 2
    return np.where(rest > _ROUNDING * dd, rest / (2 * a * b), 0.0), dd == 0


def _products(room: Float64[np.ndarray, "3 rows columns"], axes: str) -> Float64[np.ndarray, "4 neurons"]:
    """a.a, b.b, d.d and d.(a + b) of each neuron, d = a - b; `room` holds a, b and anything, and is written over."""
    a, b, d = room
    aa, bb, dd = (np.einsum(axes, each, each) for each in (a, b, np.subtract(a, b, out=d)))
    np.add(a, b, out=b)
    return np.stack([aa, bb, dd, np.einsum(axes, d, b)])


def _z(distance: Float64[np.ndarray, "layers neurons"]) -> Float64[np.ndarray, "layers neurons"]:
    if np.ptp(distance) == 0:
        return np.zeros_like(distance)
    return np.asarray((distance - distance.mean()) / distance.std())


def _types(model: StoredModel) -> str:
    """The types that its projections are stored in."""
    projections: list[Projection] = ["up", "down"] if model.gate is None else ["up", "gate", "down"]
    stored = [
        part.tensor.type for p in projections for layer in range(model.n_layers) for part in model.parts(p, layer)
    ]
    return ", ".join(sorted({str(kind).removeprefix("torch.") for kind in stored}))


def _verdict(test: RankTest) -> str:
    """What the H-Neurons' mean rank says beside neurons of the same layers."""
    many = test.n > 1
    mean, matched = test.mean_rank, test.matched
    interval = "" if mean.low is None else f" [{mean.low:.2f}, {mean.high:.2f}]"
    subject = f"The {test.n} H-Neurons rank at" if many else "The one H-Neuron ranks at"
    others = "as many neurons of the same layers rank" if many else "a neuron of the same layer ranks"
    if test.matched_p < LEVEL:
        finding = f"less changed than others of their layers (p = {_p(test.matched_p)})"
    elif test.matched_p_more < LEVEL:
        finding = f"MORE changed than others of their layers (p = {_p(test.matched_p_more)})"
    else:
        finding = (
            f"NOT less changed than others of their layers (p = {_p(test.matched_p)}), "
            f"nor more (p = {_p(test.matched_p_more)})"
        )
    return (
        f"{subject} {mean.value:.2f}{' on average' if many else ''}{interval} (0 changed most, 1 least); "
        f"{others} at {matched.low:.2f} to {matched.high:.2f}: {finding}."
    )


def _p(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


def _warnings(types: tuple[str, str], medians: dict[str, float]) -> Iterator[str]:
    if types[0] != types[1]:
        yield f"The base model is stored in {types[0]} and the tuned one in {types[1]}: part of the drift is rounding."
    far = [name for name in ("up", "down") if medians[name] > UNLIKE]
    if far:
        yield (
            f"The median cosine distance of {far[0]}-projections is {medians[far[0]]:.2f}: "
            "these hardly look like a model and its tuned version."
        )
