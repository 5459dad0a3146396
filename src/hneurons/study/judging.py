"""Stage 3: verdicts and answer spans, and which answers are fitted on and reported on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.endpoint import Account
from hneurons.errors import NotEnoughDataError
from hneurons.files import write_json
from hneurons.questions.loading import rank
from hneurons.questions.question import Question
from hneurons.responses.consistency import Consistency, SelectionReport, assess, balance_parts
from hneurons.responses.response import Response, Span, Verdict
from hneurons.responses.spans import span_tokens
from hneurons.study.asking import read_questions, read_responses, sampling_of
from hneurons.study.reading import Reader
from hneurons.study.run import Run, read_record

Part = Literal["fit", "dev", "test"]


class JudgedAnswer(BaseModel):
    """One answer that a detector is fitted, tuned or tested on; `answer` are the token indices of its answer spans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: str
    group: str
    sample: int
    part: Part
    hallucinated: bool
    spans: tuple[Span, ...]
    answer: tuple[int, ...]
    n_response: int

    @property
    def key(self) -> str:
        """Names the answer in the store of its contributions."""
        return f"{self.question_id}#{self.sample}"


class SetCounts(BaseModel):
    """What became of the questions of one set: verdicts on its responses, and why answers are not used.

    `verdicts` counts responses on which an LLM was to judge and gave no verdict as "none"; there are none by rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: int
    responses: int
    verdicts: dict[str, int]
    cut_off: int
    used: dict[str, int]
    left_out: dict[str, int]
    selection: dict[str, SelectionReport] | None = None


class Judged(BaseModel):
    """The answers of every set that are used, the counts of all others, and what was asked of endpoints, by use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: dict[str, tuple[JudgedAnswer, ...]]
    counts: dict[str, SetCounts]
    endpoints: dict[str, Account] | None = None


def judge_responses(run: Run, names: Iterable[str] | None = None, *, lenient: bool = False) -> None:
    """Judge every response of every set (or of `names`), choose what is used, and write it down, once.

    With `lenient` an evaluation set with right or with wrong answers only is kept as it is, none of it left to be used
    where there is nothing to tell apart.

    Raises:
        NotEnoughDataError: the training set has too few consistent answers, or a set has none to report on.
        EndpointError: an endpoint cannot be used, or fails too often; what it answered is kept.
    """
    chosen = list(run.config.sets if names is None else names)
    if run.judged.exists() and set(chosen) <= set(read_judged(run).answers):
        return
    reader = Reader(run)
    answers: dict[str, tuple[JudgedAnswer, ...]] = {}
    counts: dict[str, SetCounts] = {}
    for name in chosen:
        if name == "train":
            answers[name], counts[name] = _choose_training(run, name, reader)
        else:
            answers[name], counts[name] = _choose_evaluation(run, name, reader, lenient)
    judged = Judged(answers=answers, counts=counts, endpoints=reader.accounts())
    write_json(run.judged, judged.model_dump(mode="json"))


def read_judged(run: Run) -> Judged:
    """What `judge_responses` wrote."""
    return read_record(run.judged, Judged)


def _counted(
    said: dict[str, list[Response]],
    verdicts: dict[str, list[Verdict | None]],
    used: Sequence[JudgedAnswer],
    left: Counter[str],
) -> SetCounts:
    flat = Counter(verdict for each in verdicts.values() for verdict in each)
    parts = Counter(f"{each.part}_{'hallucinated' if each.hallucinated else 'faithful'}" for each in used)
    return SetCounts(
        questions=len(said),
        responses=sum(map(len, said.values())),
        verdicts={
            **{verdict: flat[verdict] for verdict in ("correct", "incorrect", "refusal")},
            **({"none": flat[None]} if flat[None] else {}),
        },
        cut_off=sum(response.finish == "length" for each in said.values() for response in each),
        used=dict(sorted(parts.items())),
        left_out=dict(sorted(left.items())),
    )


def _marked(
    question: Question, response: Response, spans: tuple[Span, ...], part: Part, hallucinated: bool
) -> JudgedAnswer | None:
    """The answer with its spans, or None where there are none."""
    tokens = span_tokens(spans, response.offsets)
    if not tokens:
        return None
    return JudgedAnswer(
        question_id=question.id,
        group=question.split_key,
        sample=response.sample,
        part=part,
        hallucinated=hallucinated,
        spans=spans,
        answer=tokens,
        n_response=len(response.token_ids),
    )


def _choose_training(run: Run, name: str, reader: Reader) -> tuple[tuple[JudgedAnswer, ...], SetCounts]:
    """Consistent questions, balanced, split by group into what is fitted on and what C is chosen by."""
    settings = run.config.selection
    questions = {question.id: question for question in read_questions(run, name)}
    said = read_responses(run, name)
    verdicts = reader.verdicts(list(questions.values()), said)
    samples = sampling_of(run, name).n_samples
    left: Counter[str] = Counter()
    records: list[Consistency] = []
    for key, question in questions.items():
        judged = [verdict for verdict in verdicts[key] if verdict is not None]
        if not said[key]:
            left["no_response"] += 1
        elif len(judged) < len(said[key]):
            left["no_verdict"] += 1
        else:
            records.append(assess(question, [each.text for each in said[key]], judged, samples))
    shares = {"fit": 1 - settings.dev_share, "dev": settings.dev_share}
    selections = balance_parts(records, shares, settings.n_each, run.config.seed, settings.minimum)
    parts: tuple[Part, ...] = ("fit", "dev")
    chosen: list[tuple[Part, Consistency, bool]] = []
    for part in parts:
        left.update(selections[part].report.left_out)
        chosen += [(part, each, False) for each in selections[part].faithful]
        chosen += [(part, each, True) for each in selections[part].hallucinated]
    pairs = [(questions[each.question_id], said[each.question_id][each.representative]) for _, each, _ in chosen]
    used: list[JudgedAnswer] = []
    for (part, _, hallucinated), pair, spans in zip(chosen, pairs, reader.spans(pairs), strict=True):
        if (answer := _marked(*pair, spans, part, hallucinated)) is None:
            left["no_answer_span"] += 1
        else:
            used.append(answer)
    counts = _counted(said, verdicts, used, left)
    reports = {part: selections[part].report for part in parts}
    return tuple(used), counts.model_copy(update={"selection": reports})


def _choose_evaluation(
    run: Run, name: str, reader: Reader, lenient: bool
) -> tuple[tuple[JudgedAnswer, ...], SetCounts]:
    """One response a question: answers only, as many faithful as hallucinated (all, where the set has one kind)."""
    settings = run.config.selection
    questions = {question.id: question for question in read_questions(run, name)}
    said = read_responses(run, name)
    verdicts = reader.verdicts(list(questions.values()), said)
    left: Counter[str] = Counter()
    answered: list[tuple[Question, Response]] = []
    for key, question in questions.items():
        if not said[key]:
            left["no_response"] += 1
        elif verdicts[key][0] is None:
            left["no_verdict"] += 1
        elif verdicts[key][0] == "refusal":
            left["refusal"] += 1
        elif not said[key][0].text.strip():
            left["blank"] += 1
        else:
            answered.append((question, said[key][0]))
    kinds: dict[bool, list[JudgedAnswer]] = {False: [], True: []}
    for pair, spans in zip(answered, reader.spans(answered), strict=True):
        hallucinated = verdicts[pair[0].id][0] == "incorrect"
        if (answer := _marked(*pair, spans, "test", hallucinated)) is None:
            left["no_answer_span"] += 1
        else:
            kinds[hallucinated].append(answer)
    one_kind = not any(question.answerable for question in questions.values())
    if not lenient and (not any(kinds.values()) or (not one_kind and not all(kinds.values()))):
        found = f"{len(kinds[False])} right and {len(kinds[True])} wrong answers, {left['refusal']} refusals"
        raise NotEnoughDataError(f"{name} ({len(questions)} questions) has {found}; ask more questions, or other ones")
    most = settings.n_evaluate if one_kind else min(settings.n_evaluate, *map(len, kinds.values()))
    used: list[JudgedAnswer] = []
    for each in kinds.values():
        kept = _sampled(each, most, run.config.seed)
        if len(kept) < len(each):
            left[f"{'hallucinated' if each[0].hallucinated else 'faithful'}_beyond_the_balance"] += len(each) - len(
                kept
            )
        used += kept
    return tuple(used), _counted(said, verdicts, used, left)


def _sampled(answers: Sequence[JudgedAnswer], n: int, seed: int) -> list[JudgedAnswer]:
    """`n` answers by the smallest hash of (seed, question), in their order."""
    chosen = {each.question_id for each in sorted(answers, key=lambda each: rank(each.question_id, seed))[:n]}
    return [each for each in answers if each.question_id in chosen]
