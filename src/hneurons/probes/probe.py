"""A probe on disk: which neurons of which model, their weights, and where all of it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
from jaxtyping import Float, Float64, Int
from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    ValidationError,
    model_serializer,
)
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from hneurons.errors import ProbeError, ProbeMismatchError
from hneurons.files import atomic_path, read_json, write_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.mixture import Expert
from hneurons.probes.labels import Neuron, Scheme, neurons
from hneurons.probes.solution import Intercept, Scale, Solution
from hneurons.probes.solution import Path as SolutionPath

TENSORS = "probe.safetensors"
CARD = "probe.json"


class Provenance(BaseModel):
    """Where a probe comes from; `questions` maps each question set's name to its digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str
    questions: dict[str, str]
    versions: dict[str, str]
    notes: dict[str, JsonValue] = {}


class WeightedNeuron(BaseModel):
    """A neuron that the probe reads, and its weight on the raw contribution.

    `expert` is that of a neuron of a mixture of experts, for people: `index` counts the neurons of all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: int
    index: int
    weight: float
    expert: Expert | None = None

    @model_serializer(mode="wrap")
    def _without_no_expert(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        found = dump(self)
        return {name: value for name, value in found.items() if name != "expert" or value is not None}


class ProbeCard(BaseModel):
    """Everything about a probe that a person may want to read: `probe.json`.

    `other` and `positions` say what the contributions were ("response" or "sequence"; "at" or "before" the token).
    `threshold` is on the probability; `calibration` is (slope, shift) of a rescaling of the logits fitted on held-out
    questions, where there is one. `tensors` is the SHA-256 of `probe.safetensors`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["hneurons-probe-1"] = "hneurons-probe-1"
    model: ModelFingerprint
    C: float
    scheme: Scheme
    scale: Scale
    intercept_kind: Intercept
    intercept: float
    threshold: float = 0.5
    calibration: tuple[float, float] | None = None
    other: Literal["response", "sequence"]
    positions: Literal["at", "before"]
    neurons: tuple[WeightedNeuron, ...]
    violation: float
    metrics: dict[str, JsonValue] = {}
    provenance: Provenance
    tensors: str = ""


@dataclass(frozen=True)
class Probe:
    """A sparse linear probe on contributions.

    `neurons[k]` is (layer, index) of the k-th neuron it reads, ascending; `weights[k]` belongs to it, and
    `deviations[k]` is what its column was divided by in the fit (`scale="std"` only; the weights are for raw values).
    """

    card: ProbeCard
    neurons: tuple[Neuron, ...]
    weights: Float64[np.ndarray, " neurons"]
    deviations: Float64[np.ndarray, " neurons"] | None

    @property
    def hneurons(self) -> tuple[Neuron, ...]:
        """The H-Neurons: (layer, index) of the neurons of positive weight, ascending."""
        return tuple(neuron for neuron, weight in zip(self.neurons, self.weights, strict=True) if weight > 0)

    @property
    def per_mille(self) -> float:
        """H-Neurons per thousand neurons of the model."""
        return 1000 * len(self.hneurons) / self.card.model.neurons

    def score(
        self, contributions: Float[np.ndarray, "rows layers all"] | Float[np.ndarray, "rows chosen"]
    ) -> Float64[np.ndarray, " rows"]:
        """Logits w.x + b; positive means hallucinated (before calibration).

        Args:
            contributions: answer vectors (rows, layers, neurons of a layer), or only the columns of `self.neurons`,
                in that order.

        Raises:
            ProbeMismatchError: the shape is neither.
        """
        model = self.card.model
        if contributions.ndim == 3 and contributions.shape[1:] == (model.n_layers, model.n_neurons):
            layers, indices = self._address()
            chosen = contributions[:, layers, indices]
        elif contributions.ndim == 2 and contributions.shape[1] == len(self.neurons):
            chosen = contributions
        else:
            raise ProbeMismatchError(
                f"contributions of shape {contributions.shape} do not fit a probe of {len(self.neurons)} neurons on "
                f"{model.n_layers} x {model.n_neurons}; pass (rows, layers, neurons) or the probe's own columns"
            )
        logits: Float64[np.ndarray, " rows"] = chosen.astype(np.float64) @ self.weights + self.card.intercept
        return logits

    def probabilities(
        self, contributions: Float[np.ndarray, "rows layers all"] | Float[np.ndarray, "rows chosen"]
    ) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination, calibrated where the probe has a calibration."""
        slope, shift = self.card.calibration or (1.0, 0.0)
        p: Float64[np.ndarray, " rows"] = expit(slope * self.score(contributions) + shift)
        return p

    def require(self, model: ModelFingerprint, *, weights: bool = True) -> None:
        """Refuse a model that the probe was not fitted on.

        Args:
            model: its fingerprint.
            weights: compare the weights' digest too. Without it only the shape must fit, which is what applying a
                probe to the base model of a tuned one needs.

        Raises:
            ProbeMismatchError: names what differs.
        """
        names = ["model_type", "n_layers", "n_neurons", "hidden_size"] + ["weights_digest"] * weights
        differing = [
            f"{name} {getattr(model, name)!s:.12} instead of {getattr(self.card.model, name)!s:.12}"
            for name in names
            if getattr(model, name) != getattr(self.card.model, name)
        ]
        if differing:
            fix = "fit a probe on this model" if weights else "give a model of the same shape"
            if weights and model.quantization != self.card.model.quantization:
                kinds = [each.quantization or "original" for each in (self.card.model, model)]
                differing.append(f"{kinds[1]} weights instead of {kinds[0]} ones")
                fix += ", load it as it was then, or take the probe over with moved_to"
            raise ProbeMismatchError(
                f"the probe was fitted on {self.card.model.name} and does not fit {model.name}: "
                f"{', '.join(differing)}; {fix}"
            )

    def moved_to(self, model: ModelFingerprint) -> Probe:
        """The same probe as one of another model of the same shape, such as a quantized copy of its own.

        Its weights and its calibration stay those of the first model: what it is worth on the other has to be measured.

        Raises:
            ProbeMismatchError: the model has another shape.
        """
        self.require(model, weights=False)
        card = self.card.model_copy(update={"model": model})
        return Probe(card, self.neurons, self.weights, self.deviations)

    def save(self, directory: Path) -> None:
        """Write `probe.safetensors` and `probe.json`, each whole or not at all."""
        layers, indices = self._address()
        tensors = {"layers": layers, "indices": indices, "weights": self.weights}
        if self.deviations is not None:
            tensors["deviations"] = self.deviations
        with atomic_path(directory / TENSORS) as temporary:
            save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, temporary)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        write_json(directory / CARD, self.card.model_copy(update={"tensors": digest}).model_dump(mode="json"))

    @classmethod
    def load(cls, directory: Path) -> Probe:
        """Read what `save` wrote; nothing in the files is executed.

        Raises:
            ProbeError: a file is missing or malformed, or the two do not belong together.
        """
        for name in (CARD, TENSORS):
            if not (directory / name).is_file():
                raise ProbeError(f"there is no {name} in {directory}; name the directory of a saved probe")
        try:
            card = ProbeCard.model_validate(read_json(directory / CARD))
            tensors = load_file(directory / TENSORS)
        except (ValidationError, ValueError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise ProbeError(f"the probe in {directory} cannot be read ({reason}); fit it again") from error
        digest = hashlib.sha256((directory / TENSORS).read_bytes()).hexdigest()
        if digest != card.tensors or not {"layers", "indices", "weights"} <= set(tensors):
            raise ProbeError(f"{TENSORS} and {CARD} in {directory} do not belong together; fit the probe again")
        address = zip(tensors["layers"].tolist(), tensors["indices"].tolist(), strict=True)
        probe = cls(card, tuple(address), tensors["weights"], tensors.get("deviations"))
        listed = tuple((neuron.layer, neuron.index, neuron.weight) for neuron in card.neurons)
        stored = tuple((*neuron, weight) for neuron, weight in zip(probe.neurons, probe.weights.tolist(), strict=True))
        if listed != stored:
            raise ProbeError(f"{CARD} in {directory} lists other neurons than {TENSORS}; fit the probe again")
        return probe

    def _address(self) -> tuple[Int[np.ndarray, " neurons"], Int[np.ndarray, " neurons"]]:
        address = np.array(self.neurons, dtype=np.int64).reshape(-1, 2)
        return np.ascontiguousarray(address[:, 0]), np.ascontiguousarray(address[:, 1])


def make_probe(
    solution: Solution,
    path: SolutionPath,
    model: ModelFingerprint,
    *,
    scheme: Scheme,
    other: Literal["response", "sequence"],
    positions: Literal["at", "before"],
    date: str,
    questions: Mapping[str, str],
    metrics: Mapping[str, JsonValue] | None = None,
    notes: Mapping[str, JsonValue] | None = None,
    threshold: float = 0.5,
    calibration: tuple[float, float] | None = None,
) -> Probe:
    """The chosen solution of a path as a probe of `model`.

    Args:
        solution: one of `path.solutions`.
        model: fingerprint of the model whose contributions were fitted.
        scheme, other, positions: what the training rows were.
        date: ISO date, passed in so that equal runs give equal files.
        questions: digest of each question set by name.
        metrics: figures worth keeping with the probe.
        notes: anything else, such as seeds.
        threshold, calibration: see `ProbeCard`.

    Raises:
        ProbeError: a neuron of the solution is not one of the model's.
    """
    total = model.n_layers * model.n_neurons
    if len(solution.indices) and int(solution.indices.max()) >= total:
        raise ProbeError(f"the solution reads neuron {solution.indices.max()}, and {model.name} has {total}")
    absent = np.intersect1d(solution.indices, model.absent)
    if len(absent):
        raise ProbeError(f"the solution reads number {absent[0]}, where a narrower layer of {model.name} has no neuron")
    address = neurons(solution.indices, model.n_neurons)
    weights = [float(weight) for weight in solution.weights]
    card = ProbeCard(
        model=model,
        C=solution.C,
        scheme=scheme,
        scale=path.scale,
        intercept_kind=path.intercept,
        intercept=solution.intercept,
        threshold=threshold,
        calibration=calibration,
        other=other,
        positions=positions,
        neurons=tuple(
            WeightedNeuron(layer=layer, index=index, weight=weight, expert=model.expert_of(layer, index))
            for (layer, index), weight in zip(address, weights, strict=True)
        ),
        violation=solution.violation,
        metrics=dict(metrics or {}),
        provenance=Provenance(
            date=date,
            questions=dict(questions),
            versions={name: version(name) for name in ("hneurons", "numpy", "scipy", "scikit-learn", "numba")},
            notes=dict(notes or {}),
        ),
    )
    deviations = None if path.deviations is None else path.deviations[solution.indices]
    return Probe(card, address, solution.weights, deviations)
