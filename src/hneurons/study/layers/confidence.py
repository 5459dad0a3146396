"""The part `confidence` of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from hneurons.errors import EndpointError, ModelError, NotEnoughDataError, ResponseError
from hneurons.layers.confidence.abstaining import RISKS, Abstention, choose_threshold, one_each, outcome
from hneurons.layers.confidence.asked_truth import TruthRows, asked_truth
from hneurons.layers.confidence.boundary import boundary
from hneurons.layers.confidence.calibration import OWN, calibration, confident, own_doubt
from hneurons.layers.confidence.record import (
    Abstaining,
    AskedTruth,
    Boundary,
    Calibration,
    Choice,
    Confidence,
    Outcome,
    RiskCoverage,
    Sampled,
    TruthAsked,
)
from hneurons.layers.confidence.risk import random_risk, risk_coverage
from hneurons.layers.confidence.sampled import corrected, sampled
from hneurons.layers.confidence.truth import P_TRUE, TURN, calibrate, truth_tokens
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.names import H_NEURONS, RANDOM, REFIT
from hneurons.progress import track
from hneurons.study.asking import read_questions
from hneurons.study.evaluating import evaluation_rows, evaluation_sets
from hneurons.study.layers.confidence_inputs import (
    Truths,
    ask_truth,
    asked_questions,
    drawn_questions,
    few_of_either,
    judged_of,
    level_of,
)
from hneurons.study.layers.work import LayersWork
from hneurons.study.measuring import read_measured
from hneurons.study.origin_settings import make_origin_settings

ENTROPY, LOG_PROB, HIDDEN = "token entropy", "token log-probability", "hidden state, best layer"
ABSTAINING = (H_NEURONS, REFIT, LOG_PROB, ENTROPY, HIDDEN, OWN, P_TRUE)
"""Who decides when to say nothing."""
CONFIDENCE = 0.95
FEWEST = 20
"""Answers of either kind without which a set is left out."""
Scores = Mapping[str, Float64[np.ndarray, " rows"]]


@dataclass(frozen=True)
class Doubted:
    """One set of answers and who doubts them how much: `asked` are the rows that P(True) was asked of."""

    answers: Answers
    scores: Scores
    asked: Int[np.ndarray, " asked"]
    p_true: Float64[np.ndarray, " asked"] | None

    def rows(self, detector: str) -> tuple[Answers, Float64[np.ndarray, " some"]]:
        """The answers that a detector scores, with its scores."""
        if detector == P_TRUE and self.p_true is not None:
            return self.answers.take(self.asked), self.p_true
        return self.answers, self.scores[detector]


def find_confidence(work: LayersWork) -> Confidence:
    """How sure the model is, how right it is, and when it should rather say nothing.

    Raises:
        NotEnoughDataError: no evaluation set has enough answers of both kinds, or probabilities were not recorded.
    """
    missing: dict[str, str] = {}
    dev = read_measured(work.run, "train", "dev").answers
    sets = {name: each for name, each in evaluation_sets(work.run).items() if _enough(each)}
    if not sets or dev.log_prob is None or dev.entropy is None or dev.n_answer is None:
        raise NotEnoughDataError(
            f"no evaluation set has {FEWEST} hallucinated and {FEWEST} faithful answers with recorded probabilities; "
            "ask more questions"
        )
    for name in work.names:
        if name not in sets:
            missing[name] = f"fewer than {FEWEST} answers of either kind"
    truths, truth_found = _truth(work, sets, dev, missing)
    doubted = {name: _doubted(work, answers, truths.get(name)) for name, answers in sets.items()}
    held = _doubted(work, dev, truths.get("train"))
    n, seed = work.settings.n_bootstrap, work.settings.seed
    return Confidence(
        calibration=_calibration(work, doubted),
        confident=tuple(each for answers in sets.values() for each in confident(dev, answers, resamples=n, seed=seed)),
        boundary=_boundary(work, sets, missing),
        sampled=_sampled(work, missing),
        p_true=truth_found,
        curves=tuple(each for name, doubts in doubted.items() for each in _curves(work, name, doubts)),
        random=tuple(
            random_risk(name, [each.scores(answers) for each in work.fitted.draws[RANDOM]], answers.hallucinated)
            for name, answers in sets.items()
        ),
        abstaining=_abstaining(work, held, doubted),
        missing=missing,
    )


def _enough(answers: Answers) -> bool:
    return min(int(answers.hallucinated.sum()), int((~answers.hallucinated).sum())) >= FEWEST


@dataclass(frozen=True)
class _Asked:
    """What P(True) said of some rows of one set; `scores` are on the scale that dev gave them."""

    rows: Int[np.ndarray, " asked"]
    truth: TruthRows
    scores: Float64[np.ndarray, " asked"]


def _doubted(work: LayersWork, answers: Answers, asked: _Asked | None) -> Doubted:
    scores = {detector.name: detector.scores(answers) for detector in work.fitted.detectors}
    scores[OWN] = own_doubt(answers)
    rows = np.zeros(0, dtype=np.int64) if asked is None else asked.rows
    return Doubted(answers, scores, rows, None if asked is None else asked.scores)


def _truth(
    work: LayersWork, sets: Mapping[str, Answers], dev: Answers, missing: dict[str, str]
) -> tuple[dict[str, _Asked], TruthAsked | None]:
    """P(True) of answers of every set and of dev ("train"); none where the model cannot be asked."""
    try:
        tokens = truth_tokens(work.model.tokenizer)
        places = _places(work, sets)
        chosen: dict[str, set[int]] = {}
        for each in places.values():
            for source, number in each.values():
                chosen.setdefault(source, set()).add(number)
        truths = ask_truth(work, {name: sorted(numbers) for name, numbers in chosen.items()}, tokens)
    except (ModelError, ResponseError) as error:
        missing["p_true"] = str(error)
        return {}, None
    everything = {**sets, "train": dev}
    rows = {name: _truth_rows(everything[name], each, truths) for name, each in places.items()}
    seen = rows["train"][1]
    if not _enough_rows(seen) or any(not _enough_rows(each) for _, each in rows.values()):
        missing["p_true"] = f"fewer than {FEWEST} answers of either kind have a prompt that the model can read"
        return {}, None
    scale = calibrate(seen.own, seen.hallucinated)
    asked = {name: _Asked(numbers, each, scale.scores(each.own)) for name, (numbers, each) in rows.items()}
    settings = work.settings
    found = [
        asked_truth(
            name, asked[name].truth, resamples=settings.n_bootstrap, permutations=settings.n_permutations,
            seed=settings.seed,
        )
        for name in sets
    ]  # fmt: skip
    return asked, TruthAsked(
        prompt=TURN,
        yes=_written(work, tokens.yes),
        no=_written(work, tokens.no),
        dev_auroc=float(metrics.auroc(seen.hallucinated, 1 - seen.own, np.ones((1, len(seen.own))))[0]),
        sets=_with_q(found),
    )


def _with_q(found: list[AskedTruth]) -> tuple[AskedTruth, ...]:
    chances = corrected([each.chance for each in found])
    return tuple(each.model_copy(update={"chance": chance}) for each, chance in zip(found, chances, strict=True))


def _written(work: LayersWork, tokens: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(str(work.model.tokenizer.decode([token])) for token in tokens)


def _places(work: LayersWork, sets: Mapping[str, Answers]) -> dict[str, dict[int, tuple[str, int]]]:
    """For each set the rows that P(True) is asked of, and which judged answer of which set each is."""
    judged = {name: judged_of(work, name) for name in work.names}
    flags = {name: np.array([each.hallucinated for each in own], dtype=np.bool_) for name, own in judged.items()}
    n_each = work.settings.n_each
    found: dict[str, dict[int, tuple[str, int]]] = {}
    for name, parts in evaluation_rows(work.run, flags).items():
        if name not in sets:
            continue
        own = [(source, int(number)) for source, numbers in parts for number in numbers]
        keys = [judged[source][number].key for source, number in own]
        chosen = few_of_either(work, keys, [judged[source][number].hallucinated for source, number in own], n_each)
        found[name] = {row: own[row] for row in chosen}
    dev = judged_of(work, "train", "dev")
    chosen = few_of_either(work, [each.key for each in dev], [each.hallucinated for each in dev], n_each)
    found["train"] = {row: ("train", row) for row in chosen}
    return found


def _truth_rows(
    answers: Answers, places: Mapping[int, tuple[str, int]], truths: Truths
) -> tuple[Int[np.ndarray, " asked"], TruthRows]:
    rows = [row for row, place in places.items() if place in truths.own]
    at = [places[row] for row in rows]
    taken = np.array(rows, dtype=np.int64)
    return taken, TruthRows(
        hallucinated=answers.hallucinated[taken],
        groups=answers.groups[taken],
        own=np.array([truths.own[place] for place in at], dtype=np.float64),
        swapped=np.array([truths.swapped.get(place, np.nan) for place in at], dtype=np.float64),
        mass=np.array([truths.mass[place] for place in at], dtype=np.float64),
    )


def _enough_rows(rows: TruthRows) -> bool:
    return min(int(rows.hallucinated.sum()), int((~rows.hallucinated).sum())) >= FEWEST // 2


def _calibration(work: LayersWork, doubted: Mapping[str, Doubted]) -> tuple[Calibration, ...]:
    """Every detector on every set; `q` corrects the tests against perfect calibration for their number."""
    n, seed = work.settings.n_bootstrap, work.settings.seed
    found = []
    for name, doubts in track(list(doubted.items()), "calibration"):
        for source in _names(doubts):
            answers, p = doubts.rows(source)
            found.append(
                calibration(name, source, answers.hallucinated, p, answers.groups, resamples=n, draws=n, seed=seed)
            )
    tested = corrected([each.perfect for each in found])
    return tuple(each.model_copy(update={"perfect": perfect}) for each, perfect in zip(found, tested, strict=True))


def _names(doubts: Doubted) -> list[str]:
    return [OWN, *(each for each in doubts.scores if each != OWN), *([P_TRUE] if doubts.p_true is not None else [])]


def _curves(work: LayersWork, name: str, doubts: Doubted) -> list[RiskCoverage]:
    how: dict[str, Any] = {"resamples": work.settings.n_bootstrap, "seed": work.settings.seed}
    answers, scores = doubts.answers, dict(doubts.scores)
    found = risk_coverage(name, scores, answers.hallucinated, answers.groups, ENTROPY, **how)
    if doubts.p_true is not None:  # held against entropy on the answers that it was asked of
        some, p = doubts.rows(P_TRUE)
        both = {P_TRUE: p, ENTROPY: scores[ENTROPY][doubts.asked]}
        found += risk_coverage(name, both, some.hallucinated, some.groups, ENTROPY, **how)[:1]
    return found


def _abstaining(work: LayersWork, held: Doubted, doubted: Mapping[str, Doubted]) -> Abstaining:
    """Thresholds from dev, one answer a group, and what they do elsewhere; those with a promise are saved."""
    n, seed = work.settings.n_bootstrap, work.settings.seed
    choices: list[Choice] = []
    outcomes: list[Outcome] = []
    names = [each for each in ABSTAINING if each in _names(held)]
    for name in track(names, "choosing thresholds"):
        answers, p = held.rows(name)
        alone = one_each(answers.groups, seed)
        for risk in RISKS:
            for guaranteed in (True, False):
                choice = choose_threshold(
                    p[alone], answers.hallucinated[alone], risk, confidence=CONFIDENCE, guaranteed=guaranteed,
                    detector=name,
                )  # fmt: skip
                choices.append(choice)
                if guaranteed:
                    _save(work, choice)
                for eval_set, doubts in doubted.items():
                    tested, scores = doubts.rows(name)
                    outcomes.append(
                        outcome(eval_set, choice, scores, tested.hallucinated, tested.groups, resamples=n, seed=seed)
                    )
    return Abstaining(choices=tuple(choices), outcomes=tuple(outcomes))


def _save(work: LayersWork, choice: Choice) -> None:
    made = Abstention(
        detector=choice.detector, threshold=choice.threshold, risk=choice.risk, confidence=choice.confidence
    )
    spelled = "".join(letter if letter.isalnum() else "-" for letter in choice.detector.lower()).strip("-")
    made.save(work.folder("confidence") / "abstaining" / f"{spelled}-{choice.risk:g}.json")


def _boundary(work: LayersWork, sets: Mapping[str, Answers], missing: dict[str, str]) -> tuple[Boundary, ...]:
    """Accuracy and confidence by the field that growth goes by, on the sets whose questions have it."""
    by = make_origin_settings(work.run.config.model).by
    if by is None:
        missing["boundary"] = "no field of the questions is known to say how familiar they are"
        return ()
    n, seed = work.settings.n_bootstrap, work.settings.seed
    found = []
    for name, answers in sets.items():
        if work.run.config.evaluate[name].faithful_from is not None:
            continue
        levels = {question.id: level_of(question, by) for question in read_questions(work.run, name)}
        own = [levels[each.question_id] for each in judged_of(work, name)]
        try:
            asked = asked_questions(work, name, by)
        except EndpointError as error:
            missing["boundary"] = str(error)
            return ()
        made = boundary(name, by, asked, answers, own, resamples=n, seed=seed)
        if made is not None:
            found.append(made)
    if not found:
        missing["boundary"] = f"no evaluation set has the field {by!r} in few values"
    return tuple(found)


def _sampled(work: LayersWork, missing: dict[str, str]) -> Sampled | None:
    settings = work.settings
    try:
        return sampled(
            drawn_questions(work),
            resamples=settings.n_bootstrap,
            permutations=settings.n_permutations,
            seed=settings.seed,
        )
    except (EndpointError, NotEnoughDataError) as error:
        missing["sampled"] = str(error)
        return None
