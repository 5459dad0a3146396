"""Calendar dates in their written forms."""

from __future__ import annotations

import re
from typing import NamedTuple

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = r"(?P<month>" + "|".join(f"{m}|{m[:3]}" for m in _MONTHS) + r"|sept)\b\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
_YEAR = r"(?P<year>[12]\d{3})\b"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        r"\b(?P<year>[12]\d{3})-(?P<number>[01]\d)-(?P<day>[0-3]\d)\b",
        rf"\b{_DAY}(?:\s+of)?\s+{_MONTH}(?:,?\s+(?:of\s+)?{_YEAR})?",
        rf"\b{_MONTH}\s+(?:the\s+)?{_DAY}(?!\d)(?:,?\s+(?:of\s+)?{_YEAR})?",
        rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}",
    )
)


class Date(NamedTuple):
    """A date as far as it was given, and its characters in the text."""

    year: int | None
    month: int
    day: int | None
    start: int
    end: int

    def agrees(self, other: Date) -> bool:
        """Whether `other` says all that this date says, and nothing else where both say something."""
        return (
            self.month == other.month
            and (self.day is None or self.day == other.day)
            and (self.year is None or other.year is None or self.year == other.year)
            and not (self.day is None and other.year is None)
        )


def find_dates(text: str) -> tuple[Date, ...]:
    """The dates in `text` that name at least a month and a day, or a month and a year."""
    found: list[Date] = []
    for form in _FORMS:
        for match in form.finditer(text):
            start, end = match.span()
            if any(start < date.end and date.start < end for date in found):
                continue
            parts = match.groupdict()
            month = int(parts["number"]) if parts.get("number") else _month(parts["month"])
            day = int(parts["day"]) if parts.get("day") else None
            if 1 <= month <= 12 and (day is None or 1 <= day <= 31):
                found.append(Date(int(parts["year"]) if parts.get("year") else None, month, day, start, end))
    return tuple(sorted(found, key=lambda date: date.start))


def whole_date(text: str) -> Date | None:
    """The date that `text` consists of, or None if there is more to it, or less."""
    dates = find_dates(text)
    if len(dates) != 1:
        return None
    rest = text[: dates[0].start] + text[dates[0].end :]
    return dates[0] if re.fullmatch(r"\W*(?:(?:on|the|in)\b\W*)*", rest, re.IGNORECASE) else None


def _month(name: str) -> int:
    return next(i for i, month in enumerate(_MONTHS, 1) if month.startswith(name[:3].lower()))
