"""What the comparison of faithful with hallucinated answers finds, as it is written into `results.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate

Read = Literal["residual", "attention", "ffn"]
"""What is read of a layer.

"residual": the residual stream after it. "attention": what its attention writes, the output of the attention's output
projection. "ffn": what its FFN writes, the output of the down-projection. Both are taken with their bias, and before
whatever norm or multiplier stands between them and the stream.
"""
READS: tuple[Read, ...] = ("residual", "attention", "ffn")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Null(_Record):
    """What a figure is by chance: mean and middle 95%, `low` to `high`, of `n` draws; None where none is defined."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class Against(_Record):
    """A figure's place among draws of chance: (1 + draws at least as extreme) / (1 + draws), and its FDR-adjusted form.

    `q` is adjusted over all layers and reads of one figure of one set and one selection (Benjamini and Hochberg 1995).
    """

    null: Null
    p: float
    q: float


class Balance(_Record):
    """Means of faithful and hallucinated answers in one respect; `smd` is their difference over the pooled deviation.

    Hallucinated less faithful; None where neither kind varies.
    """

    name: str
    faithful: float
    hallucinated: float
    smd: float | None


class Matching(_Record):
    """Which answers are left in pairs that agree in question kind and number of answer tokens, and about in length.

    `before` and `after` hold the same respects, in the same order.
    """

    n_pairs: int
    n_strata: int
    same_length: int
    before: tuple[Balance, ...]
    after: tuple[Balance, ...]


class Level(_Record):
    """What one read of one layer shows on one selection of answers.

    Attributes:
        layer: from 0.
        read: what is read of it.
        effect: Hedges' g, cross-fitted: hallucinated minus faithful along a direction of other questions.
        effect_against: labels permuted.
        spread: mean over the dimensions of |d|; larger than zero by chance too, so read it beside its null.
        spread_against: labels permuted.
        auroc: of logistic regression, each answer scored by a model of other questions.
        permuted: the same of permuted labels.
        over_baseline: its AUROC less that of length and kind, on the same resamples.
        over_said: its AUROC less that of length, kind and the first token of the claim.
    """

    layer: int
    read: Read
    effect: Estimate
    effect_against: Against
    spread: float | None
    spread_against: Against
    auroc: Estimate
    permuted: Null
    over_baseline: Estimate
    over_said: Estimate


class Selection(_Record):
    """Faithful and hallucinated answers of a set, all of them or those that are matched.

    `n_groups` are what splits and resamples keep together: questions, or pairs where answers are matched.
    `baseline` is the AUROC of logistic regression on the numbers of answer and response tokens and the question's kind;
    `said` that of these and the first token of the claim: what is answered, whatever the states.
    """

    n_faithful: int
    n_hallucinated: int
    n_groups: int
    baseline: Estimate
    said: Estimate
    levels: tuple[Level, ...]


class Adjacent(_Record):
    """Debiased linear CKA of a layer with the next, within either kind of the matched answers.

    `difference` is hallucinated less faithful; `against` exchanges the two of a pair at random, two-sided. `mismatched`
    pairs a faithful answer at one layer with another one at the next: no similarity at all.
    """

    layer: int
    read: Read
    faithful: Estimate
    hallucinated: Estimate
    difference: Estimate
    against: Against
    mismatched: Null


class Across(_Record):
    """Debiased linear CKA of faithful with hallucinated answers at one layer, over matched pairs.

    Attributes:
        layer: from 0.
        read: what is read of it.
        cka: 1 where the answers of one kind lie to each other as their partners do, 0 where partners tell nothing.
        repaired: partners drawn anew among all pairs; p for a figure as high.
        exchanged: the two of a pair exchanged at random, so that either side holds both kinds: what it is where the
            verdict makes no difference; p for a figure as low.
    """

    layer: int
    read: Read
    cka: Estimate
    repaired: Against
    exchanged: Against


class Compared(_Record):
    """One evaluation set. `matched` and both CKAs are None and empty where too few pairs are left: `reason` says so.

    `faithful_from` names the set whose faithful answers are used in place of its own, which are refusals.
    """

    eval_set: str
    faithful_from: str | None
    every: Selection
    matching: Matching
    matched: Selection | None
    adjacent: tuple[Adjacent, ...]
    across: tuple[Across, ...]
    reason: str = ""


class Comparison(_Record):
    """Faithful against hallucinated answers, layer by layer: effect sizes, separability, similarity.

    `missing` names the evaluation sets that could not be compared, with the reason.
    """

    n_layers: int
    hidden_size: int
    n_folds: int
    n_splits: int
    sets: tuple[Compared, ...]
    missing: dict[str, str]
