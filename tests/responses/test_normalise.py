"""Normal forms of words, numbers and dates."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hneurons.responses.dates import find_dates, whole_date
from hneurons.responses.normalise import fold, normalise, words
from hneurons.responses.numerals import read_number, roman


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  O’Neill_family, 1,000 ft", "oneill family 1000 foot"),
        ("Newcastle-upon-Tyne", "newcastle upon tyne"),
        ("Straße, Łódź & Æsir", "strasse lodz and aesir"),
        ("Bíró's pen", "biro pen"),
        ("Ca\u0301mara", "camara"),
        ("£50m and $1.5 billion", "pound 50000000 and dollar 1500000000"),
        ("400 and 800m", "400 and 800 metre"),
        ("5.7 or 1,500", "5.7 or 1500"),
        ("90 per cent, 90%", "90 percent 90 percent"),
        ("1940's and 1940s", "1940s and 1940s"),
        ("Henry VIII, Henry the Eighth", "henry 8 henry 8th"),
        ("twenty-first century", "21th century"),
        ("one, two, three", "1 2 3"),
        ("Rock 'n' Roll", "rock and roll"),
        ("", ""),
        ("!?", ""),
    ],
)
def test_normal_forms(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("one thousand nine hundred and sixty three", "1963", 7),
        ("nineteen sixty three", "1963", 3),
        ("twenty five", "25", 2),
        ("two hundred and one men", "201", 4),
        ("two hundred and men", "200", 2),
        ("twenty first", "21th", 2),
        ("three million five thousand", "3005000", 4),
        ("one two", "1", 1),
        ("twenty twenty", "2020", 2),
        ("hundred", None, 0),
        ("paris", None, 0),
    ],
)
def test_numbers_in_words(text: str, value: str | None, used: int) -> None:
    assert read_number(text.split()) == (value, used)


SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spell(n: int) -> str:
    """`n` in English words, written independently of the reader."""
    for size, name in ((10**6, "million"), (1000, "thousand")):
        if n >= size:
            rest = n % size
            return f"{spell(n // size)} {name}" + (f"{' and' if rest < 100 else ''} {spell(rest)}" if rest else "")
    if n >= 100:
        return f"{SMALL[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    if n < 20:
        return SMALL[n]
    return TENS[n // 10 - 2] + (f"-{SMALL[n % 10]}" if n % 10 else "")


@given(st.integers(0, 999_999_999))
def test_words_and_digits_of_one_number_are_one(n: int) -> None:
    assert normalise(spell(n)) == normalise(f"{n:,}") == str(n)


def test_other_numbers_in_words_differ() -> None:
    assert len({normalise(spell(n)) for n in range(2000)}) == 2000


def test_roman_numerals_are_read_only_where_they_are_safe() -> None:
    assert [roman(text, after_name=True) for text in ("I", "IV", "IX", "XIV", "XXXIX")] == ["1", "4", "9", "14", "39"]
    assert roman("I", after_name=False) is None
    assert [roman(text, after_name=True) for text in ("MI", "CD", "vi", "IIII", "")] == [None] * 5


@given(st.text(max_size=80))
def test_words_are_in_order_inside_the_text(text: str) -> None:
    last = 0
    for word in words(text):
        assert 0 <= word.start < word.end <= len(text)
        assert word.start >= last
        assert word.text
        last = word.start


@given(st.text(max_size=40))
@example("𝗔")  # a mathematical A: lower case only once it is an A
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    "text",
    [
        "4th of July 1776",
        "July 4, 1776",
        "July 4th 1776",
        "4 July, 1776",
        "1776-07-04",
        "Jul 4, 1776",
        "on the 4th of July, 1776",
    ],
)
def test_one_date_in_its_written_forms(text: str) -> None:
    (date,) = find_dates(text)
    assert (date.year, date.month, date.day) == (1776, 7, 4)
    assert whole_date(text) is not None


def test_dates_agree_as_far_as_they_are_given() -> None:
    day, month, other = (whole_date(t) for t in ("4 July 1776", "July 1776", "4 July 1777"))
    yearless = whole_date("4 July")
    assert day is not None
    assert month is not None
    assert other is not None
    assert yearless is not None
    assert day.agrees(day)
    assert month.agrees(day)
    assert yearless.agrees(day)
    assert not day.agrees(month)
    assert not day.agrees(other)


@pytest.mark.parametrize("text", ["1776", "in March", "May", "Sokcho", "4 July 1776 in Paris", "32 July 1776"])
def test_no_whole_date(text: str) -> None:
    assert whole_date(text) is None
