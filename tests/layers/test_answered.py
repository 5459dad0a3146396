"""What the tokens of a prompt stand for, and where a given and a right answer part."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from hneurons.errors import ResponseError
from hneurons.layers.answered import Answered, Fork, fork_of, segments, subject_of
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses.offsets import decode_with_offsets
from hneurons.responses.response import Response


def asked(text: str, **meta: str) -> Question:
    return Question(id="q", text=text, meta=dict(meta))


def said(tokenizer: Any, text: str, token_ids: list[int] | None = None) -> Response:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"] if token_ids is None else token_ids
    found, offsets = decode_with_offsets(tokenizer, ids)
    assert found == text
    return Response(question_id="q", sample=0, token_ids=tuple(ids), text=text, offsets=offsets, finish="stop")


def carrying(response: Response, part: str) -> tuple[tuple[int, int], int]:
    start = response.text.index(part)
    return (start, start + len(part)), next(i for i, (_, end) in enumerate(response.offsets) if end > start)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Which state is Abbeville County in?", "Abbeville County"),
        ("Who wrote The Old Man, and when?", "The Old Man"),
        ("What is Lima's time zone?", "Lima"),
        ("Who was “Ada Lovelace”?", "Ada Lovelace"),
        ("Which one is it?", None),
    ],
)
def test_the_subject_is_the_longest_run_of_capitals(text: str, subject: str | None) -> None:
    assert subject_of(asked(text)) == subject


def test_a_stated_subject_comes_first_if_it_is_in_the_text() -> None:
    text = "What country does Rio de Janeiro belong to?"
    assert subject_of(asked(text, subject="Rio de Janeiro")) == "Rio de Janeiro"
    assert subject_of(asked(text, subject="Lima")) == "Janeiro"


def test_segments_cover_a_chat_and_nothing_twice(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    question = "Where is Paris?"
    ids = PromptFormat().token_ids(question, tiny_tokenizer)
    found = segments(tiny_tokenizer, ids, question=question, subject="Paris")
    assert len(found) == len(ids)
    assert found[0] == "first"
    by_part = {
        part: "".join(tiny_tokenizer.decode([i]) for i, own in zip(ids, found, strict=True) if own == part)
        for part in ("question", "subject")
    }
    assert by_part["subject"].strip() == "Paris"
    assert by_part["question"].replace(" ", "") == "Whereis?"
    outside = [own for own in found if own not in ("question", "subject")]
    assert set(outside) == {"first", "template"}


def test_the_space_before_a_subject_decides_nothing(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    alone = [i for i in range(len(tiny_tokenizer)) if len(text := tiny_tokenizer.decode([i])) == 2 and text[0] == " "]
    ids = [*tiny_tokenizer("Where is")["input_ids"], alone[0]]  # one token: a space of the question, a letter of it
    subject = tiny_tokenizer.decode(alone[:1])[1]
    found = segments(tiny_tokenizer, ids, question=f"Where is {subject}", subject=subject)
    assert found[-1] == "subject"
    assert "subject" not in found[:-1]


def test_a_context_is_told_from_the_question(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    context, question = "Paris is in Peru.", "Where is Paris?"
    ids = tiny_tokenizer(f"Read: {context} Now say: {question}")["input_ids"]
    found = segments(tiny_tokenizer, ids, question=question, subject="Paris", context=context)
    marked = "".join(tiny_tokenizer.decode([i]) for i, own in zip(ids, found, strict=True) if own == "context")
    assert marked.strip() == context
    assert found.count("subject") < found.count("context")  # the subject of the question, not that of the context
    assert found.index("subject") > found.index("context")


def test_what_is_not_in_the_prompt_is_refused(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tiny_tokenizer("Where is Paris?")["input_ids"]
    with pytest.raises(ResponseError, match="question 'Where is Rome"):
        segments(tiny_tokenizer, ids, question="Where is Rome?")
    with pytest.raises(ResponseError, match="subject 'Rome'"):
        segments(tiny_tokenizer, ids, question="Where is Paris?", subject="Rome")
    with pytest.raises(ResponseError, match="context"):
        segments(tiny_tokenizer, ids, question="Where is Paris?", context="Rome is old.")


def test_a_fork_is_where_the_tokens_part(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    response = said(tiny_tokenizer, "Paris is in Peru.")
    span, first = carrying(response, "Peru")
    fork = fork_of(tiny_tokenizer, response, [span], first, "Poland")
    assert fork is not None
    rival = tiny_tokenizer("Paris is in Poland.", add_special_tokens=False)["input_ids"]
    assert tuple(rival[: fork.index]) == response.token_ids[: fork.index]
    assert fork.given == response.token_ids[fork.index] != rival[fork.index] == fork.correct
    assert fork.index >= first


def test_without_a_rival_the_fork_is_at_the_answer(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    response = said(tiny_tokenizer, "Paris is in Peru.")
    span, first = carrying(response, "Peru")
    assert fork_of(tiny_tokenizer, response, [span], first, None) == Fork(first, response.token_ids[first], None)
    assert fork_of(tiny_tokenizer, response, [span], first, "Peru") is None  # the same answer: nothing parts


def test_a_name_spelled_otherwise_before_the_answer_does_no_harm(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    plain = said(tiny_tokenizer, "Paris is in Peru.")
    spelled = [tiny_tokenizer.convert_tokens_to_ids(letter) for letter in "Paris"]
    kept = [i for i, (start, _) in enumerate(plain.offsets) if start >= len("Paris")]
    odd = said(tiny_tokenizer, plain.text, [*spelled, *(plain.token_ids[i] for i in kept)])
    assert odd.token_ids != plain.token_ids
    forks = []
    for response in (plain, odd):
        span, first = carrying(response, "Peru")
        forks.append(fork_of(tiny_tokenizer, response, [span], first, "Poland"))
    assert forks[0] is not None
    assert forks[1] is not None
    assert (forks[1].given, forks[1].correct) == (forks[0].given, forks[0].correct)
    assert forks[1].index - forks[0].index == len(odd.token_ids) - len(plain.token_ids)


def test_an_answer_that_does_not_encode_to_its_tokens_has_no_fork(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    plain = said(tiny_tokenizer, "It is in Paris.")
    span, first = carrying(plain, "Paris")
    space, *letters = (tiny_tokenizer.convert_tokens_to_ids(letter) for letter in ("Ġ", *"Paris"))
    after = [i for i, (begin, _) in zip(plain.token_ids, plain.offsets, strict=True) if begin >= span[1]]
    before = [space] if plain.offsets[first][0] < span[0] else []
    odd = said(tiny_tokenizer, plain.text, [*plain.token_ids[:first], *before, *letters, *after])
    assert odd.token_ids != plain.token_ids
    assert fork_of(tiny_tokenizer, odd, [span], first, "Poland") is None
    assert fork_of(tiny_tokenizer, plain, [span], first, "Poland") is not None


def test_a_token_is_predicted_one_before_it() -> None:
    answered = Answered(
        key="q#0",
        eval_set="s",
        kind="",
        group="q",
        prompt_ids=(5, 6, 7),
        response_ids=(8, 9),
        answer=(1,),
        hallucinated=True,
        segments=("first", "template", "template"),
        fork=None,
        question=asked("Where?"),
        text="",
    )
    assert answered.token_ids[answered.predicts(1) + 1] == 9
    assert answered.predicts(0) == 2
