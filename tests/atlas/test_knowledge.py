"""What a base model believes: shares and guesses of samples that are made up here, and how a sentence is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import pytest

from hneurons.atlas import knowledge, phrases
from hneurons.atlas.benchmarks import _fact
from hneurons.atlas.corpus import question_text
from hneurons.atlas.knowledge import Belief, beliefs, fact_in, facts_of, stated
from hneurons.atlas.wordings import ANSWERS, COMPOUNDS, QUESTIONS, STATEMENTS
from hneurons.atlas.world import places
from hneurons.models.language_model import LanguageModel
from hneurons.responses.response import Response
from hneurons.responses.sampling import Prompt, Sampling


@dataclass
class Said:
    """Samples in the place of a model's: for each fact, texts with how often each is said."""

    samples: Sequence[dict[str, int]]
    asked: dict[int, Prompt] = field(default_factory=dict)

    def __call__(self, model: LanguageModel, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Response]]:
        assert sampling.n_samples == 10
        assert sampling.stop == ("\n",)
        found = []
        for prompt in prompts:
            self.asked[int(prompt.question_id)] = prompt
            texts = [text for text, times in self.samples[int(prompt.question_id)].items() for _ in range(times)]
            assert len(texts) == 10
            found.append(
                [
                    Response(
                        question_id=prompt.question_id, sample=i, token_ids=(), text=text, offsets=(), finish="stop"
                    )
                    for i, text in enumerate(texts)
                ]
            )
        return found


CASES: list[tuple[tuple[str, str, str | None], dict[str, int], Belief | None]] = [
    (
        ("Kano", "country", "Nigeria"),
        {" Kano is in Nigeria.": 7, " Nigeria": 3},  # one answer, in a sentence and bare
        Belief("Kano", "country", "Nigeria", "Nigeria", 1.0, 1.0),
    ),
    (
        ("Lyon", "country", "France"),
        {" Lyon is in France.": 4, " Mali": 3, " Lyon": 2, "": 1},
        Belief("Lyon", "country", "France", "France", 0.4, 0.4),
    ),
    (
        ("Oslo", "country", "Norway"),
        {" Norway": 1, " Oslo is in Chad.": 6, " Mali": 3},
        Belief("Oslo", "country", "Norway", "Chad", 0.6, 0.1),
    ),
    (  # said most often is the name, which is no country
        ("Zarnow", "country", None),
        {" Zarnow": 5, " Zarn is in Chad.": 3, " Mali": 2},
        Belief("Zarnow", "country", None, "Chad", 0.3, None),
    ),
    (("Wexley", "continent", None), {" Wexley is in": 6, " Chad": 4}, None),  # Chad is a value, but of no continent
    (("Chad", "capital", "N'Djamena"), {" Chad": 10}, None),
]


@pytest.fixture
def found(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Belief], Said]:
    said = Said([samples for _, samples, _ in CASES])
    monkeypatch.setattr(knowledge, "sample", said)
    return beliefs(tiny_llama, [fact for fact, _, _ in CASES], 3), said


def test_beliefs_are_the_most_frequent_values_and_how_often_they_are_right(found: tuple[list[Belief], Said]) -> None:
    expected = [belief for _, _, belief in CASES if belief is not None]
    assert found[0] == expected
    assert [each.known for each in found[0]] == [True, False, False, False]
    assert [each.unknown for each in found[0]] == [False, False, True, True]


def test_every_fact_is_asked_as_the_base_model_reads_questions(
    found: tuple[list[Belief], Said], tiny_llama: LanguageModel
) -> None:
    for index, ((subject, relation, _), _, _) in enumerate(CASES):
        texts = [question_text(wording.format(s=subject)) for wording in QUESTIONS[relation]]
        prompts = [tuple(tiny_llama.tokenizer(text)["input_ids"]) for text in texts]
        assert found[1].asked[index].token_ids in prompts
    assert len(found[1].asked) == len(CASES)


def test_facts_of_places_are_all_their_facts() -> None:
    by_name = {place.name: place for place in places()}
    assert facts_of([by_name["Lyon"], by_name["Autauga County"]]) == [
        ("Lyon", "country", "France"),
        ("Lyon", "continent", "Europe"),
        ("Lyon", "time zone", "Paris"),
        ("Autauga County", "state", "Alabama"),
    ]


def by_hand(text: str, relation: str) -> str | None:
    """The fact of a sentence, with no regular expression: what stands behind the last of the words before it."""
    head, rest = ANSWERS[relation].split("{s}")
    middle, tail = rest.split("{o}")
    text = text.strip()
    if not (text.startswith(head) and text.endswith(tail)):
        return None
    _, middle, fact = text[len(head) : len(text) - len(tail)].rpartition(middle)
    return fact if middle and fact else None


def test_one_parser_reads_every_wording_as_by_hand() -> None:
    """Every sentence there is, about a place of each kind, read as a sentence of every relation."""
    chosen = {place.kind: place for place in places() if place.bin == 4}
    before = [each.partition("{")[0] for each in (phrases.FIRM, phrases.CAVED, phrases.OPENED)]
    read, values = 0, 0
    for place in chosen.values():
        texts = [
            wording.format(s=place.name, o=fact)
            for relation, fact in place.facts.items()
            for wording in (*STATEMENTS[relation], ANSWERS[relation], " {o}", "{o}.")
        ]
        texts += [wording.format(s=place.name) for asked in QUESTIONS.values() for wording in asked]
        if place.kind == "city":
            fields = {"country": place.facts["country"], "continent": "Mars", "zone": place.facts["time zone"]}
            texts += [wording.format(s=place.name, **fields) for wording in COMPOUNDS]
        texts += [f"{place.name} is in a country I do not know.", " is in Chad.", "is in ."]
        texts += ["The capital of  is Paris.", "Lyon is in Mali is in Chad.", "The capital of Chad is what is Paris."]
        texts += [opening + text for opening in before for text in texts[:30]]
        for text in texts:
            for relation in ANSWERS:
                fact = by_hand(text, relation)
                assert stated(text, relation) == fact, (text, relation)
                assert fact_in(text, relation) == (text.strip() if fact is None else fact)
                real = fact if fact in _every_value(relation) else None
                assert _fact(text, relation) == real, (text, relation)
                read, values = read + (fact is not None), values + (real is not None)
    assert read > values > 50


@cache
def _every_value(relation: str) -> set[str]:
    found = set()
    for place in places():
        if relation in place.facts:
            found |= {place.facts[relation], *place.aliases.get(relation, ())}
    return found
