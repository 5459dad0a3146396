"""One judged answer as the layers are asked about it: its tokens, what each stands for, and where it could have turned.

What is read at a token is read where that token is *predicted*, one position before it, unless a function says
otherwise: there the choice is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hneurons.errors import ResponseError
from hneurons.questions.question import Question
from hneurons.responses.offsets import decode_with_offsets
from hneurons.responses.response import Response, Span

Segment = Literal["first", "template", "question", "subject", "context"]
"""What a token of a prompt stands for.

"first": the first token, where attention rests that has nowhere to go. "subject": the thing that is asked about.
"question": the rest of the question. "context": a passage that the prompt brings along. "template": everything else,
such as the turns of a chat and the instruction.
"""
SEGMENTS: tuple[Segment, ...] = get_args(Segment)


@dataclass(frozen=True)
class Fork:
    """Where the given and the right answer part, and how each goes on there.

    Attributes:
        index: index into the response of the token that decides; it is predicted at position
            `len(prompt_ids) + index - 1`.
        given: the token that the model put there.
        correct: the token with which the right answer goes on; None where there is no right answer.
    """

    index: int
    given: int
    correct: int | None


@dataclass(frozen=True)
class Answered:
    """One judged answer.

    Attributes:
        key: names it: QUESTION#SAMPLE.
        eval_set: the set it is of.
        kind: the kind of question; empty where questions have none.
        group: what splits and resamples keep together.
        prompt_ids: the prompt.
        response_ids: the response, as it was generated.
        answer: indices into the response of the tokens that carry the claim, ascending.
        hallucinated: the verdict.
        segments: what each token of the prompt stands for.
        fork: where it could have turned; None where given and right answer are not two continuations of one text.
        question: as it was asked.
        text: the response as text.
    """

    key: str
    eval_set: str
    kind: str
    group: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    answer: tuple[int, ...]
    hallucinated: bool
    segments: tuple[Segment, ...]
    fork: Fork | None
    question: Question
    text: str

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Prompt and response."""
        return self.prompt_ids + self.response_ids

    def predicts(self, index: int) -> int:
        """The position that predicts token `index` of the response."""
        return len(self.prompt_ids) + index - 1


def subject_of(question: Question) -> str | None:
    """What a question asks about: `meta["subject"]`, else the longest run of capitalised words after the first word.

    None where neither is found. The rule is rough; a question set that knows its subjects says so in `meta`.
    """
    stated = question.meta.get("subject")
    if isinstance(stated, str) and stated in question.text:
        return stated
    runs: list[list[str]] = [[]]
    words = question.text.split()
    for word in words[1:]:
        bare = word.strip("\"'“”‘’()[].,;:!?")
        if bare[:1].isupper() or (bare[:1].isdigit() and runs[-1]):
            runs[-1].append(word)
        else:
            runs.append([])
    best = max(runs, key=lambda run: len(" ".join(run)))
    found = re.sub(r"(?:'s|’s)?[\"'“”‘’)\].,;:!?]*$", "", " ".join(best)).lstrip("\"'“”‘’([")
    return found if found and found in question.text else None


def segments(
    tokenizer: Any, token_ids: Sequence[int], *, question: str, subject: str | None = None, context: str | None = None
) -> tuple[Segment, ...]:
    """What each token of a prompt stands for; one in two parts belongs where more of it lies, spaces aside.

    Args:
        tokenizer: that the prompt was written with.
        token_ids: the prompt.
        question: its text; where it stands more than once, the last place counts.
        subject: a part of the question; "subject" marks the last place of it in the question.
        context: the text of a passage in the prompt.

    Raises:
        ResponseError: question, subject or context is not in the prompt.
    """
    text, offsets = decode_with_offsets(tokenizer, token_ids)
    parts: list[tuple[Segment, Span]] = []
    asked = _place(text, question, "question")
    if context is not None:
        parts.append(("context", _place(text, context, "context")))
    parts.append(("question", asked))
    if subject is not None:
        start = question.rfind(subject)
        if start < 0:
            raise ResponseError(f"the subject {subject!r} is not in the question {question!r}; name a part of it")
        parts.append(("subject", (asked[0] + start, asked[0] + start + len(subject))))
    owners: list[Segment] = ["template"] * len(text)
    for name, (begin, end) in parts:  # the subject last: it lies within the question
        owners[begin:end] = [name] * (end - begin)
    found = [_most(owners, text, span) for span in offsets]
    if found:
        found[0] = "first"
    return tuple(found)


def fork_of(tokenizer: Any, response: Response, spans: Sequence[Span], answer: int, correct: str | None) -> Fork | None:
    """Where a response parts from the same response with `correct` in the place of its answer.

    Args:
        tokenizer: of the model.
        response: as it was generated.
        spans: of its answer in the text; the right answer takes the place of the whole.
        answer: index of the answer's first token.
        correct: the right answer; None where there is none, or where the given one is it: the fork is then at the
            answer's first token.

    Returns:
        None where the text does not encode to the very tokens that were generated, so that the two cannot be compared,
        or where the answers do not differ before one of them ends.
    """
    ids, text = response.token_ids, response.text
    if correct is None:
        return Fork(answer, ids[answer], None)
    begin, end = min(start for start, _ in spans), max(stop for _, stop in spans)
    other = text[:begin] + correct + text[end:]
    for first in (0, answer):  # from the answer on, where a name before it was spelled in another way than it encodes
        start = response.offsets[first][0]
        given = tokenizer(text[start:], add_special_tokens=False)["input_ids"]
        if start > begin or tuple(given) != ids[first : first + len(given)]:
            continue
        rival = tokenizer(other[start:], add_special_tokens=False)["input_ids"]
        for index, (ours, theirs) in enumerate(zip(given, rival, strict=False), first):
            if ours != theirs:
                return Fork(index, ours, int(theirs))
        return None
    return None


def _place(text: str, part: str, name: str) -> Span:
    start = text.rfind(part.strip())
    if start < 0:
        raise ResponseError(f"the {name} {part!r} does not stand in the prompt as it is; its tokens cannot be found")
    return start, start + len(part.strip())


def _most(owners: Sequence[Segment], text: str, span: Span) -> Segment:
    own = owners[span[0] : span[1]]
    letters = [owner for owner, each in zip(own, text[slice(*span)], strict=True) if not each.isspace()]
    return max(SEGMENTS, key=(letters or own).count) if own else "template"
