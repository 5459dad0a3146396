"""Where a response gives an alias."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hneurons.responses.equivalence import same_rank, same_word
from hneurons.responses.normalise import Word

_MIDDLE_WORDS = 2


class Match(NamedTuple):
    """The words [first, last) of a response that give an alias."""

    first: int
    last: int


def matches(gold: Sequence[Word], given: Sequence[Word], *, person: bool) -> Iterator[Match]:
    """Every place in `given` where `gold` stands: as it is, written together or apart, or as a person's fuller name."""
    for first in range(len(given) - len(gold) + 1):
        if _aligned(gold, given[first : first + len(gold)]):
            yield Match(first, first + len(gold))
    yield from _joined(gold, given)
    if person:
        yield from _fuller_name(gold, given)


def _aligned(gold: Sequence[Word], given: Sequence[Word]) -> bool:
    """Word for word; numbers after a name in any notation."""
    return all(
        same_word(a, b) or (place > 0 and same_rank(a, b)) for place, (a, b) in enumerate(zip(gold, given, strict=True))
    )


def _joined(gold: Sequence[Word], given: Sequence[Word]) -> Iterator[Match]:
    """Where the letters are the same and the blanks are not: "beekeeper" for "bee keeper", "JKL" for "J K L"."""
    wanted = "".join(word.text for word in gold)
    if any(word.value and not word.capital for word in gold) and len(gold) == 1:
        return
    if len(wanted) < 4 and not (len(gold) > 1 and all(len(word.text) == 1 for word in gold)):
        return
    for first in range(len(given)):
        letters = ""
        for last in range(first, len(given)):
            letters += given[last].text
            if letters in (wanted, wanted + "s") and last + 1 - first != len(gold):
                yield Match(first, last + 1)
            if len(letters) > len(wanted):
                break


def _fuller_name(gold: Sequence[Word], given: Sequence[Word]) -> Iterator[Match]:
    """A person's first and last name around other middle names: "James J. Braddock" for "James Braddock", and back."""
    if len(gold) < 2 or not all(word.text.isalpha() for word in gold) or gold[-1].value or len(gold[-1].text) < 3:
        return
    for last, word in enumerate(given):
        if not same_word(gold[-1], word):
            continue
        for first in range(max(0, last - _MIDDLE_WORDS - 1), last):
            between = given[first + 1 : last]
            if (
                _first_names(gold[0], given[first])
                and all(name.capital for name in between)
                and _middle_names(gold[1:-1], between)
            ):
                yield Match(first, last + 1)


def _first_names(gold: Word, given: Word) -> bool:
    return same_word(gold, given) or _initial(gold.text, given.text)


def _middle_names(gold: Sequence[Word], given: Sequence[Word]) -> bool:
    """Whether middle names agree: an initial may be missing or stand for a name, a name may not (John *Quincy*)."""
    if not gold or not given:
        return all(len(word.text) == 1 for word in (*gold, *given))
    return len(gold) == len(given) and all(
        same_word(a, b) or _initial(a.text, b.text) for a, b in zip(gold, given, strict=True)
    )


def _initial(a: str, b: str) -> bool:
    return a != b and 1 in (len(a), len(b)) and a[0] == b[0]
