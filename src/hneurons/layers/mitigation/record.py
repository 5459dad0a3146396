"""What mitigation is found to do, as it is written into `results.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate

Kind = Literal["unchanged", "scaling", "gated", "steering", "attention", "contrast", "abstention"]
"""What a method does. "attention": recalibration; "contrast": contrastive decoding; "abstention": "I don't know" in
the place of an answer."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Frozen):
    """What a generated token costs, as a multiple of what one of the unchanged model does.

    `tokens` is counted: tokens that pass the decoder layers, prompts and padding included, for each token generated.
    `unembeddings` are the tokens that pass the unembedding, likewise. `seconds` is a coarse figure of the machine that
    the run was made on: the median over a few rounds in which every method answered the same questions in turn, with
    the smallest and the largest.
    """

    tokens: float
    unembeddings: float
    seconds: float
    seconds_low: float
    seconds_high: float


class Measure(_Frozen):
    """One figure of a method, and its difference to that of the unchanged model on the same questions and resamples."""

    value: Estimate
    change: Estimate


class MethodFound(_Frozen):
    """One method on the same questions, cases, known questions and text as all others.

    Attributes:
        name: short and unique.
        kind: what it does.
        setting: its settings, in words.
        tuned: whether they were chosen on held-out training questions.
        correct, hallucinated, refused: shares of the questions, which add up to 1.
        by_set: share hallucinated of each evaluation set.
        compliance: the mean over the benchmarks of the share of cases in which it yields.
        by_benchmark: that share of each benchmark.
        unparsed: share of the cases whose replies the rules could not read, over all benchmarks.
        known: share of the known questions that are answered right.
        perplexity: of the text, as a multiple of the unchanged model's.
        altered: share of the questions whose answer differs from the unchanged model's in any letter.
        cut_off: share of the questions whose answer ran to the cap on its length.
        price: what a token costs.
        frontier: whether no other method is at least as good in hallucinations and right answers, and better in one.
    """

    name: str
    kind: Kind
    setting: str
    tuned: bool
    correct: Measure
    hallucinated: Measure
    refused: Measure
    by_set: dict[str, Measure]
    compliance: Measure | None
    by_benchmark: dict[str, Measure]
    unparsed: float | None
    known: Measure
    perplexity: Estimate
    altered: float
    cut_off: float
    price: Price
    frontier: bool


class Draws(_Frozen):
    """What a method does with random parts in the place of those that were found: changes, one number for each draw."""

    method: str
    what: str
    hallucinated: tuple[float, ...]
    correct: tuple[float, ...]
    known: tuple[float, ...]
    compliance: tuple[float, ...]


class Steered(_Frozen):
    """Steering at one layer: changes against the unchanged model, and those of random directions of the same length.

    The strength is the same in every layer, so that layers can be compared.
    """

    layer: int
    strength: float
    correct: Estimate
    hallucinated: Estimate
    refused: Estimate
    random_correct: tuple[float, ...]
    random_hallucinated: tuple[float, ...]


class Depths(_Frozen):
    """Steering at the middle third of the layers against the last third: the difference of their mean changes.

    Negative `hallucinated` says that the middle takes away more hallucinations, positive `correct` that it keeps more
    right answers.
    """

    middle: tuple[int, ...]
    end: tuple[int, ...]
    hallucinated: Estimate
    correct: Estimate


class Tried(_Frozen):
    """One setting that was tried on held-out training questions: shares right and hallucinated there."""

    method: str
    setting: str
    correct: float
    hallucinated: float
    chosen: bool


class Mitigation(_Frozen):
    """Every method on equal terms.

    Attributes:
        methods: the unchanged model first.
        controls: random neurons, random directions, and as many answers withheld at random.
        steering: by layer, ascending.
        depths: middle against end; None where there are too few layers to tell them apart, or nothing could be steered.
        tried: all settings that were tried, on `tuned_on` held-out training questions.
        tuned_on: how many these are.
        rule: how a setting was chosen among them.
        questions: number of questions by evaluation set.
        layered: how many of them steering at every layer was asked.
        known_questions: number of known questions.
        cases: number of cases by benchmark.
        titles: of the benchmarks.
        text: what perplexity is measured on, and on how many passages and tokens.
        missing: methods and measures that could not be had, and why.
    """

    methods: tuple[MethodFound, ...]
    controls: tuple[Draws, ...]
    steering: tuple[Steered, ...]
    depths: Depths | None
    tried: tuple[Tried, ...]
    tuned_on: int
    rule: str
    questions: dict[str, int]
    layered: int
    known_questions: int
    cases: dict[str, int]
    titles: dict[str, str]
    text: str
    passages: int
    text_tokens: int
    missing: dict[str, str]
