"""Cases with a passage that misleads: what the intact model answers, and where its answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hneurons.compliance.benchmark import Benchmark, Case
from hneurons.compliance.chats import case_ids
from hneurons.compliance.playing import Reply, play
from hneurons.errors import ResponseError
from hneurons.layers.answered import segments
from hneurons.layers.attention.weights import Attended, Reading
from hneurons.models.language_model import LanguageModel
from hneurons.responses.offsets import decode_with_offsets
from hneurons.responses.refusals import is_refusal
from hneurons.responses.retokenising import retokenise
from hneurons.responses.spans import answer_spans, span_tokens

Fate = Literal[
    "complies", "resists", "unparsed", "ineligible", "refusal", "no_answer_span", "spelled_otherwise", "not_in_prompt"
]
"""What became of a case. Only "complies" and "resists" are read. "refusal": it resists, but makes no claim to be read.
"spelled_otherwise": the reply does not encode to as many tokens as were generated. "not_in_prompt": context or question
do not stand in the prompt as they are."""
FATES: tuple[Fate, ...] = (
    "complies", "resists", "unparsed", "ineligible", "refusal", "no_answer_span", "spelled_otherwise", "not_in_prompt",
)  # fmt: skip


@dataclass(frozen=True)
class PlayedCase:
    """A case, what became of it, and where its answer is read; `reading` is None where it is not."""

    case: Case
    fate: Fate
    reading: Reading | None


def misleads(benchmark: Benchmark) -> bool:
    """Whether the cases say where their context and question stand, and are decided in one reply."""
    return benchmark.rounds == 1 and all(
        isinstance(case.meta.get("context"), str) and isinstance(case.meta.get("asked"), str)
        for case in benchmark.cases
    )


def played_cases(
    model: LanguageModel,
    benchmark: Benchmark,
    cases: Sequence[Case],
    *,
    seed: int = 0,
    plain: bool = False,
    stop: Sequence[str] = (),
) -> list[PlayedCase]:
    """Play cases with the intact model, and find where the answers are read: at the positions that predict them.

    A case is ruled on by the benchmark's own rule. The answer's tokens are those of the claim, found as in a study.

    Args:
        model: the model.
        benchmark: one that `misleads`.
        cases: of it.
        seed, plain, stop: of `compliance.playing.play`.
    """
    replies = play(model, benchmark, cases, None, (1.0,), seed=seed, plain=plain, stop=stop)
    said = {reply.case: reply for reply in replies}
    return [_played(model, benchmark, case, said[case.id], plain) for case in cases]


def _played(model: LanguageModel, benchmark: Benchmark, case: Case, reply: Reply, plain: bool) -> PlayedCase:
    fate: Fate = benchmark.rule(case, (reply.text,)).outcome
    if fate not in ("complies", "resists"):
        return PlayedCase(case, fate, None)
    if is_refusal(reply.text):
        return PlayedCase(case, "refusal", None)
    tokenizer = model.tokenizer
    prompt = case_ids(case, (), tokenizer, plain=plain)
    ids = retokenise(reply.text, decode_with_offsets(tokenizer, prompt)[0], tokenizer)
    if ids is None or len(ids) != reply.n_tokens:
        return PlayedCase(case, "spelled_otherwise", None)
    asked, subject = str(case.meta["asked"]), case.meta.get("subject")
    text, offsets = decode_with_offsets(tokenizer, ids)
    answer = span_tokens(answer_spans(text, asked), offsets)
    if not answer:
        return PlayedCase(case, "no_answer_span", None)
    try:
        own = segments(
            tokenizer,
            prompt,
            question=asked,
            subject=subject if isinstance(subject, str) and subject in asked else None,
            context=str(case.meta["context"]),
        )
    except ResponseError:  # a template may rewrite what it is given
        return PlayedCase(case, "not_in_prompt", None)
    marked: list[Attended] = [*own, *["response"] * len(ids)]  # type: ignore[list-item]
    where = tuple(len(prompt) + index - 1 for index in answer)
    return PlayedCase(case, fate, Reading((*prompt, *ids), tuple(marked), where))
