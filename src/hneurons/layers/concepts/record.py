"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate

Concept = Literal["factuality", "uncertainty"]
"""What a direction stands for, and where it points: towards factual answers; towards uncertain ones."""

How = Literal["means", "logistic"]
"""How a direction is fitted: difference of the two kinds' means, or weights of an L2 logistic regression."""

Flat = Literal["pca", "umap"]
"""How states are laid out in two dimensions."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Band(_Record):
    """What draws of a control gave: their mean, and the middle 95% of them."""

    mean: float
    low: float
    high: float
    n: int


class SetShares(_Record):
    """An evaluation set: answers, groups, and the share of them that is factual and that is uncertain."""

    name: str
    n: int
    n_groups: int
    factual: float
    uncertain: float


class FittedDirection(_Record):
    """One direction as it was fitted; accuracy and AUROC are those on the held-out training questions.

    `scale` is the standard deviation of the training states along it, `C` None for a difference of means.
    """

    concept: Concept
    how: How
    layer: int
    C: float | None
    scale: float
    accuracy: float
    auroc: float


class Reading(_Record):
    """How well a direction tells on an evaluation set, and what the same fit to permuted labels gives there (AUROC)."""

    concept: Concept
    how: How
    layer: int
    eval_set: str
    accuracy: Estimate
    auroc: Estimate
    permuted: Band | None


class Selectivity(_Record):
    """The logistic probe held against control tasks, on the answers whose type was seen in training.

    `covered` is the share of the set's answers that are of such a type, `accuracy` the probe's on these, `control` that
    of the same probe fitted to random labels per type; `selectivity` is accuracy less the mean of the control's.
    """

    concept: Concept
    layer: int
    eval_set: str
    n: int
    covered: float
    accuracy: Estimate
    control: Band | None
    selectivity: Estimate


class Baseline(_Record):
    """Kind of question and lengths alone; `gain` is the AUROC of the logistic probe of the best layer less theirs."""

    concept: Concept
    eval_set: str
    accuracy: Estimate
    auroc: Estimate
    gain: Estimate


class Angle(_Record):
    """Cosine between the directions (differences of means) of factuality and uncertainty in a layer.

    `independent`: both labels permuted, each for itself. `together`: both permuted alike, so that they overlap as much
    as they do and have nothing to do with the states. `logistic`: cosine of the logistic directions.
    """

    layer: int
    cosine: Estimate
    independent: Band
    together: Band
    logistic: float


class Removed(_Record):
    """Factuality (AUROC) without uncertainty: projected out of the states, and among answers of like entropy.

    `before` and `after` are of the difference of means, `after` with its part along the uncertainty direction taken
    off; `difference` is after less before. `refit_before` and `refit` are of a logistic probe fitted to the states and
    to what is left of them, `refit_control` where a direction of permuted labels is projected out instead.
    `uncertainty_left` is that of a logistic probe for uncertainty there. `within` compares only answers of one tenth of
    the set by entropy, scored by the logistic probe; `outside_within` are kind of question and lengths there, and
    `within_gain` what the probe adds to these. `entropy` and `entropy_within` are those of the answer's own entropy.
    """

    layer: int
    eval_set: str
    before: Estimate
    after: Estimate
    difference: Estimate
    refit_before: Estimate
    refit: Estimate
    refit_control: Band | None
    uncertainty_left: Estimate
    within: Estimate
    outside_within: Estimate
    within_gain: Estimate
    entropy: Estimate
    entropy_within: Estimate


class Transfer(_Record):
    """A difference of means fitted on one set and tested on another; within a set, on held-out groups.

    `cosine` is that of the two sets' own directions.
    """

    concept: Concept
    layer: int
    fitted_on: str
    tested_on: str
    auroc: Estimate
    cosine: float | None


class Grouping(_Record):
    """How far the two kinds lie apart in some space: neighbours of one's own kind, and silhouette, each beside what
    permuted labels give."""

    purity: Estimate
    purity_permuted: Band
    silhouette: float
    silhouette_permuted: Band


class Pictured(_Record):
    """One layer's states in two dimensions, and what the picture may not say.

    `explained` are the shares of variance of the two components (PCA), `trustworthiness` how far neighbours in the
    picture are neighbours. `flat` is what the two dimensions hold, `full` what the states do. `points` are some of the
    answers that are shown: x, y and whether it is hallucinated.
    """

    how: Flat
    layer: int
    eval_set: str
    n_fitted: int
    n: int
    explained: tuple[float, float] | None
    trustworthiness: float
    flat: Grouping
    full: Grouping
    points: tuple[tuple[float, float, bool], ...]


class Effect(_Record):
    """A mean change, what it is along control directions of the same length, and the difference."""

    value: Estimate
    control: Band | None
    difference: Estimate


class Moved(_Record):
    """What it does to add `strength` deviations of the factuality direction after a layer, where the answer is made.

    `reading`: change of the direction's own reading after this and every later layer, in deviations of the training
    states. `log_prob`: of right answers, nats a token. `entropy`: at the tokens of right answers, nats.
    `correct`: of the right token's log-probability where a wrong answer turned wrong, `given` that of the wrong one.
    """

    layer: int
    strength: float
    control: Literal["random", "permuted"]
    reading: dict[int, Effect]
    log_prob: Effect
    entropy: Effect
    correct: Effect | None
    given: Effect | None


class Steering(_Record):
    """A set steered along the factuality direction: faithful answers, forks of hallucinated ones, controls."""

    eval_set: str
    n_faithful: int
    n_forks: int
    n_draws: int
    moved: tuple[Moved, ...]


class Concepts(_Record):
    """States in two dimensions, and directions for factuality and uncertainty.

    An answer is uncertain where its mean token entropy is above `entropy_median` nats, the median of the answers that
    were fitted on. `best` is the layer of the highest held-out AUROC of the logistic probe, by concept. `n_types` are
    the types (kind of question and first token of the answer) of the control tasks. `missing` says what could not be
    asked, and why.
    """

    n_layers: int
    hidden_size: int
    n_fit: int
    n_dev: int
    entropy_median: float
    label_correlation: float
    n_types: int
    directory: str
    best: dict[Concept, int]
    sets: tuple[SetShares, ...]
    fitted: tuple[FittedDirection, ...]
    readings: tuple[Reading, ...]
    selectivity: tuple[Selectivity, ...]
    baselines: tuple[Baseline, ...]
    angles: tuple[Angle, ...]
    removed: tuple[Removed, ...]
    transfers: tuple[Transfer, ...]
    pictures: tuple[Pictured, ...]
    steering: Steering | None
    missing: dict[str, str]
