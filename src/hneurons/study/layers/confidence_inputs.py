"""What confidence is asked about: P(True) of judged answers, familiarity of questions, the samples of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from hneurons.contributions.batches import Batches, plan_batches
from hneurons.contributions.item import Item
from hneurons.kept import joined, kept
from hneurons.layers.confidence.boundary import AskedQuestion
from hneurons.layers.confidence.meaning import cluster
from hneurons.layers.confidence.sampled import Drawn
from hneurons.layers.confidence.surprise import surprise
from hneurons.layers.confidence.truth import TruthTokens, p_true, swaps, truth_prompt
from hneurons.models.texts import longest_text
from hneurons.progress import track
from hneurons.questions.loading import rank
from hneurons.questions.question import Question
from hneurons.responses.response import Verdict
from hneurons.responses.spans import span_tokens
from hneurons.study.asking import prompts_of, read_questions, read_responses
from hneurons.study.judging import JudgedAnswer, Part, read_judged
from hneurons.study.layers.work import LayersWork
from hneurons.study.reading import Reader

QUESTIONS = 3
"""Training questions whose samples are read, in multiples of `n_train`: they come in their natural mix."""
Place = tuple[str, int]
"""A set, and the number of one of its judged answers."""


@dataclass(frozen=True)
class Truths:
    """What the model said of its answers: P(True) with the own answer, with a swapped one (NaN: none), and the mass."""

    own: Mapping[Place, float]
    swapped: Mapping[Place, float]
    mass: Mapping[Place, float]


def judged_of(work: LayersWork, name: str, part: Part = "test") -> list[JudgedAnswer]:
    """The judged answers of one part of a set, in the order in which they are measured."""
    return [answer for answer in read_judged(work.run).answers[name] if answer.part == part]


def few_of_either(work: LayersWork, keys: Sequence[str], hallucinated: Sequence[bool], n_each: int) -> list[int]:
    """Places of at most `n_each` answers of either kind, in order; which ones depends on their keys alone."""
    chosen: list[int] = []
    for kind in (True, False):
        own = [place for place, flag in enumerate(hallucinated) if bool(flag) == kind]
        chosen += sorted(own, key=lambda place: rank(keys[place], work.settings.seed))[:n_each]
    return sorted(chosen)


def ask_truth(work: LayersWork, places: Mapping[str, Sequence[int]], tokens: TruthTokens) -> Truths:
    """Ask the model about some judged answers of every set; those whose prompt it cannot read are left out.

    Args:
        work: the run.
        places: by set ("train" stands for its part dev) the numbers of the answers that are asked about.
        tokens: that say yes and no.
    """
    items: list[Item] = []
    for name, chosen in places.items():
        items += _truth_items(work, name, chosen, tokens)
    limit = longest_text(work.model)
    batches = plan_batches(
        [item for item in items if limit is None or len(item) <= limit],
        work.run.config.batch_tokens,
        work.settings.batch_rows,
    )

    def ask(batch: Sequence[Item]) -> dict[str, np.ndarray]:
        own, mass = p_true(work.model, [item.prompt_ids for item in batch], tokens)
        return {"p": own, "mass": mass}

    found = joined(kept(work.folder("confidence") / "truth", batches, ask, work.engine, "asking whether it is true"))
    keys = [item.key for batch in batches for item in batch]
    values: dict[str, dict[Place, float]] = {"own": {}, "swapped": {}, "mass": {}}
    for key, p, mass in zip(keys, found.get("p", ()), found.get("mass", ()), strict=True):
        kind, number, name = key.split(" ", 2)
        values[kind][name, int(number)] = float(p)
        if kind == "own":
            values["mass"][name, int(number)] = float(mass)
    return Truths(**values)


def _truth_items(work: LayersWork, name: str, chosen: Sequence[int], tokens: TruthTokens) -> list[Item]:
    """Two prompts for each answer: with its own claim, and with another's in its place."""
    judged = judged_of(work, name, "dev" if name == "train" else "test")
    questions = {question.id: question for question in read_questions(work.run, name)}
    said = read_responses(work.run, name)
    rows = [judged[place] for place in chosen]
    texts = [said[answer.question_id][answer.sample].text for answer in rows]
    hulls = [(min(a for a, _ in answer.spans), max(b for _, b in answer.spans)) for answer in rows]
    claims = [text[begin:end] for text, (begin, end) in zip(texts, hulls, strict=True)]
    kinds = np.array([questions[answer.question_id].kind for answer in rows], dtype=np.str_)
    others = swaps(kinds, claims, work.settings.seed)
    items = []
    for row, place in enumerate(chosen):
        begin, end = hulls[row]
        shown = {"own": texts[row]}
        if others[row] >= 0:
            shown["swapped"] = texts[row][:begin] + claims[others[row]] + texts[row][end:]
        question = questions[rows[row].question_id].text
        for kind, answer in shown.items():
            prompt = truth_prompt(work.run.config.prompt, work.model.tokenizer, question, answer)
            items.append(Item(f"{kind} {place} {name}", prompt, (tokens.yes[0],), (0,)))
    return items


def asked_questions(work: LayersWork, name: str, by: str) -> list[AskedQuestion]:
    """Every question of a set that has the field, with the verdict on its one response."""
    said = read_responses(work.run, name)
    questions = [each for each in read_questions(work.run, name) if level_of(each, by) is not None and said[each.id]]
    verdicts = Reader(work.run).verdicts(questions, said)
    return [
        AskedQuestion(str(level_of(each, by)), each.split_key, verdict)
        for each in questions
        if (verdict := verdicts[each.id][0]) is not None
    ]


def level_of(question: Question, by: str) -> str | None:
    """The question's value of the field; None where it has none, or no right answer."""
    value = question.meta.get(by) if question.answerable else None
    return None if value is None else str(value)


def drawn_questions(work: LayersWork) -> list[Drawn]:
    """Training questions in their natural mix whose first sample is an answer, with all their samples.

    Chosen by a hash of their ids, at most `QUESTIONS * n_train`; the study's own readers judge and mark them.
    """
    run, seed = work.run, work.settings.seed
    asked = sorted(read_questions(run, "train"), key=lambda question: rank(question.id, seed))
    said = read_responses(run, "train")
    asked = [each for each in asked if said[each.id]][: QUESTIONS * work.settings.n_train]
    firsts = {each.id: said[each.id][:1] for each in asked}
    reader = Reader(run)
    verdicts: dict[str, list[Verdict | None]] = reader.verdicts(asked, firsts)
    answered = [each for each in asked if verdicts[each.id][0] in ("correct", "incorrect")]
    pairs = [(each, firsts[each.id][0]) for each in answered]
    marked = [
        (question, response, span_tokens(spans, response.offsets))
        for (question, response), spans in zip(pairs, reader.spans(pairs), strict=True)
    ]
    marked = [each for each in marked if each[2]]
    prompts = {prompt.question_id: prompt.token_ids for prompt in prompts_of(run, "train", work.model)}
    items = [
        Item(question.id, prompts[question.id], response.token_ids, tokens) for question, response, tokens in marked
    ]
    sure = _surprises(work, plan_batches(items, run.config.batch_tokens, work.settings.batch_rows))
    used = {answer.question_id for answer in read_judged(run).answers["train"]}
    return [
        Drawn(
            group=question.split_key,
            hallucinated=verdicts[question.id][0] == "incorrect",
            samples=cluster(question.text, [each.text for each in said[question.id]]),
            left_over=question.id not in used,
            answer=sure[question.id],
        )
        for question, _, _ in track(marked, "comparing samples")
    ]


def _surprises(work: LayersWork, batches: Batches) -> dict[str, dict[str, float]]:
    """Doubt of each first answer alone: 1 - its probability, mean surprisal, and mean entropy of its tokens."""
    if not batches:
        return {}

    def measure(batch: Sequence[Item]) -> dict[str, np.ndarray]:
        return surprise(work.model, batch)

    found = joined(kept(work.folder("confidence") / "first", batches, measure, work.engine, "measuring first samples"))
    items = [item for batch in batches for item in batch]
    log_prob: Float64[np.ndarray, " items"] = found["log_prob"]
    n: Int[np.ndarray, " items"] = np.array([len(item.answer) for item in items])
    doubt = -np.expm1(log_prob * n)
    return {
        item.key: {
            "its own probability": float(doubt[place]),
            "token log-probability": float(-log_prob[place]),
            "token entropy": float(found["entropy"][place]),
        }
        for place, item in enumerate(items)
    }
