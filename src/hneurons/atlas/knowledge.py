"""What a base model itself knows: its own answers, sampled, for every fact that tuning may ask about."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from hneurons.atlas.corpus import question_text
from hneurons.atlas.wordings import ANSWERS, QUESTIONS
from hneurons.atlas.world import Place, places, stable_random
from hneurons.models.language_model import LanguageModel
from hneurons.progress import track
from hneurons.responses.sampling import Prompt, Sampling, batches, sample

KNOWN, UNKNOWN = 0.9, 0.1
"""A fact is known when at least this share of the samples is right, unknown when at most this share is."""


@dataclass(frozen=True)
class Belief:
    """What the base model says about one fact: its most frequent answer, how frequent that is, and how often right.

    `right` is None for an invented place, about which nothing is right.
    """

    subject: str
    relation: str
    truth: str | None
    guess: str
    share: float
    right: float | None

    @property
    def known(self) -> bool:
        return self.right is not None and self.right >= KNOWN

    @property
    def unknown(self) -> bool:
        return self.right is None or (self.right <= UNKNOWN and self.guess != self.truth)


def stated(text: str, relation: str) -> str | None:
    """What the relation's sentence gives as its fact; None where the text is no such sentence.

    The sentence counts whatever place it names: an unknown name is often miscopied.
    """
    match = _sentence(relation).fullmatch(text.strip())
    return match.group(1) if match else None


@cache
def _sentence(relation: str) -> re.Pattern[str]:
    before, after = ANSWERS[relation].format(s="\x00", o="\x01").split("\x01")
    return re.compile(".*".join(map(re.escape, before.split("\x00"))) + "(.+)" + re.escape(after))


def fact_in(answer: str, relation: str) -> str:
    """The fact that an answer of the base model gives: that of the relation's sentence, or else the bare answer."""
    return stated(answer, relation) or answer.strip()


def beliefs(model: LanguageModel, facts: Sequence[tuple[str, str, str | None]], seed: int) -> list[Belief]:
    """Sample ten answers of a base model to each (subject, relation, truth or None) and sum them up.

    A guess is a value of the relation: what is none (the name again, half a sentence) is no guess, and a fact to which
    no sample gives one is left out.
    """
    values: dict[str, set[str]] = defaultdict(set)
    for place in places():
        for relation, fact in place.facts.items():
            values[relation].add(fact)
    prompts = []
    for i, (subject, relation, _) in enumerate(facts):
        question = stable_random(seed, subject, relation).choice(QUESTIONS[relation]).format(s=subject)
        ids = model.tokenizer(question_text(question))["input_ids"]
        prompts.append(Prompt(str(i), tuple(ids)))
    sampling = Sampling(max_new_tokens=24, seed=seed, stop=("\n",))
    found: dict[int, Belief] = {}
    parts = batches(prompts, 64)
    for part in track(parts, "asking the base model"):
        for prompt, responses in zip(part, sample(model, part, sampling), strict=True):
            index = int(prompt.question_id)
            subject, relation, truth = facts[index]
            said = Counter(fact_in(response.text, relation) for response in responses)
            guesses = [(count, value) for value, count in said.most_common() if value in values[relation]]
            if guesses:
                count, guess = guesses[0]
                right = None if truth is None else said[truth] / len(responses)
                found[index] = Belief(subject, relation, truth, guess, count / len(responses), right)
    return [found[i] for i in sorted(found)]


def facts_of(places: Sequence[Place]) -> list[tuple[str, str, str | None]]:
    """Every fact of `places`, as `beliefs` asks for them."""
    return [(place.name, relation, fact) for place in places for relation, fact in place.facts.items()]
