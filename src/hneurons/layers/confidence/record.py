"""What this part finds, as it is written into `results.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate


class Frozen(BaseModel):
    """A record that never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Chance(Frozen):
    """What chance alone gives: the mean of the draws and their 2.5th to 97.5th percentile.

    `p` is the share of draws at least as extreme as what was found, itself counted, and `q` the same among all tests of
    its kind, corrected for their number (Benjamini and Hochberg); None where nothing was tested.
    """

    mean: float
    low: float
    high: float
    draws: int
    p: float | None = None
    q: float | None = None


class Bin(Frozen):
    """Answers of like probability: how many, the mean probability of hallucination, and the share that is."""

    n: int
    probability: float
    hallucinated: Estimate


class Calibration(Frozen):
    """Whether the probabilities of one source mean what they say on one set, which is balanced by selection.

    Attributes:
        source: a detector, or the model's own probability of its answer.
        base: share of hallucinated answers, what a forecaster of nothing would say of each.
        bins: of equal numbers of answers, by probability.
        ece: over these bins; too high by what chance adds.
        perfect: the ECE of a forecaster that gives the same probabilities, and is right in each.
        debiased: twice the ECE less its bootstrap mean, with the basic interval, kept at 0 or above.
        brier: mean squared error; `brier_constant` is that of saying `base` each time.
    """

    eval_set: str
    source: str
    n: int
    base: float
    bins: tuple[Bin, ...]
    ece: float
    perfect: Chance
    debiased: Estimate
    brier: Estimate
    brier_constant: float


class Confident(Frozen):
    """Answers that the model gave a higher probability than a share `quantile` of the faithful answers of dev has."""

    eval_set: str
    quantile: float
    probability: float
    n_hallucinated: int
    n_faithful: int
    hallucinated: Estimate
    faithful: Estimate


class Level(Frozen):
    """Questions of one familiarity: what became of all of them, and how sure the model was where it is measured.

    `right`, `wrong` and `declined` are shares of the questions, as they were asked; `sure_right` and `sure_wrong` the
    mean probability of the right and of the wrong answers among those that the evaluation uses; `auroc` is that of the
    model's own probability for hallucination among these.
    """

    value: str
    questions: int
    right: Estimate
    wrong: Estimate
    declined: Estimate
    n_right: int
    n_wrong: int
    sure_right: Estimate
    sure_wrong: Estimate
    auroc: Estimate


class Boundary(Frozen):
    """Accuracy and confidence of one set over the levels of a field of its questions."""

    eval_set: str
    by: str
    levels: tuple[Level, ...]


class Signal(Frozen):
    """One figure of doubt over the samples of a question: how well it tells hallucinated first answers.

    Attributes:
        reads: "samples" or "answer", the first answer alone.
        auroc: for hallucination, with its interval over groups.
        chance: of labels permuted among groups.
        over_entropy: AUROC less that of semantic entropy.
    """

    name: str
    reads: str
    auroc: Estimate
    chance: Chance | None
    over_entropy: Estimate


class Pool(Frozen):
    """Training questions whose first sample is an answer: which, how many, and what tells its hallucinations.

    The questions that no detector was fitted or tuned on lack those that are answered wrong every time, where all of
    these were used for that, and so are easier than what is asked.

    Attributes:
        always_wrong: among hallucinated first answers, the share whose meaning every sample repeats: no figure that
            compares samples can see them.
    """

    name: str
    n: int
    n_groups: int
    n_hallucinated: int
    always_wrong: Estimate
    signals: tuple[Signal, ...]


class BySamples(Frozen):
    """AUROC of semantic entropy and of agreement over the first k samples."""

    k: int
    semantic_entropy: Estimate
    agreement: Estimate


class Sampled(Frozen):
    """What several samples of one question tell of the first.

    Attributes:
        samples: responses to a question.
        clusters: mean number of meanings among them, and of wordings.
        pools: the questions; the first is the one to read.
        growing: on the questions of the first pool.
    """

    samples: int
    clusters: float
    wordings: float
    pools: tuple[Pool, ...]
    growing: tuple[BySamples, ...]


class AskedTruth(Frozen):
    """P(True) on one set: the model asked whether its own answer is true.

    Attributes:
        n: answers asked about.
        auroc: of 1 - P(True) for hallucination.
        swapped: the same where the answer of another question stood in the place of its own: what the question tells.
        sees_answer: AUROC of 1 - P(True) for swapped against own answers, among faithful ones: whether the model reads
            the answer at all. 0.5 is that it does not.
        chance: of `auroc`, labels permuted.
        p_true: mean P(True) of the set's answers.
        mass: mean probability of the words True, False, Yes, No together: how far the model takes it as a question.
    """

    eval_set: str
    n: int
    auroc: Estimate
    swapped: Estimate
    sees_answer: Estimate
    chance: Chance | None
    p_true: float
    mass: float


class TruthAsked(Frozen):
    """P(True) on every set; `yes` and `no` are the first tokens of either word that were counted."""

    prompt: str
    yes: tuple[str, ...]
    no: tuple[str, ...]
    dev_auroc: float
    sets: tuple[AskedTruth, ...]


class RiskCoverage(Frozen):
    """Share of hallucinations among the answers that a detector is surest of, over how many of them are given.

    Attributes:
        n: answers; P(True) may have been asked of fewer.
        aurc: area under the curve: the risk, averaged over the number of answers given.
        excess: the same less that of an oracle, which leaves out the hallucinations first.
        over_entropy: `aurc` less that of token entropy on the same answers, paired; below 0 is better than entropy.
        coverage, risk, low, high: the curve, with 95% pointwise intervals.
    """

    eval_set: str
    detector: str
    n: int
    base: float
    aurc: Estimate
    excess: Estimate
    over_entropy: Estimate
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class RandomRisk(Frozen):
    """What random neurons reach on one set, and what leaving out answers at random does, which is `base` throughout."""

    eval_set: str
    base: float
    oracle: float
    aurc: Chance
    coverage: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Choice(Frozen):
    """A threshold, chosen on dev so that the risk of what is still answered stays at `risk` or below.

    Attributes:
        guaranteed: whether a bound on the risk was kept below, with `confidence`, or only the risk found on dev.
        threshold: answers that score below it are given; None where no threshold keeps the promise, and nothing is.
        n: answers that it was chosen on, one a group.
        bound: upper Clopper-Pearson bound on the risk at the threshold, corrected for the search.
        coverage: share of these answers that is given.
        found: risk among them.
    """

    detector: str
    risk: float
    confidence: float
    guaranteed: bool
    threshold: float | None
    n: int
    bound: float | None
    coverage: float
    found: float | None


class Outcome(Frozen):
    """What a threshold does on one set.

    Attributes:
        met: "met" where the whole interval of the risk lies at or below the target, "missed" where all of it lies
            above, "open" between, "silent" where nothing is answered.
        stopped: share of the hallucinated answers that are replaced.
        lost: share of the right answers that are. At random both would be 1 - coverage, and the risk `base`.
        own_risk, own_coverage: with the threshold chosen, by the same rule, on the other half of this very set.
    """

    eval_set: str
    detector: str
    target: float
    guaranteed: bool
    base: float
    coverage: Estimate
    risk: Estimate
    stopped: Estimate
    lost: Estimate
    met: str
    own_risk: Estimate
    own_coverage: Estimate
    own_met: str


class Abstaining(Frozen):
    """Thresholds, and what they do on every set."""

    choices: tuple[Choice, ...]
    outcomes: tuple[Outcome, ...]


class Confidence(Frozen):
    """How sure the model is, how right it is, and when it should rather say nothing.

    `missing` says of what could not be asked why: "p_true", "sampled", "boundary", or a set.
    """

    calibration: tuple[Calibration, ...]
    confident: tuple[Confident, ...]
    boundary: tuple[Boundary, ...]
    sampled: Sampled | None
    p_true: TruthAsked | None
    curves: tuple[RiskCoverage, ...]
    random: tuple[RandomRisk, ...]
    abstaining: Abstaining
    missing: dict[str, str]
