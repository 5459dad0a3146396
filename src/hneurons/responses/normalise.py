"""Text as the words that are compared: lower case, no accents, no punctuation, no articles, each with its place."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from hneurons.responses.numerals import decimal, ordinal, read_number, roman

_ARTICLES = frozenset({"a", "an", "the"})
_SYMBOLS = {"£": "pound", "$": "dollar", "€": "euro", "¥": "yen", "%": "percent", "&": "and", "°": "degree"}
_UNITS = {
    "m": "metre", "km": "kilometre", "cm": "centimetre", "mm": "millimetre", "kg": "kilogram", "g": "gram",
    "ft": "foot", "feet": "foot", "mi": "mile", "lb": "pound", "lbs": "pound", "oz": "ounce", "hr": "hour",
    "hrs": "hour",
    "min": "minute", "mins": "minute", "sec": "second", "secs": "second", "mph": "mph", "yr": "year", "yrs": "year",
}  # fmt: skip
_LONGEST_NUMBER = 24
"""Words of "nine hundred and ninety nine billion ..." that are looked at."""
_MAGNITUDES = {"k": 3, "m": 6, "mn": 6, "bn": 9, "b": 9, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_LETTERS = {"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
_SPELLINGS = {
    "st": "saint", "mt": "mount", "dr": "doctor", "mr": "mister", "bce": "bc", "ce": "ad", "jnr": "junior",
    "jr": "junior",
    "snr": "senior", "sr": "senior", "tv": "television", "vs": "versus", "v": "versus", "usa": "us",
    "prof": "professor",
}  # fmt: skip
_EXPANSIONS = {
    f"ww{form}": ("world", "war", str(n)) for n, forms in ((1, ("i", "1")), (2, ("ii", "2"))) for form in forms
}

_MARKS = "\u0300-\u036f"
_APOSTROPHES = "'’‘ʼ`´"
_TOKEN = re.compile(
    rf"(?P<grouped>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?!\d))"
    rf"|(?P<decimal>\d+\.\d+(?![\d.]))"
    rf"|(?P<and>(?<=\s)[{_APOSTROPHES}]?[nN][{_APOSTROPHES}](?=\s))"
    rf"|(?P<word>[^\W_][{_MARKS}]*(?:[{_APOSTROPHES}]?[^\W_][{_MARKS}]*)*(?:\+\+|#(?!\w))?)"
    rf"|(?P<symbol>[{re.escape(''.join(_SYMBOLS))}])"
)
_DECADE = re.compile(r"(\d+0)s")
_DIGITS_THEN_LETTERS = re.compile(r"(\d+)([a-z]+)")


class Word(NamedTuple):
    """One word of a text.

    `text` is its normal form and `value` its number, where it is one ("1776", "4th"); `start` and `end` are its
    characters in the original text; `capital` says whether it was written with a capital letter.
    """

    text: str
    start: int
    end: int
    value: str | None = None
    capital: bool = False


def fold(text: str) -> str:
    """Lower case without accents; ß, ø, æ and the like as they are usually transcribed."""
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKC", text)  # first: a letter of mathematics has no lower case of its own
    lowered = "".join(_LETTERS.get(c, c) for c in plain.casefold())
    decomposed = unicodedata.normalize("NFKD", lowered)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[Word, ...]:
    """The words of `text` in order, numbers read as numbers ("one thousand and one" is one word), articles left out."""
    return tuple(word for word in _with_numbers(_tokens(text), text) if word.text not in _ARTICLES)


def normalise(text: str) -> str:
    """`text` in normal form: "The O’Neill_family, 1,000 ft" -> "oneill family 1000 foot"."""
    return " ".join(word.value or word.text for word in words(text))


def _tokens(text: str) -> list[Word]:
    """Every token, each alone: numbers by their digits, units after them spelled out."""
    found: list[Word] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        raw = match.group()
        if match["grouped"] or match["decimal"]:
            found.append(Word(raw.replace(",", ""), start, end, decimal(raw)))
        elif match["symbol"]:
            found.append(Word(_SYMBOLS[raw], start, end))
        elif match["and"]:
            found.append(Word("and", start, end))
        else:
            found.extend(_word(raw, start, end, found))
    return found


def _word(raw: str, start: int, end: int, before: list[Word]) -> list[Word]:
    """One alphanumeric token as words; "800m" becomes "800" and "metre", "1940's" becomes "1940s"."""
    text = re.sub(rf"[{_APOSTROPHES}]", "'", fold(raw))
    text = re.sub(r"(?<=\d)'s$", "s", text)
    text = re.sub(r"'s$|s'$", lambda m: "" if m.group() == "'s" else "s", text).replace("'", "")
    if not text:
        return []
    capital = raw[0].isupper()
    if text in _EXPANSIONS:
        return [Word(part, start, end, decimal(part) if part.isdigit() else None, True) for part in _EXPANSIONS[text]]
    if text.isdigit() and text.isascii():
        return [Word(text, start, end, decimal(text))]
    if _DECADE.fullmatch(text):
        return [Word(text, start, end, text)]
    if (rank := ordinal(text)) is not None:
        return [Word(text, start, end, rank, capital)]
    split = _DIGITS_THEN_LETTERS.fullmatch(text)
    if split and split[2] in (_UNITS.keys() | _MAGNITUDES.keys()):
        middle = start + len(split[1])
        return [Word(split[1], start, middle, decimal(split[1])), Word(split[2], middle, end)]
    after_name = bool(before) and before[-1].capital
    if (number := roman(raw, after_name=after_name)) is not None:
        return [Word(text, start, end, number, capital)]
    return [Word(text, start, end, None, capital)]


def _with_numbers(tokens: list[Word], text: str) -> list[Word]:
    """Number words joined and read, magnitudes multiplied in, units and common abbreviations spelled out."""
    out: list[Word] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        value, used = read_number([t.text for t in tokens[i : i + _LONGEST_NUMBER]])
        if used and value is not None and _unbroken(tokens[i : i + used], text):
            joined = " ".join(t.text for t in tokens[i : i + used])
            token = Word(joined, token.start, tokens[i + used - 1].end, value, token.capital)
            i += used
        else:
            i += 1
        money = bool(out) and out[-1].text in {"pound", "dollar", "euro", "yen"}
        following = tokens[i] if i < len(tokens) else None
        if token.value and following and token.value.replace(".", "").isdigit():
            attached = following.start <= token.end + 1
            if following.text in _MAGNITUDES and attached and (len(following.text) > 1 or money):
                scaled = decimal(token.value, _MAGNITUDES[following.text])
                token = Word(f"{token.text} {following.text}", token.start, following.end, scaled)
                i += 1
            elif following.text in _UNITS and attached:
                tokens[i] = following._replace(text=_UNITS[following.text])
        if token.text == "per" and following and following.text == "cent":
            token = Word("percent", token.start, following.end)
            i += 1
        out.append(token._replace(text=_SPELLINGS.get(token.text, token.text)) if not token.value else token)
    return out


def _unbroken(tokens: list[Word], text: str) -> bool:
    """Whether only blanks, hyphens and the commas of "one thousand, nine hundred" lie between `tokens`."""
    return all(re.fullmatch(r"[\s,\-‐‑–]*", text[a.end : b.start]) for a, b in pairwise(tokens))
