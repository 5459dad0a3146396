"""What a bare answer may leave out: words that the question has said already, a first name, the order of words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hneurons.responses.aliases import initials, without_title
from hneurons.responses.equivalence import same_rank, same_word
from hneurons.responses.grammar import word_set
from hneurons.responses.normalise import Word, words

_MOST_WORDS = 6
_JOINING = word_set("of and in to for on at by with from de du la le or percent")
_NATIONALITY = re.compile(r"\bnationalit(?:y|ies)\b", re.IGNORECASE)
_OF_A_PEOPLE = (
    ("", "n"), ("", "an"), ("", "ian"), ("", "ese"), ("", "i"), ("", "ish"), ("a", "e"), ("a", "ian"), ("a", "ese"),
    ("a", "ish"), ("y", "ian"), ("o", "an"), ("e", "ian"), ("land", "ish"), ("land", ""),
)  # fmt: skip
"""What a country's name loses, and what it gets, in the name of its people."""


def bare_answer(answer: str, alias: str, parts: Sequence[Sequence[Word]], question: str, *, person: bool) -> bool:
    """Whether the short text `answer` gives an alias, whose words are `parts`, in the light of the question.

    An answer of at most six words. "Citric" is citric acid where acid was asked for; "Fleming" is John Ambrose Fleming
    where a person was; "Argentine" is Argentina where a nationality was.
    """
    given = words(answer)
    gold = [word for part in parts for word in part]
    if not 0 < len(given) <= _MOST_WORDS:
        return False
    asked = words(question)
    return (
        _same_words(_telling(gold, ()), _telling(given, ()))
        or _same_words(_telling(gold, asked), _telling(given, asked))
        or (person and len(parts) == 1 and _family_name(without_title(tuple(gold)), given, asked))
        or _abbreviation(answer, alias)
        or bool(_NATIONALITY.search(question) and len(gold) == len(given) == 1 and _people(gold[0].text, given[0].text))
    )


def _telling(telling: Sequence[Word], asked: Sequence[Word]) -> list[Word]:
    """The words that tell something: without joining words and those of the question."""
    return [w for w in telling if w.text not in _JOINING and not any(same_word(q, w) for q in asked)]


def _same_words(gold: Sequence[Word], given: Sequence[Word]) -> bool:
    """The same words, at least one, in any order."""
    rest = list(given)
    for word in gold:
        twin = next((w for w in rest if same_word(word, w) or (len(gold) > 1 and same_rank(word, w))), None)
        if twin is None:
            return False
        rest.remove(twin)
    return bool(gold) and not rest and any(len(word.text) > 1 or word.value for word in gold)


def _family_name(gold: Sequence[Word], given: Sequence[Word], asked: Sequence[Word]) -> bool:
    """The last name alone, of a person whose alias is two to four capitalised words."""
    if len(given) != 1 or not 2 <= len(gold) <= 4 or not all(w.text.isalpha() and not w.value for w in gold):
        return False
    last = gold[-1]
    return len(last.text) > 2 and same_word(last, given[0]) and not any(same_word(q, last) for q in asked)


def _abbreviation(answer: str, alias: str) -> bool:
    """ "IWC" for "International Whaling Commission", and back; three letters at least."""
    short, long = sorted((answer.replace(".", "").strip(), alias.replace(".", "").strip()), key=len)
    return len(short) >= 3 and short.isupper() and short.isalpha() and " " in long and initials(long) == short


def _people(country: str, people: str) -> bool:
    return (
        country != "niger"
        and any(  # Nigerians are from Nigeria
            country.endswith(ending) and country[: len(country) - len(ending)] + suffix == people and len(people) > 3
            for ending, suffix in _OF_A_PEOPLE
        )
    )
