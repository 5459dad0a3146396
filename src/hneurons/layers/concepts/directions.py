"""Directions for factuality and uncertainty in the residual stream after every layer: fitted, kept on disk, given out.

Two fits on the mean state h of an answer. The difference of means (the mass-mean direction of Marks & Tegmark 2023,
arXiv 2310.06824) is what moves states from one kind to the other, and the one to steer along; where it is
projected out, the kinds have equal means, and then no linear probe tells them better than their share does (Belrose et
al. 2023, arXiv 2306.03819). The weights of an L2 logistic regression tell best, and move what need not
matter to the model.

The sign: positive is towards factual answers ("factuality"), and towards uncertain ones ("uncertainty").
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors
import torch
from jaxtyping import Bool, Float, Float64
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from torch import Tensor

from hneurons.errors import ProbeError, ProbeMismatchError
from hneurons.files import atomic_path, read_json, write_json
from hneurons.layers.concepts.labels import CONCEPTS, entropy_median, labels
from hneurons.layers.concepts.record import Concept, FittedDirection, How
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.logistic import CS, fit_logistic

TENSORS = "directions.safetensors"
CARD = "directions.json"
HOWS: tuple[How, ...] = ("means", "logistic")


class DirectionsCard(BaseModel):
    """Everything about saved directions that a person may want to read: `directions.json`.

    `positions` says which states were read ("before": where an answer token is predicted; "at": where it stands),
    `entropy_median` above which entropy in nats an answer is uncertain, `created` is an ISO date, `tensors` the SHA-256
    of `directions.safetensors`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["hneurons-directions-1"] = "hneurons-directions-1"
    model: ModelFingerprint
    positions: Literal["at", "before"]
    entropy_median: float
    n_fit: int
    n_dev: int
    directions: tuple[FittedDirection, ...]
    created: str
    tensors: str = ""


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of one model, by concept, layer and fit.

    Attributes:
        card: what they are.
        vectors: by (concept, how), the unit vector of every layer.
        offsets: by (concept, how), where along it the reading is 0: half-way between the means, or where the logistic
            probability is one half.
    """

    card: DirectionsCard
    vectors: dict[tuple[Concept, How], Float64[np.ndarray, "layers hidden"]]
    offsets: dict[tuple[Concept, How], Float64[np.ndarray, " layers"]]
    _fitted: dict[tuple[Concept, How, int], FittedDirection] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by = {(each.concept, each.how, each.layer): each for each in self.card.directions}
        object.__setattr__(self, "_fitted", by)

    def direction(self, concept: Concept, layer: int, how: How = "means") -> Float[Tensor, " hidden"]:
        """A unit vector in the residual stream after `layer`, for `interventions.steering.steer`, in float64.

        A positive strength moves towards factual, or towards uncertain answers; `scale` says how long a usual step is.

        Raises:
            ProbeError: there is none of this concept, layer or fit.
        """
        self.fitted(concept, layer, how)
        return torch.from_numpy(self.vectors[concept, how][layer].copy())

    def scale(self, concept: Concept, layer: int, how: How = "means") -> float:
        """Standard deviation of the training states along the direction: a strength of this is one deviation."""
        return self.fitted(concept, layer, how).scale

    def best_layer(self, concept: Concept, how: How = "logistic") -> int:
        """The layer of highest AUROC on held-out training questions; the first of equals."""
        own = [each for each in self.card.directions if each.concept == concept and each.how == how]
        if not own:
            raise ProbeError(self._lacks(concept, how))
        return max(own, key=lambda each: (each.auroc, -each.layer)).layer

    def fitted(self, concept: Concept, layer: int, how: How = "means") -> FittedDirection:
        """What is known of one direction.

        Raises:
            ProbeError: there is none of this concept, layer or fit.
        """
        if (concept, how, layer) not in self._fitted:
            raise ProbeError(f"{self._lacks(concept, how)} in layer {layer}")
        return self._fitted[concept, how, layer]

    def readings(
        self, states: Float[np.ndarray, "rows hidden"], concept: Concept, layer: int, how: How = "means"
    ) -> Float64[np.ndarray, " rows"]:
        """How far states after `layer` lie along the direction, in deviations; above 0: factual, or uncertain."""
        scale = self.scale(concept, layer, how)
        along: Float64[np.ndarray, " rows"] = states.astype(np.float64) @ self.vectors[concept, how][layer]
        found: Float64[np.ndarray, " rows"] = (along - self.offsets[concept, how][layer]) / scale
        return found

    def require(self, model: ModelFingerprint) -> None:
        """Refuse a model that the directions were not fitted on.

        Raises:
            ProbeMismatchError: it is another one.
        """
        if not self.card.model.same_model(model):
            raise ProbeMismatchError(
                f"the directions were fitted on {self.card.model.name} ({self.card.model.weights_digest:.12}) and do "
                f"not fit {model.name} ({model.weights_digest:.12}); fit directions on this model"
            )

    def save(self, directory: Path) -> None:
        """Write `directions.safetensors` and `directions.json`, each whole or not at all."""
        tensors = {f"{concept}.{how}": np.ascontiguousarray(each) for (concept, how), each in self.vectors.items()}
        tensors |= {f"{concept}.{how}.offset": each for (concept, how), each in self.offsets.items()}
        with atomic_path(directory / TENSORS) as temporary:
            save_file(tensors, temporary)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        write_json(directory / CARD, self.card.model_copy(update={"tensors": digest}).model_dump(mode="json"))

    @classmethod
    def load(cls, directory: Path, model: ModelFingerprint | None = None) -> Directions:
        """Read what `save` wrote; where a model is given, directions of another one are refused.

        Raises:
            ProbeError: a file is missing or malformed, or the two do not belong together.
            ProbeMismatchError: they are of another model.
        """
        for name in (CARD, TENSORS):
            if not (directory / name).is_file():
                raise ProbeError(f"there is no {name} in {directory}; name a directory of saved directions")
        try:
            card = DirectionsCard.model_validate(read_json(directory / CARD))
            tensors = load_file(directory / TENSORS)
        except (ValidationError, ValueError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise ProbeError(f"the directions in {directory} cannot be read ({reason}); fit them again") from None
        if hashlib.sha256((directory / TENSORS).read_bytes()).hexdigest() != card.tensors:
            raise ProbeError(f"{TENSORS} and {CARD} in {directory} do not belong together; fit the directions again")
        if model is not None:
            cls(card, {}, {}).require(model)
        kinds = sorted({(each.concept, each.how) for each in card.directions})
        try:
            vectors = {kind: tensors["{}.{}".format(*kind)] for kind in kinds}
            offsets = {kind: tensors["{}.{}.offset".format(*kind)] for kind in kinds}
        except KeyError as error:
            raise ProbeError(f"{TENSORS} in {directory} has no {error}; fit the directions again") from None
        return cls(card, vectors, offsets)

    def _lacks(self, concept: str, how: str) -> str:
        kinds = ", ".join(f"{concept} ({how})" for concept, how in self.vectors)
        layers = self.card.model.n_layers
        return f"there are directions for {kinds} in layers 0 to {layers - 1}, and none for {concept} ({how})"


def fit_directions(
    answers: Answers,
    dev: Answers,
    model: ModelFingerprint,
    *,
    concepts: Sequence[Concept] = CONCEPTS,
    hows: Sequence[How] = HOWS,
    positions: Literal["at", "before"] = "before",
    created: str = "",
    Cs: Sequence[float] = CS,
) -> Directions:
    """Fit directions in every layer.

    Args:
        answers: the training answers, with `hidden`, and `entropy` for uncertainty.
        dev: held-out training answers: C is chosen, accuracy and AUROC are taken on them.
        model: fingerprint of the model whose states these are.
        concepts: for what.
        hows: how.
        positions: at which tokens the states were read.
        created: an ISO date.
        Cs: tried for the logistic fit.

    Raises:
        ProbeError: states or entropies were not recorded, they are not of this model's shape, answers are all of one
            kind, or a layer's states are the same for both.
    """
    for each in (answers, dev):
        if each.hidden is None:
            raise ProbeError(f"{each.name}: hidden states were not recorded, and directions are fitted on them")
        if each.hidden.shape[1:] != (model.n_layers, model.hidden_size):
            raise ProbeError(
                f"{each.name}: states of shape {each.hidden.shape[1:]} are not of {model.name}, which has "
                f"{model.n_layers} layers of {model.hidden_size}"
            )
    assert answers.hidden is not None
    assert dev.hidden is not None
    median = entropy_median(answers) if "uncertainty" in concepts else 0.0
    vectors: dict[tuple[Concept, How], np.ndarray] = {}
    offsets: dict[tuple[Concept, How], np.ndarray] = {}
    fitted: list[FittedDirection] = []
    for concept in concepts:
        y, y_dev = labels(answers, concept, median), labels(dev, concept, median)
        for how in hows:
            vectors[concept, how] = np.zeros(answers.hidden.shape[1:])
            offsets[concept, how] = np.zeros(model.n_layers)
            for layer in range(model.n_layers):
                X, X_dev = answers.hidden[:, layer], dev.hidden[:, layer]
                unit, offset, C = fit_one(X, y, X_dev, y_dev, how, Cs)
                scale = float((X.astype(np.float64) @ unit).std())
                vectors[concept, how][layer], offsets[concept, how][layer] = unit, offset
                p, ones = expit((X_dev.astype(np.float64) @ unit - offset) / scale), np.ones((1, len(y_dev)))
                accuracy = float(metrics.accuracy(y_dev, p, ones)[0])
                auroc = float(metrics.auroc(y_dev, p, ones)[0])
                fitted.append(
                    FittedDirection(
                        concept=concept, how=how, layer=layer, C=C, scale=scale, accuracy=accuracy, auroc=auroc
                    )
                )
    card = DirectionsCard(
        model=model,
        positions=positions,
        entropy_median=median,
        n_fit=len(answers),
        n_dev=len(dev),
        directions=tuple(fitted),
        created=created,
    )
    return Directions(card, vectors, offsets)


def fit_one(
    X: Float[np.ndarray, "rows hidden"],
    y: Bool[np.ndarray, " rows"],
    X_dev: Float[np.ndarray, "heldout hidden"],
    y_dev: Bool[np.ndarray, " heldout"],
    how: How,
    Cs: Sequence[float] = CS,
) -> tuple[Float64[np.ndarray, " hidden"], float, float | None]:
    """Unit vector, the offset along it at which the reading is 0, and the C that was chosen.

    Raises:
        ProbeError: only one kind, or nothing that tells them apart.
    """
    if how == "logistic":
        model = fit_logistic(X, y, X_dev, y_dev, Cs)
        length = float(np.linalg.norm(model.weights))
        if length == 0:
            raise ProbeError("the states are the same for both kinds of answers; there is no direction between them")
        return model.weights / length, -model.intercept / length, model.C
    if how != "means":
        raise ProbeError(f"there is no fit {how!r}; choose one of {', '.join(HOWS)}")
    if y.all() or not y.any():
        raise ProbeError(f"all {len(y)} answers are of one kind; a direction needs both")
    present, absent = X[y].mean(axis=0, dtype=np.float64), X[~y].mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(present - absent))
    if length == 0:
        raise ProbeError("the states are the same for both kinds of answers; there is no direction between them")
    unit = (present - absent) / length
    return unit, float((present + absent) @ unit / 2), None
