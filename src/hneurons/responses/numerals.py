"""Numbers in their written forms: words, ordinals, Roman numerals, grouped digits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30, "fortieth": 40,
    "fiftieth": 50, "sixtieth": 60, "seventieth": 70, "eightieth": 80, "ninetieth": 90, "hundredth": 100,
}  # fmt: skip
_ROMAN = re.compile(r"(X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_ONES = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}
_RANK = re.compile(r"(\d+)(?:st|nd|rd|th)")


def decimal(digits: str, power: int = 0) -> str:
    """`digits` (grouped or not) times 10**`power`, in the shortest form: ("1,500.0", 0) -> "1500"."""
    number = Decimal(digits.replace(",", "")).scaleb(power)
    return format(number, "f").rstrip("0").rstrip(".") if "." in format(number, "f") else format(number, "f")


def ordinal(text: str) -> str | None:
    """`text` as "<n>th" if it is an ordinal ("4th", "fourth", "22nd"), else None."""
    if text in _ORDINALS:
        return f"{_ORDINALS[text]}th"
    match = _RANK.fullmatch(text)
    return f"{int(match[1])}th" if match else None


def roman(text: str, *, after_name: bool) -> str | None:
    """The value of a Roman numeral below 40 written in capitals; of a single letter only right after a name (George V).

    Larger ones are left alone: most short words of M, D, C and L are something else (MI, CD, DC).
    """
    match = _ROMAN.fullmatch(text)
    if not match or not text or (len(text) == 1 and not after_name):
        return None
    return str(10 * len(match[1]) + _ROMAN_ONES[match[2]])


def read_number(texts: Sequence[str]) -> tuple[str | None, int]:
    """The number that `texts` begin with, and how many of them it takes; (None, 0) if they begin with none.

    Reads "one thousand nine hundred and sixty three", "nineteen sixty three" (as a year), and the ordinals of these
    ("twenty first" -> "21th"). Digits are left to the caller.
    """
    total = group = 0
    used = 0
    last = ""  # what the previous word was: "", "unit", "ten", "hundred" or "scale"
    i = 0
    while i < len(texts):
        text = texts[i]
        if text == "and" and last in {"hundred", "scale"} and i + 1 < len(texts) and _small(texts[i + 1]):
            i += 1
            continue
        if text in _ORDINALS and (last in {"", "hundred", "scale"} or (last == "ten" and _ORDINALS[text] < 10)):
            return f"{total + group + _ORDINALS[text]}th", i + 1
        if text in _UNITS and (last in {"", "hundred", "scale"} or (last == "ten" and 0 < _UNITS[text] < 10)):
            group += _UNITS[text]
            last = "unit"
        elif text in _TENS and last in {"", "hundred", "scale"}:
            group += _TENS[text]
            last = "ten"
        elif total == 0 and 10 < group < 21 and used == 1 and (text in _TENS or _UNITS.get(text, 0) > 9):
            group = group * 100 + (_TENS.get(text) or _UNITS[text])  # "nineteen sixty"
            last = "ten" if text in _TENS else "unit"
        elif text == "hundred" and last in {"unit", "ten"} and 0 < group < 100:
            group *= 100
            last = "hundred"
        elif text in _SCALES and last in {"unit", "ten", "hundred"}:
            total += group * _SCALES[text]
            group = 0
            last = "scale"
        else:
            break
        i += 1
        used = i
    return (str(total + group), used) if used else (None, 0)


def _small(text: str) -> bool:
    return text in _UNITS or text in _TENS or text in _ORDINALS
