"""Answers made by hand, of random tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hneurons.layers.answered import Answered, Fork
from hneurons.questions.question import Question


def given_answer(
    prompt_ids: Sequence[int],
    response_ids: Sequence[int],
    index: int,
    correct: int | None = None,
    *,
    key: str = "q#0",
    hallucinated: bool | None = None,
    group: str = "",
    eval_set: str = "set",
) -> Answered:
    """An answer whose token `index` decides; hallucinated where there is a right one, unless said otherwise."""
    return Answered(
        key=key,
        eval_set=eval_set,
        kind="",
        group=group or key,
        prompt_ids=tuple(prompt_ids),
        response_ids=tuple(response_ids),
        answer=(index,),
        hallucinated=correct is not None if hallucinated is None else hallucinated,
        segments=("first", *["question"] * (len(prompt_ids) - 1)),
        fork=Fork(index, response_ids[index], correct),
        question=Question(id=key.partition("#")[0], text="?"),
        text="",
    )


def random_answers(count: int, vocabulary: int, seed: int = 0) -> list[Answered]:
    """Answers of various lengths; every second one has a right answer beside it."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        prompt = random.integers(6, vocabulary, size=random.integers(3, 8)).tolist()
        response = random.integers(6, vocabulary, size=random.integers(2, 6)).tolist()
        index = int(random.integers(len(response)))
        right = None if number % 2 else (response[index] + 1 - 6) % (vocabulary - 6) + 6
        found.append(given_answer(prompt, response, index, right, key=f"q{number}#0"))
    return found
