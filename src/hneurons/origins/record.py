"""What tracing H-Neurons to where they come from finds, as it is written into `results.json` and read by the report."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.probes.labels import Neuron

Direction = Literal["backward", "forward"]
"""Backward: fitted on the tuned model, applied to the base model's own answers. Forward: the other way round."""

Projection = Literal["up", "gate", "down"]

Score = Literal["up+down", "up+gate+down", "up", "gate", "down"]
"""Which z-scored distances a neuron's drift is the mean of; "up+down" is the paper's."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetAsked(_Record):
    """What another model made of one evaluation set.

    `accuracy` is the share of the questions answered right, with its interval over groups of questions; None for
    questions without a right answer. `faithful` and `hallucinated` count the answers that AUROC is measured on;
    `left_out` says what became of the others.
    """

    eval_set: str
    questions: int
    verdicts: dict[str, int]
    accuracy: Estimate
    faithful: int
    hallucinated: int
    left_out: dict[str, int]


class Transferred(_Record):
    """AUROC of one detector, fitted on one model, on the answers of the other; no threshold is carried over."""

    eval_set: str
    detector: str
    n_hallucinated: int
    n_faithful: int
    auroc: Estimate


class TransferControl(_Record):
    """AUROC of the draws of one control, fitted and applied as the detectors are."""

    eval_set: str
    control: str
    draws: int
    auroc: Band


class TransferFinding(_Record):
    """The H-Neurons against one control on one set.

    Against random neurons the H-Neurons are refitted as these are; against permuted labels it is the sparse probe.
    `low` and `high` are the interval of the control's draws; `above` is whether the AUROC lies above it, None where
    AUROC is not defined; `carries` is whether the interval of the AUROC itself lies above 0.5.
    """

    eval_set: str
    control: str
    detector: str
    auroc: float | None
    low: float | None
    high: float | None
    above: bool | None
    carries: bool | None
    sentence: str


class Transfer(_Record):
    """Detectors fitted on one model, applied unchanged to the answers and states of another."""

    direction: Direction
    fitted_on: str
    applied_to: str
    figures: tuple[Transferred, ...]
    controls: tuple[TransferControl, ...]
    findings: tuple[TransferFinding, ...]


class NeuronDrift(_Record):
    """How far tuning moved one H-Neuron.

    `up`, `gate`, `down` are cosine distances (0 to 2) of its weights in base and tuned model; `score` the mean z-score
    of up and down over all neurons; `rank` its place among all neurons, `layer_rank` among those of its layer: 0
    changed most, 1 least, ties share the mean of theirs.
    """

    neuron: Neuron
    up: float
    gate: float | None
    down: float
    score: float
    rank: float
    layer_rank: float


class RankTest(_Record):
    """Whether H-Neurons changed less than others: their mean rank by one score, 0 changed most, 1 least.

    `mean_rank` has its interval over resampled H-Neurons. `t` and `t_p` are of the one-sided one-sample t-test of ranks
    against 0.5 (changed less), which takes neurons as independent and layers as alike. `random` is the spread of the
    mean rank of as many neurons drawn from all layers, `matched` of as many drawn from each layer, which is the test to
    read. Their p-values are one-sided: `*_p` counts draws that rank at least as high (changed less), `*_p_more` draws
    that rank at most as high (changed more), as (1 + such draws) / (1 + draws).
    """

    score: Score
    n: int
    mean_rank: Estimate
    t: float | None
    t_p: float | None
    draws: int
    random: Band
    random_p: float
    random_p_more: float
    matched: Band
    matched_p: float
    matched_p_more: float


class LayerDrift(_Record):
    """Mean cosine distances of one layer's neurons, and their mean rank by "up+down"."""

    layer: int
    up: float
    gate: float | None
    down: float
    mean_rank: float


class Drift(_Record):
    """How far tuning moved every neuron, and where the H-Neurons stand.

    `n_neurons` is of one layer. `base_dtype` and `tuned_dtype` are the types the projections are stored in: where they
    differ, rounding is part of every distance. `unchanged` counts neurons of which no weight differs. `frozen` names
    projections of which no weight differs in any layer; they add nothing to a score and have no test of their own.
    `median_distance` is by projection, over all neurons. `bytes_read` is of both models together.
    """

    base: str
    tuned: str
    base_dtype: str
    tuned_dtype: str
    n_layers: int
    n_neurons: int
    unchanged: int
    frozen: tuple[Projection, ...]
    median_distance: dict[str, float]
    layers: tuple[LayerDrift, ...]
    hneurons: tuple[NeuronDrift, ...]
    tests: tuple[RankTest, ...]
    bytes_read: int
    sentence: str


class Origin(_Record):
    """What comparing a run's model with its base model found.

    `probe` is the digest of the run's probe (`ProbeCard.tensors`). `prompt` and `stop` say how the base model was
    asked; `asked` are its own answers. `native` is what detectors fitted on the base model make of its own answers:
    what those of the tuned one can be read against; empty where none were fitted. A part that cannot be had is None,
    and `missing` says why, by the part's name.
    """

    settings: dict[str, Any]
    probe: str
    base: ModelFingerprint
    prompt: dict[str, Any]
    stop: tuple[str, ...]
    asked: tuple[SetAsked, ...]
    native: tuple[Transferred, ...] = ()
    backward: Transfer | None
    forward: Transfer | None
    drift: Drift | None
    missing: dict[str, str] = {}


class Stratum(_Record):
    """Accuracy on the questions of one value of the field that growth is shown by, all evaluation sets together."""

    value: str
    questions: int
    accuracy: Estimate


class DriftToLast(_Record):
    """Mean cosine distance (up and down averaged) of neurons' weights to those of the last checkpoint.

    `random` and `matched` are the same mean of sets of other neurons, drawn from all layers or as many from each.
    `mean_rank` is the H-Neurons' mean rank among all neurons by these distances, "up+down": 1 is nearest to the end.
    """

    hneurons: Estimate
    random: Band
    matched: Band
    mean_rank: float | None


class Checkpoint(_Record):
    """A model along the way: what it knows, and how well what was found in the tuned one detects in it."""

    step: int
    name: str
    asked: tuple[SetAsked, ...]
    strata: tuple[Stratum, ...]
    figures: tuple[Transferred, ...]
    controls: tuple[TransferControl, ...]
    drift: DriftToLast | None


class Growth(_Record):
    """The H-Neurons of a run's model over the checkpoints of its pre-training.

    `probe` is the digest of the run's probe; `by` names the field of the strata.
    """

    probe: str
    directory: str
    by: str | None
    checkpoints: tuple[Checkpoint, ...]
    sentences: tuple[str, ...]
