"""Answers to questions that are alike but for their subject."""

from __future__ import annotations

from typing import Any

from hneurons.layers.answered import Answered, Fork
from hneurons.questions.question import Question

PROMPT = (1, 50, 60, 61, 62, 63, 51, 90)
SEGMENTS: Any = ("first", "question", "subject", "subject", "subject", "subject", "question", "template")
RESPONSE = (70, 60, 61, 80, 81, 7, 9)


def made(number: int, hallucinated: bool, **fields: Any) -> Answered:
    """ "<s> where SUBJECT is <end>" / "The SUBJECT lies in ANSWER.", its fork at token 5."""
    subject = tuple(100 + 10 * number + k for k in range(4))
    answer = 7 if hallucinated else 8
    settings: dict[str, Any] = {
        "key": f"q{number}#0",
        "eval_set": "set",
        "kind": "city",
        "group": f"g{number}",
        "prompt_ids": (*PROMPT[:2], *subject, *PROMPT[6:]),
        "response_ids": (RESPONSE[0], *subject[1:3], *RESPONSE[3:5], answer, 9),
        "answer": (5,),
        "hallucinated": hallucinated,
        "segments": SEGMENTS,
        "fork": Fork(5, answer, 8 if hallucinated else None),
        "question": Question(id=f"q{number}", text="?"),
        "text": "",
    }
    return Answered(**settings | fields)
