"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate

Measure = Literal["lift", "share", "entropy"]
"""What is held against what: the share of attention less what uniform attention would give ("lift", which knows the
length of a segment), the share itself, or the entropy of the attention divided by that of uniform attention, 0 to 1."""

Grid = tuple[tuple[float, ...], ...]
"""A number for each head: layers in the order of `Attention.layers`, heads from 0."""


class Frozen(BaseModel):
    """Base of the records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(Frozen):
    """Attention on one segment, mean over heads, of either kind of answers; `uniform` is what their lengths would give.

    `share` and `lift` are the second kind less the first, within strata.
    """

    segment: str
    first: float
    second: float
    first_uniform: float
    second_uniform: float
    share: Estimate
    lift: Estimate


class LayerShares(Frozen):
    """The shares of a layer (None: of all layers read), and the entropy of its attention divided by that of uniform."""

    layer: int | None
    shares: tuple[Share, ...]
    first_entropy: float
    second_entropy: float
    entropy: Estimate


class Differences(Frozen):
    """The second kind less the first on one segment ("" for the entropy), head by head; q is p after correction."""

    segment: str
    difference: Grid
    p: Grid
    q: Grid


class Permuted(Frozen):
    """How many tests are significant after correction where labels are permuted within strata."""

    draws: int
    mean: float
    most: int
    any: float


class HeldOut(Frozen):
    """A head that differs on one half of the groups, and by how much on the other; `confirmed` where that interval
    leaves out 0 on the same side."""

    layer: int
    head: int
    segment: str
    chosen: float
    held_out: Estimate
    confirmed: bool


class Halves(Frozen):
    """Heads chosen on one half of the groups and measured on the other; `heads` are the strongest, by their z there.

    `kept` is the slope, through 0, of the held-out differences on those they were chosen by: 1 is no winner's curse.
    """

    n_choose: int
    n_measure: int
    n_chosen: int
    n_confirmed: int
    kept: float | None
    heads: tuple[HeldOut, ...]


class Tests(Frozen):
    """One measure, tested for every layer, head and segment in one family (Benjamini-Hochberg)."""

    measure: Measure
    n_tests: int
    n_different: int
    differences: tuple[Differences, ...]
    permuted: Permuted
    halves: Halves | None
    reason: str = ""


class Focus(Frozen):
    """Lift on the subject in one set, mean over heads and layers; `difference` within kinds of question."""

    eval_set: str
    n_first: int
    n_second: int
    first: float | None
    second: float | None
    difference: Estimate


class Contrast(Frozen):
    """Two kinds of texts and what the model looks at in them: faithful and hallucinated answers, or cases that it
    resisted and complied with.

    Attributes:
        name: "answers", or the benchmark's.
        title: for people.
        first, second: what the two kinds are called.
        n_first, n_second: how many count.
        n_groups: what is resampled.
        strata: what texts are compared within: sets and kinds of question that have both.
        left_out: texts that do not count, by reason.
        whole: over all layers and heads.
        layers: layer by layer.
        tests: by head.
        n_both: heads and segments of which both share and lift differ after correction, on the same side: where only
            one does, it may be the length of the segment that differs.
        sets: the subject's lift by set; of answers alone.
    """

    name: str
    title: str
    first: str
    second: str
    n_first: int
    n_second: int
    n_groups: int
    strata: tuple[str, ...]
    left_out: dict[str, int]
    whole: LayerShares
    layers: tuple[LayerShares, ...]
    tests: tuple[Tests, ...]
    n_both: int
    sets: tuple[Focus, ...] = ()


def differs(tests: Tests, segment: str, level: float) -> tuple[tuple[int, ...], ...]:
    """Of each head (layers x heads), the side on which a segment differs after correction: 1, -1, or 0 for neither."""
    (own,) = (each for each in tests.differences if each.segment == segment)
    return tuple(
        tuple((1 if apart > 0 else -1) if q <= level else 0 for apart, q in zip(*rows, strict=True))
        for rows in zip(own.difference, own.q, strict=True)
    )


def agree(contrast: Contrast, segment: str, level: float) -> tuple[tuple[int, ...], ...]:
    """Of each head, the side on which both share and lift of a segment differ; 0 where they do not both."""
    lift, share = (
        differs(tests, segment, level)
        for name in ("lift", "share")
        for tests in contrast.tests
        if tests.measure == name
    )
    return tuple(
        tuple(a if a == b else 0 for a, b in zip(*rows, strict=True)) for rows in zip(lift, share, strict=True)
    )


class Attention(Frozen):
    """What the model looks at while it decides: shares of attention by segment, layer and head.

    `used` is the attention implementation that handed the weights out, `before` the one that the model had.
    `level` is the share of false discoveries allowed. `missing` says why a benchmark, the answers or
    ("contexts") all cases with a context are not there.
    """

    used: str
    before: str
    level: float
    layers: tuple[int, ...]
    n_heads: int
    segments: tuple[str, ...]
    answers: Contrast | None
    contexts: tuple[Contrast, ...]
    missing: dict[str, str]
