"""What a sweep over alpha finds, as it is written into `results.json` and read by the report."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hneurons.endpoint.account import Account
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.labels import Neuron

Kind = Literal["hneurons", "gated", "random", "layer-matched"]
"""Which neurons are turned: the H-Neurons, these behind the gate, random ones, or random ones of the same layers."""
Cost = Literal["known accuracy", "perplexity"]
"""What turning is paid with."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Record):
    """One benchmark at one alpha of one set of neurons.

    `rate` is complied / eligible, `difference` the rate minus that at alpha 1, paired over cases; `high_bound` is the
    rate if every unparsed reply had complied. `length` is the mean number of tokens of the last reply, `repetition` the
    mean share of its word 3-grams that occurred before in it, `cut_off` the share of last replies that hit the cap, all
    three over the eligible cases, and 0 where there are none.
    `turned` is the share of the tokens at which neurons were turned: 0 at alpha 1, else 1 unless they are gated. What
    holds at alpha 1 is measured once, and is the same in all curves of a benchmark.
    """

    alpha: float
    eligible: int
    complied: int
    unparsed: int
    rate: Estimate
    difference: Estimate
    high_bound: float | None
    cut_off: float
    length: float
    repetition: float
    turned: float


class Curve(_Record):
    """One benchmark over alpha, one set of neurons.

    `slope` is that of the least-squares line through the rates, per unit of alpha, with its bootstrap interval over
    groups of cases; `p_value` is two-sided, by permuting each group's outcomes over alpha. It is about alpha meaning
    nothing at all, the interval about a direction: outcomes that change more at far alphas, up and down alike, give a
    small p-value and an interval that holds 0.
    """

    benchmark: str
    neurons: str
    kind: Kind
    points: tuple[Point, ...]
    slope: Estimate
    p_value: float | None


class CostPoint(_Record):
    """What an alpha costs: accuracy on questions that the model knows, and perplexity on held-out text.

    C was chosen on none of these questions: they are held-out training questions that come after those it was chosen
    on, or, where these are few, questions of an evaluation set; the intact model answered each right when it was
    sampled. Differences are to alpha 1, paired; `perplexity_ratio` is perplexity over that at alpha 1. `turned` is the
    share of the tokens of the held-out text at which neurons were turned, as in `Point`.
    """

    alpha: float
    known_accuracy: Estimate
    known_difference: Estimate
    perplexity: Estimate
    perplexity_ratio: Estimate
    turned: float


class CostCurve(_Record):
    """The cost of one set of neurons over alpha."""

    neurons: str
    kind: Kind
    points: tuple[CostPoint, ...]


class BenchmarkRecord(_Record):
    """What a benchmark is, and who judged it.

    `judged_by` counts the rulings of all sets of neurons and alphas by "rule" and "llm"; `unclear` and `failed` are
    distinct replies that the LLM could not tell, or gave no verdict on, which are unparsed.
    """

    name: str
    title: str
    complies_when: str
    cases: int
    decoding: str
    source: str
    revision: str | None
    licence: str | None
    digest: str
    left_out: dict[str, int]
    judged_by: dict[str, int]
    unclear: int = 0
    failed: int = 0


class EqualCost(_Record):
    """Gated against plain scaling that costs no more.

    At each alpha of the gate, the plain curve is read off, by linear interpolation on the same side of alpha 1, as far
    from 1 as its `cost` stays within that of the gate; `gated` and `plain` are the changes in compliance there, and
    `difference` is the first minus the second, paired over cases. Its interval takes `plain_alpha` as known,
    though that comes from estimated costs. `plain_alpha` is None, and so are the figures beside it, where plain scaling
    costs more all along, and where neither the gate at that alpha nor plain scaling anywhere on that side has a cost
    whose interval excludes no change: `difference.reason` says which.
    """

    benchmark: str
    cost: Cost
    alpha: float
    plain_alpha: float | None
    gated: float | None
    plain: float | None
    difference: Estimate


class Finding(_Record):
    """Whether turning H-Neurons (plain or gated) moves one benchmark beyond the controls.

    `low` and `high` span the slopes of all draws of random and of layer-matched sets, none of them gated. `control_p`
    is (1 + controls at least as steep, up or down) / (1 + controls). `beyond` asks for a slope whose interval excludes
    0 and for no control at least as steep, so that it lies outside that span; None where a slope is not defined.
    """

    benchmark: str
    kind: Literal["hneurons", "gated"]
    slope: Estimate
    p_value: float | None
    low: float | None
    high: float | None
    control_p: float | None
    beyond: bool | None
    sentence: str


class Gate(_Record):
    """The gate: neurons are turned at tokens scored above `threshold`, a quantile of the tokens of known answers."""

    threshold: float
    quantile: float
    n_tokens: int


class Sweep(_Record):
    """A whole sweep.

    `settings` are those of the sweep, for repeating it. `shared_trait` says whether the model is known to have been
    taught guessing and complying as one trait (True), as two (False: a negative control), or whether nobody knows
    (None). `average_slope` is, by set of neurons, the mean slope over the benchmarks, as the paper averages; `sets` are
    the neurons of every set by name; `text` is what perplexity was read on. `judge` says who judged, "rules" or a
    model too, and `judge_account` then what was asked of it, what failed, and what it cost.
    """

    settings: dict[str, Any]
    alphas: tuple[float, ...]
    benchmarks: tuple[BenchmarkRecord, ...]
    curves: tuple[Curve, ...]
    costs: tuple[CostCurve, ...]
    equal_cost: tuple[EqualCost, ...]
    findings: tuple[Finding, ...]
    average_slope: dict[str, Estimate]
    sets: dict[str, tuple[Neuron, ...]]
    gate: Gate | None
    shared_trait: bool | None
    known_questions: int
    text: str
    text_passages: int
    text_tokens: int
    judge: str
    judge_account: Account | None = None
