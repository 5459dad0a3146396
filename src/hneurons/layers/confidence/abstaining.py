"""When to say nothing: a threshold that keeps a promised risk, and what it costs.

A threshold is chosen on answers that nothing was fitted on, so that among the answers that are still given at most a
share `risk` is wrong, with a confidence of `confidence` (selection with guaranteed risk: Geifman and El-Yaniv, arXiv
1705.08500, algorithm 1, whose Clopper-Pearson bound this is). Their search halves the range of thresholds and shares
the error probability out over its steps; which thresholds it tries depends on the answers, and the union bound does
not quite cover that. Here the thresholds that are tried are fixed before the answers are looked at: several starts,
spread over the coverages, from each of which the coverage grows answer by answer until the bound no longer holds
(fixed-sequence testing with several starts: Angelopoulos et al., arXiv 2110.01052, section 4). The promise is about
answers drawn as these were. It says nothing of others, and it is a little bold where a detector was tuned on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import betaincinv

from hneurons.errors import CorruptRunError, ProbeError
from hneurons.files import read_json, write_json
from hneurons.layers.confidence.calibration import not_too_sure
from hneurons.layers.confidence.record import Choice, Outcome
from hneurons.probes.bootstrap import Bootstrap, Estimate

STARTS = 5
"""Coverages from which the search for a threshold starts."""
RISKS = (0.1, 0.2, 0.3)
"""Promised, where nothing else is asked."""
IDK = "I don't know."


class Abstention(BaseModel):
    """A threshold on a score of doubt, and what is said in place of an answer that reaches it.

    Attributes:
        detector: whose scores these are.
        threshold: an answer is given where its score is below; None gives none.
        risk: share of wrong answers, among those given, that the threshold was chosen to stay below.
        confidence: of that promise, for answers drawn as those were that it was chosen on.
        says: in place of the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    threshold: float | None
    risk: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    says: str = IDK

    def abstains(self, score: float) -> bool:
        """Whether an answer of this score is held back; one whose score is no number is."""
        return self.threshold is None or not score < self.threshold

    def replace(self, text: str, score: float) -> str:
        """The answer, or what is said in its place."""
        return self.says if self.abstains(score) else text

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Abstention:
        """Read what `save` wrote.

        Raises:
            CorruptRunError: the file cannot be read, or is no abstention.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise CorruptRunError(f"{path} is no abstention ({str(error).splitlines()[0]}); choose it anew") from None


def clopper_pearson(wrong: int, n: int, confidence: float) -> float:
    """Upper bound on a share, one-sided: the largest that still leaves a probability of 1 - `confidence` to `wrong`
    or fewer of `n` (Clopper and Pearson, Biometrika 26, 1934)."""
    return 1.0 if wrong >= n else float(betaincinv(wrong + 1, n - wrong, confidence))


def choose_threshold(
    scores: Float[np.ndarray, " rows"],
    wrong: Bool[np.ndarray, " rows"],
    risk: float,
    *,
    confidence: float = 0.95,
    guaranteed: bool = True,
    detector: str = "",
    starts: int = STARTS,
) -> Choice:
    """The threshold of largest coverage that keeps the risk at `risk` or below, with a probability of `confidence`.

    Args:
        scores: doubt; an answer is given where its score is below the threshold. Nothing may have been fitted on these
            answers, and they must be independent of each other: give one of each group.
        wrong: whether each answer is.
        risk: share of wrong answers among those given, at most.
        confidence: probability, over draws of these answers, that the promise holds for new ones drawn alike.
        guaranteed: otherwise the risk among these very answers is taken for what it will be, as is often done: that
            threshold promises nothing, and is there to be held against.
        detector: what the scores are of.
        starts: coverages from which the search starts; each takes its part of 1 - `confidence`.

    Raises:
        ProbeError: no answers, scores that are no numbers, or a risk or confidence that is not between 0 and 1.
    """
    if not len(scores) or len(scores) != len(wrong) or not np.isfinite(scores).all():
        raise ProbeError(f"a threshold needs a finite score and a verdict for each answer; got {len(scores)} scores")
    if not (0 < risk < 1 and 0 < confidence < 1 and starts >= 1):
        raise ProbeError(f"risk and confidence lie between 0 and 1, and one start is needed; got {risk}, {confidence}")
    order = np.argsort(scores, kind="stable")
    ordered, errors = scores[order], np.concatenate([[0], np.cumsum(wrong[order])])
    n, each = len(scores), 1 - (1 - confidence) / starts
    below = np.searchsorted(ordered, ordered)  # of each answer, how many score below it
    if guaranteed:
        best = _search(errors, below, risk, each, _starts(n, risk, each, starts))
    else:
        kept = below[(below > 0) & (errors[below] <= risk * below)]
        best = int(kept.max(initial=0))
    return Choice(
        detector=detector,
        risk=risk,
        confidence=confidence,
        guaranteed=guaranteed,
        threshold=float(ordered[best]) if best else None,
        n=n,
        bound=clopper_pearson(int(errors[best]), best, each) if best and guaranteed else None,
        coverage=best / n,
        found=float(errors[best] / best) if best else None,
    )


def outcome(
    eval_set: str,
    choice: Choice,
    scores: Float[np.ndarray, " rows"],
    y: Bool[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Outcome:
    """What a threshold does on a set that it was not chosen on, beside one chosen on the other half of that set.

    Args:
        eval_set: its name.
        choice: the threshold.
        scores: doubt of each answer.
        y: whether each is hallucinated.
        groups: resampled together; halves share none.
        resamples, seed: of intervals, and of the halves.
    """
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    given = np.zeros(len(y), dtype=np.bool_) if choice.threshold is None else scores < choice.threshold
    own = _given_by_other_half(choice, scores, y, groups, seed)
    risk, own_risk = (
        not_too_sure(bootstrap.mean(y.astype(np.float64), each, "nothing is answered"), groups[each])
        for each in (given, own)
    )
    every = np.ones(len(y), dtype=np.bool_)
    held = (~given).astype(np.float64)
    return Outcome(
        eval_set=eval_set,
        detector=choice.detector,
        target=choice.risk,
        guaranteed=choice.guaranteed,
        base=float(y.mean()),
        coverage=bootstrap.mean(given.astype(np.float64), every),
        risk=risk,
        stopped=bootstrap.mean(held, y, "no answer is hallucinated"),
        lost=bootstrap.mean(held, ~y, "no answer is faithful"),
        met=verdict(risk, choice.risk),
        own_risk=own_risk,
        own_coverage=bootstrap.mean(own.astype(np.float64), every),
        own_met=verdict(own_risk, choice.risk),
    )


def verdict(risk: Estimate, target: float) -> str:
    """Whether a risk keeps to its target: "met", "missed", "open" where its interval holds both, or "silent"."""
    if risk.value is None:
        return "silent"
    if risk.low is None or risk.high is None:
        return "open"
    return "met" if risk.high <= target else "missed" if risk.low > target else "open"


def one_each(groups: Shaped[np.ndarray, " rows"], seed: int = 0) -> Bool[np.ndarray, " rows"]:
    """One row of each group, drawn at random: rows that are independent."""
    order = np.random.default_rng(seed).permutation(len(groups))
    _, first = np.unique(groups[order], return_index=True)
    chosen = np.zeros(len(groups), dtype=np.bool_)
    chosen[order[first]] = True
    return chosen


def _search(
    errors: Int[np.ndarray, " places"],
    below: Int[np.ndarray, " rows"],
    risk: float,
    confidence: float,
    starts: list[int],
) -> int:
    """The most answers whose bound holds, along the ways from all starts; each way ends where its bound first fails."""
    best = 0
    for start in starts:
        for given in below[start:]:
            if not given or clopper_pearson(int(errors[given]), int(given), confidence) > risk:
                break
            best = max(best, int(given))
    return best


def _starts(n: int, risk: float, confidence: float, starts: int) -> list[int]:
    """Numbers of answers, from the fewest that can keep the promise (if none is wrong) to nearly all."""
    fewest = int(np.ceil(np.log(1 - confidence) / np.log(1 - risk)))
    return sorted({int(each) for each in np.linspace(fewest, n, starts, endpoint=False) if each < n})


def _given_by_other_half(
    choice: Choice,
    scores: Float[np.ndarray, " rows"],
    y: Bool[np.ndarray, " rows"],
    groups: Shaped[np.ndarray, " rows"],
    seed: int,
) -> Bool[np.ndarray, " rows"]:
    """Which answers are given by thresholds that each half of the groups gets from the other."""
    names, member = np.unique(groups, return_inverse=True)
    halves = (np.random.default_rng(seed).permutation(len(names)) % 2)[member]
    given = np.zeros(len(y), dtype=np.bool_)
    for half in (0, 1):
        seen = (halves != half) & one_each(groups, seed)
        if seen.any():
            found = choose_threshold(
                scores[seen], y[seen], choice.risk, confidence=choice.confidence, guaranteed=choice.guaranteed
            )
            if found.threshold is not None:
                given[halves == half] = scores[halves == half] < found.threshold
    return given
