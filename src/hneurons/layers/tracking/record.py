"""What this part finds, as it is written into `results.json`.

A *depth* counts states of the residual stream: depth 0 is what enters layer 0 (the embedding), depth d is what layer
d - 1 puts out. Curves hold a figure for every depth, from 0 to the number of layers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate

LensName = Literal["logit", "tuned"]
Verdict = Literal["faithful", "hallucinated"]
Followed = Literal["given", "correct", "competitor"]
Rule = Literal["all", "rivals"]
Statistic = Literal["residual norm", "FFN norm", "attention norm", "active neurons", "kurtosis", "zero neurons"]
Measure = Literal["cosine", "L2"]
Curve = tuple[Estimate, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LensFit(_Frozen):
    """How the tuned lens was fitted, and how far both lenses are from the model's own distribution on other answers.

    `logit` and `tuned` are KL(model's own distribution, lens) in nats, means over the tokens of evaluation answers;
    `gain` is logit less tuned, on the same tokens. Before training, the tuned lens is `start`.
    """

    n_answers: int
    n_tokens: int
    steps: int
    start: Literal["identity", "ridge"]
    n_held_out: int
    n_held_out_tokens: int
    logit: Curve
    tuned: Curve
    gain: Curve


class Trajectory(_Frozen):
    """One token through the depths: mean probability, and median rank (1 is best)."""

    lens: LensName
    verdict: Verdict
    token: Followed
    n: int
    probability: Curve
    rank: tuple[float, ...]


class Entropies(_Frozen):
    """Mean entropy in nats through the depths."""

    lens: LensName
    verdict: Verdict
    entropy: Curve


class Decisions(_Frozen):
    """From which depth the given answer leads for good.

    `rule` is "all" where it leads every token, "rivals" where it leads the right answer and the competitor. `shares` of
    all answers are decided at each depth; the share `never` does not lead at the end: it was sampled all the same.
    `mean` is the mean depth of those that are decided.
    """

    lens: LensName
    rule: Rule
    verdict: Verdict
    n: int
    shares: tuple[float, ...]
    never: Estimate
    mean: Estimate


class DecisionGap(_Frozen):
    """How much later hallucinated answers are decided, in layers.

    `raw` compares all that are decided. `matched` compares pairs of one kind of question and the nearest length of
    prompt, `length_gap` tokens apart on average; `p` is that of exchanging the two within pairs.
    """

    lens: LensName
    rule: Rule
    raw: Estimate
    matched: Estimate
    n_pairs: int
    length_gap: float | None
    p: float | None


class Overtaken(_Frozen):
    """How often the right answer was ahead of the given one at some depth, where the given one leads it at the end.

    `control` is how often a random other answer to the same kind of question was, at the same place, for as many as end
    behind the given one; `difference` is paired. `last` is the share of answers whose lead is last lost at each depth.
    """

    lens: LensName
    n: int
    share: Estimate
    control: Estimate
    difference: Estimate
    last: tuple[float, ...]


class LayerStatistic(_Frozen):
    """One statistic of one layer where the answer is decided: means, and the difference within matched pairs.

    `gap` is hallucinated less faithful in standard deviations of all answers of the set; `p` is that of exchanging the
    two within pairs, `q` the same corrected for all layers and statistics of the set (Benjamini and Hochberg).
    """

    statistic: Statistic
    layer: int
    faithful: Estimate
    hallucinated: Estimate
    gap: Estimate
    p: float | None
    q: float | None


class SetTracking(_Frozen):
    """One evaluation set. `faithful_from` names the set that the faithful answers are of, where it is another one.

    `n_correct` hallucinated answers have a right answer whose token is known. `n_unplaced` answers have no fork and are
    left out. `reason` says why the two kinds are not compared; empty where
    they are.
    """

    name: str
    faithful_from: str
    n_faithful: int
    n_hallucinated: int
    n_correct: int
    n_unplaced: int
    n_pairs: int
    reason: str
    trajectories: tuple[Trajectory, ...]
    entropies: tuple[Entropies, ...]
    decisions: tuple[Decisions, ...]
    gaps: tuple[DecisionGap, ...]
    overtaken: tuple[Overtaken, ...]
    statistics: tuple[LayerStatistic, ...]


class Distance(_Frozen):
    """How far what misleads moves the state that the reply begins from, through the depths.

    `case` is the distance between a case and its neutral twin, `reworded` that between two neutral wordings of one
    question (empty where there is one wording), `other` that between two neutral questions of one kind. `peak` is the
    largest mean distance of the early layers, `peak_depth` where it is, `final` the last one, `undone` is
    (peak - final) / peak: negative where later layers add to it. `undone_reworded` is the same of two wordings, which
    later layers bring together whether or not anything misleads; `undone_gap` is the first less the second, paired.
    """

    measure: Measure
    case: Curve
    reworded: Curve
    other: Curve
    peak_depth: int
    peak: Estimate
    final: Estimate
    undone: Estimate
    undone_reworded: Estimate | None
    undone_gap: Estimate | None


class Predictor(_Frozen):
    """How well one figure of a case tells whether the model complies: above 1/2, the higher the more it complies.

    `difference` is how much further from 1/2 early drift is than this one, whichever way either points.
    """

    name: str
    auroc: Estimate
    difference: Estimate | None


class Drift(_Frozen):
    """One benchmark of misleading cases, played on the intact model.

    `n` cases have a neutral twin and count; `n_unparsed` of them were not understood and count as resisting. `early`
    layers (the first third) are depths 1 to `early`.
    """

    name: str
    title: str
    complies_when: str
    n: int
    n_unparsed: int
    n_left_out: int
    complied: Estimate
    early: int
    distances: tuple[Distance, ...]
    predictors: tuple[Predictor, ...]


class Tracking(_Frozen):
    """At which layer an answer is decided: lenses, the layer of decision, drift under misleading prompts.

    `residual` is the largest difference between the lens of the last layer and the model's own logits that was seen.
    `missing` says, by set or benchmark, why it has no entry.
    """

    n_layers: int
    residual: float
    fit: LensFit
    sets: tuple[SetTracking, ...]
    drifts: tuple[Drift, ...]
    missing: dict[str, str]
