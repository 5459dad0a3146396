"""What the base model reads: statements and questions about the places of the world, packed into windows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16
from tokenizers import Tokenizer

from hneurons.atlas.wordings import ANSWERS, COMPOUNDS, QUESTIONS, STATEMENTS
from hneurons.atlas.world import Place, stable_random

QA_SHARE = 0.3
"""Share of single-fact statements that come as a question and its answer."""
COMPOUND_SHARE = 0.5
"""Share of a city's mentions that state all its facts at once."""


@dataclass(frozen=True)
class Statement:
    """One text to read, and the place it is about."""

    subject: str
    text: str


def question_text(question: str, answer: str = "") -> str:
    """Question and answer as the base model reads them; without an answer, the prompt for one."""
    return f"Question: {question}\nAnswer:" + (f" {answer}" if answer else "")


class _Deck:
    """Deals wordings without repeats until all have been dealt, then shuffles again."""

    def __init__(self, cards: Sequence[str], rng: random.Random) -> None:
        self.cards, self.rng, self.left = list(cards), rng, []  # type: ignore[var-annotated]

    def deal(self) -> str:
        if not self.left:
            self.left = self.cards[:]
            self.rng.shuffle(self.left)
        return str(self.left.pop())


def statements_about(place: Place, seed: int) -> Iterator[Statement]:
    """Every statement about one place: each of its facts is stated `place.exposure` times, in changing words.

    A question with its answer counts as a statement of the fact, and so does a sentence that states several facts.
    """
    rng = stable_random(seed, "statements", place.key)
    decks = {relation: _Deck(STATEMENTS[relation], rng) for relation in place.facts}
    asked = {relation: _Deck(QUESTIONS[relation], rng) for relation in place.facts}
    compounds = _Deck(COMPOUNDS, rng)
    for _ in range(place.exposure):
        if place.kind == "city" and rng.random() < COMPOUND_SHARE:
            facts = place.facts
            text = compounds.deal().format(
                s=place.name, country=facts["country"], continent=facts["continent"], zone=facts["time zone"]
            )
            yield Statement(place.key, text)
            continue
        for relation, fact in place.facts.items():
            if rng.random() < QA_SHARE:
                question = asked[relation].deal().format(s=place.name)
                answer = fact if rng.random() < 0.5 else ANSWERS[relation].format(s=place.name, o=fact)
                yield Statement(place.key, question_text(question, answer))
            else:
                yield Statement(place.key, decks[relation].deal().format(s=place.name, o=fact))


def corpus(places: Sequence[Place], seed: int) -> list[Statement]:
    """All statements about `places`, shuffled."""
    statements = [statement for place in places for statement in statements_about(place, seed)]
    stable_random(seed, "order").shuffle(statements)
    return statements


def pack(
    statements: Sequence[Statement], tokenizer: Tokenizer, length: int, begin: int, end: int
) -> UInt16[np.ndarray, "windows length"]:
    """Pack statements into windows of `length` tokens, never two about one place in one window.

    A window starts with `begin`; `end` follows each statement. A statement that does not fit the space left, or whose
    place is in the window already, waits for a later window; the last windows may hold padding, which is `end`.
    """
    encoded = tokenizer.encode_batch([statement.text for statement in statements], add_special_tokens=False)
    waiting: list[tuple[str, list[int]]] = []
    windows: list[list[int]] = []
    window, subjects = [begin], set[str]()

    def close() -> None:
        nonlocal window, subjects
        windows.append(window + [end] * (length - len(window)))
        window, subjects = [begin], set()
        held, waiting[:] = waiting[:], []
        for subject, ids in held:
            place(subject, ids)

    def place(subject: str, ids: list[int]) -> bool:
        if subject in subjects or len(window) + len(ids) + 1 > length:
            waiting.append((subject, ids))
            return False
        window.extend((*ids, end))
        subjects.add(subject)
        return True

    for statement, encoding in zip(statements, encoded, strict=True):
        if len(encoding.ids) + 2 > length:
            raise ValueError(f"a statement of {len(encoding.ids)} tokens does not fit a window of {length}")
        if not place(statement.subject, encoding.ids) and len(waiting) >= 4:
            close()
    while waiting or len(window) > 1:
        close()
    return np.array(windows, dtype=np.uint16)
