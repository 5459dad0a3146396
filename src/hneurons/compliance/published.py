"""Published benchmarks: where their files are, how rows are read and checked, and which rows make the benchmark.

A file is read in the layout in which it is published: CSV, JSONL or Parquet, under the published field names. Fields
that are not needed are passed over; one that is, and is missing or of another kind, is an error that names the file,
the row, the field and what was there.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hneurons.compliance.benchmark import BenchmarkRequest, Case
from hneurons.errors import QuestionSetError
from hneurons.questions.hub import hub_files
from hneurons.questions.loading import rank
from hneurons.questions.rows import Row, check_file, read_rows

FORMATS = (".csv", ".jsonl", ".parquet")


class PublishedRow(BaseModel):
    """A row as published: text is text, and what else is there is not needed."""

    model_config = ConfigDict(strict=True, extra="ignore")


R = TypeVar("R", bound=PublishedRow)


@dataclass(frozen=True)
class Published:
    """Where a benchmark is published.

    Attributes:
        name: of the benchmark.
        repository: on the Hugging Face hub.
        files: the pattern of the file paths of each split; the first is the one that is evaluated on.
        revision: commit or branch that is used unless another is asked for. Whatever it is, the commit is recorded.
        licence: as the publishers state it.
    """

    name: str
    repository: str
    files: Mapping[str, str]
    revision: str
    licence: str


@dataclass(frozen=True)
class Rows:
    """The rows of a published benchmark, each with its place, and where they come from."""

    rows: tuple[Row, ...]
    source: str
    revision: str | None


def published_rows(published: Published, request: BenchmarkRequest) -> Rows:
    """Read the rows that `request` asks for, from its file or from the hub.

    Raises:
        QuestionSetError: no such split or file, an unreadable or empty file, no network and nothing cached.
    """
    if request.path is not None:
        if request.split is not None:
            raise QuestionSetError(f"{request.path}: a file has no splits; leave split {request.split!r} out")
        files, source, revision = [Path(request.path)], request.path, None
    else:
        split = request.split or next(iter(published.files))
        if split not in published.files:
            raise QuestionSetError(f"{published.name} has no split {split!r}; use one of {', '.join(published.files)}")
        files, revision = hub_files(
            published.repository,
            published.files[split],
            request.revision,
            published.revision,
            name=published.name,
            part=f"split {split}",
            instead=f"connect to the network, or pass the published file ({', '.join(FORMATS)}) as path",
        )
        source = f"{published.repository} ({split})"
    rows = tuple(row for file in files for row in _rows(file))
    if not rows:
        raise QuestionSetError(f"{source} holds no rows; give the file as it is published")
    return Rows(rows, source, revision)


def _rows(path: Path) -> Iterator[Row]:
    check_file(path)
    match path.suffix.lower():
        case ".csv":
            return _csv_rows(path)
        case ".jsonl" | ".parquet":
            return read_rows(path)
        case other:
            kind = f"{other} files" if other else "a file without an extension"
            raise QuestionSetError(f"{path}: cannot read {kind}; benchmarks are published as {', '.join(FORMATS)}")


def _csv_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header: UTF-8 (a byte order mark is accepted), commas, double quotes."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            fields = list(reader.fieldnames or [])
            if len(set(fields)) < len(fields):
                raise QuestionSetError(f"{path}, line 1: a column is named twice ({', '.join(fields)}); rename one")
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                if None in row:
                    raise QuestionSetError(f"{place}: more cells than columns; quote cells that hold commas")
                yield place, {name: cell for name, cell in row.items() if cell is not None}
    except (csv.Error, UnicodeDecodeError) as reason:
        raise QuestionSetError(f"{path} is not a readable CSV file ({reason}); save it as UTF-8 CSV") from reason
    except OSError as reason:
        raise QuestionSetError(f"{path} cannot be read ({reason.strerror}); check its permissions") from reason


def parse(layout: type[R], row: Row) -> R:
    """One row in a layout.

    Raises:
        QuestionSetError: a field is missing or not as published; names place, field and what was there.
    """
    place, values = row
    given = {name: value for name, value in values.items() if value is not None}  # Parquet writes null for absent
    try:
        return layout.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise QuestionSetError(f"{place}: {_explain(first['type'], first['loc'], given)}") from error


_MUST_BE = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "less_than_equal": "is out of range",
    "greater_than_equal": "is out of range",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "too_short": "has too few items",
    "blank": "is blank",
}


def _explain(kind: str, loc: Sequence[int | str], row: Mapping[str, Any]) -> str:
    inside: Any = row
    for step in loc[:-1]:
        inside = inside[step]
    field = ".".join(map(str, loc))
    if kind == "missing":
        there = list(map(str, inside))
        close = difflib.get_close_matches(str(loc[-1]), there, n=1)
        meant = f"is {close[0]!r} meant? rename it" if close else "give the file as it is published"
        return f"field {field!r} is missing, there are {', '.join(map(repr, there)) or 'none'}; {meant}"
    value = repr(inside[loc[-1]])
    shown = value if len(value) <= 60 else value[:57] + "..."
    return f"field {field!r} {_MUST_BE.get(kind, 'is not as published')}, not {shown}; give the file as it is published"


def wrong_field(place: str, field: str, must: str, value: object) -> QuestionSetError:
    """The error for a field whose value contradicts the rest of its row."""
    return QuestionSetError(f"{place}: field {field!r} {must}, not {value!r}; give the file as it is published")


def checked(cases: Iterable[tuple[str, Case]], name: str) -> tuple[Case, ...]:
    """Cases with their places: ids that differ, and one group for cases that ask the same.

    Raises:
        QuestionSetError: an id is taken twice, or no case is left.
    """
    first: dict[str, str] = {}
    asked: dict[str, list[Case]] = {}
    for place, case in cases:
        if case.id in first:
            message = f"{place}: the id {case.id!r} is already taken by {first[case.id]}"
            raise QuestionSetError(f"{message}; give the file as it is published")
        first[case.id] = place
        asked.setdefault(" ".join(case.turns[-1].content.casefold().split()), []).append(case)
    if not first:
        raise QuestionSetError(f"{name} holds no cases of this benchmark; give the file as it is published")
    groups = {same[0].id: same for same in asked.values() if len(same) > 1}
    group_of = {case.id: group for group, same in groups.items() for case in same}
    everything = {case.id: case for same in asked.values() for case in same}
    return tuple(
        everything[id].model_copy(update={"group": group_of[id]}) if id in group_of else everything[id] for id in first
    )


def limited(
    cases: Sequence[Case], limit: int | None, left_out: Mapping[str, int]
) -> tuple[tuple[Case, ...], dict[str, int]]:
    """At most `limit` cases, in their order, chosen by a hash of their ids; and what is left out in all."""
    counted = {reason: n for reason, n in left_out.items() if n}
    if limit is None or limit >= len(cases):
        return tuple(cases), counted
    chosen = {case.id for case in sorted(cases, key=lambda case: rank(case.id, 0))[:limit]}
    return tuple(case for case in cases if case.id in chosen), {**counted, "beyond_limit": len(cases) - limit}
