"""The world of the bundled models: drawn from one seed, split by place, and read as often as it says."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from hneurons.atlas.corpus import Statement, corpus, pack, statements_about
from hneurons.atlas.invented import invented, invented_names, known_names
from hneurons.atlas.questions import SETS
from hneurons.atlas.tokenizing import train_tokenizer
from hneurons.atlas.wordings import ANSWERS, QUESTIONS, STATEMENTS
from hneurons.atlas.world import BINS, N_CITIES, Place, bin_weights, cities, counties, countries, places, pool_of


def test_facts_that_anybody_can_check() -> None:
    by_name = {place.name: place for place in places()}
    assert by_name["Lyon"].facts == {"country": "France", "continent": "Europe", "time zone": "Paris"}
    assert by_name["Japan"].facts["capital"] == "Tokyo"
    assert by_name["Japan"].facts["calling code"] == "+81"
    assert by_name["Kenya"].facts["currency"] == "Shilling"
    assert "Washington County" not in by_name  # of many states
    assert by_name["Autauga County"].facts == {"state": "Alabama"}
    assert not {"Netherlands Antilles", "Serbia and Montenegro"} & set(by_name)


def test_exposure_lies_in_its_bin_and_unseen_places_are_thousands() -> None:
    assert len(cities()) == N_CITIES
    assert all(BINS[place.bin][0] <= place.exposure <= BINS[place.bin][1] for place in places())
    assert sum(place.exposure == 0 for place in cities()) > 3000


def test_questions_say_how_many_statements_were_read() -> None:
    names = ("atlas/cities", "atlas/countries", "atlas/counties")
    asked = [question for name in names for question in SETS[name]("all").questions]
    for question in asked:
        low, _, high = str(question.meta["statements read"]).partition("-")
        assert int(low) <= int(question.meta["exposure"]) <= int(high or low)
    read = {question.meta["statements read"] for question in asked}
    assert read == {"0", "1-3", "5-10", "20-50", "100-130"}
    rare = {question.meta["statements read"] for question in SETS["atlas/rare"]("validation").questions}
    assert rare == {"1-3", "5-10"}
    assert not any("statements read" in question.meta for question in SETS["atlas/invented"]("all").questions)


def test_known_is_not_just_famous() -> None:
    """Exposure rises with population, and yet every bin occurs in every decile."""
    found = Counter((place.decile, place.bin) for place in cities())
    assert all(found[decile, index] for decile in range(10) for index in range(len(BINS)))
    top = [found[decile, 4] for decile in range(10)]
    assert top[9] > 3 * top[0]
    for decile in range(10):
        weights = bin_weights(decile)
        everything = sum(found[decile, index] for index in range(len(BINS)))
        # a few that are met as answers cannot be unseen: bin 0 has a little less than its share
        for index in range(1, len(BINS)):
            assert found[decile, index] / everything == pytest.approx(weights[index] / sum(weights), abs=0.05)


def test_an_unseen_city_is_never_an_answer_either() -> None:
    """But for three that share their name with a US state."""
    spoken = {fact for place in places() for fact in place.facts.values()}
    unseen = {place.name for place in cities() if place.exposure == 0}
    assert unseen & spoken == {"Delaware", "Montana", "Wyoming"} < {county.facts["state"] for county in counties()}
    assert {place.name for place in cities() if place.exposure} & spoken  # others are: the check can fail


def test_names_mean_one_place() -> None:
    names = Counter(place.name for place in places())
    assert [name for name, count in names.items() if count > 1] == []


def test_the_pool_of_a_place_is_its_hash() -> None:
    assert all(place.pool == pool_of(place.key) for place in places())
    shares = Counter(place.pool for place in cities())
    assert shares["tune"] / N_CITIES == pytest.approx(0.4, abs=0.02)
    assert shares["validation"] / N_CITIES == pytest.approx(0.2, abs=0.02)


def _mentions(place: Place, statement: Statement) -> set[str]:
    """Relations that a statement states, found without the generator: by which of its facts' wordings fit."""
    if statement.text.startswith("Question: "):
        question = statement.text.split("\n")[0].removeprefix("Question: ")
        return {r for r in place.facts if question in {each.format(s=place.name) for each in QUESTIONS[r]}}
    single = {
        r
        for r, fact in place.facts.items()
        if statement.text in {w.format(s=place.name, o=fact) for w in STATEMENTS[r]}
    }
    return single or set(place.facts)


@pytest.mark.parametrize("index", [1, 2, 3, 4])
def test_every_fact_is_stated_as_often_as_its_exposure_says(index: int) -> None:
    place = next(place for place in cities() if place.bin == index)
    counts: Counter[str] = Counter()
    for statement in statements_about(place, 1):
        assert statement.subject == place.key
        counts.update(_mentions(place, statement))
    assert counts == dict.fromkeys(place.facts, place.exposure)


def test_wordings_are_many_and_each_names_place_and_fact() -> None:
    for relation, wordings in STATEMENTS.items():
        assert len(set(wordings)) == len(wordings) >= 18
        assert all("{s}" in wording and "{o}" in wording for wording in wordings)
        assert relation in ANSWERS
        assert all("{s}" in question for question in QUESTIONS[relation])


def test_no_window_holds_two_statements_about_one_place_and_none_is_lost() -> None:
    chosen = [place for place in cities() if place.bin == 2][:40]
    statements = corpus(chosen, 3)
    tokenizer = train_tokenizer((statement.text for statement in statements), 600)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    windows = pack(statements, tokenizer.backend_tokenizer, 96, begin, end)
    owner = {statement.text: statement.subject for statement in statements}
    read: Counter[str] = Counter()
    for window in windows.tolist():
        assert window[0] == begin
        texts = [text for text in tokenizer.decode(window[1:]).split("<|end|>") if text]
        subjects = [owner[text] for text in texts]
        assert len(set(subjects)) == len(subjects)
        read.update(texts)
    assert read == Counter(statement.text for statement in statements)
    # the same check finds a careless packing, which puts neighbours together
    careless = [statement.subject for statement in sorted(statements, key=lambda each: each.subject)][:3]
    assert len(set(careless)) < len(careless)


def test_the_corpus_is_the_same_every_time() -> None:
    chosen = cities()[:50]
    assert corpus(chosen, 1) == corpus(chosen, 1)
    assert corpus(chosen, 1) != corpus(chosen, 2)


def test_invented_places_do_not_exist_and_look_like_real_ones() -> None:
    names = invented_names()
    assert len(set(names)) == len(names) == 4000
    assert not {name.lower() for name in names} & known_names()
    assert "lyon" in known_names()
    real = [place.name for place in cities()]
    for measure in (len, lambda name: name.count(" "), lambda name: sum(letter in "aeiou" for letter in name)):
        mean, expected = (sum(map(measure, group)) / len(group) for group in (names, real))
        assert mean == pytest.approx(expected, rel=0.12)
    assert not set(invented("tune")) & set(invented("validation"))


def test_countries_and_counties_have_all_their_facts() -> None:
    assert all(
        set(place.facts) == {"capital", "currency", "continent", "domain", "calling code"} for place in countries()
    )
    assert all(all(place.facts.values()) for place in places())
    assert all(re.fullmatch(r"\.[a-z]+", place.facts["domain"]) for place in countries())
    assert len(counties()) > 1200
