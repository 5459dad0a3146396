"""The rows of a question file, each with its place in the file, so that an error can name it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from hneurons.errors import HNeuronsError, QuestionSetError

Row = tuple[str, dict[str, Any]]
"""Where a row stands ("questions.jsonl, line 3") and what it holds."""

FORMATS = (".jsonl", ".parquet", ".json")
_PUBLISHED_COLUMNS = ("question", "question_id", "answer")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a `.jsonl`, `.parquet` or (TriviaQA's own) `.json` file.

    Raises:
        QuestionSetError: the file is missing, a directory, of another kind, unreadable or malformed.
    """
    check_file(path)
    match path.suffix.lower():
        case ".jsonl":
            yield from json_lines(path)
        case ".parquet":
            yield from _parquet_rows(path)
        case ".json":
            yield from _original_rows(path)
        case other:
            kind = f"{other} files" if other else "a file without an extension"
            raise QuestionSetError(f"{path}: cannot read {kind}; questions come as {', '.join(FORMATS)}")


def check_file(path: Path, error: type[HNeuronsError] = QuestionSetError) -> None:
    """Raise `error` unless `path` is a file."""
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix.lower() in FORMATS)
        hint = f", such as {path / inside[0]}" if inside else f"; it holds no {', '.join(FORMATS)} file"
        raise error(f"{path} is a directory; name one file in it{hint}")
    if not path.exists():
        raise error(f"{path}: no such file; check the path")


def json_lines(path: Path, error: type[HNeuronsError] = QuestionSetError) -> Iterator[Row]:
    """Yield the objects of a JSONL file: UTF-8 (a byte order mark is accepted), one JSON object a line.

    Lines end in "\\n" only, because JSON strings may hold other line separators such as U+2028. Blank lines are
    passed over.

    Raises:
        HNeuronsError: of the type `error`, naming file and line.
    """
    check_file(path, error)
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                place = f"{path}, line {number}"
                line = _decode(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, place, error)
                if line.strip():
                    yield place, _object(line, place, error, hint="each line must be one whole JSON object")
    except OSError as reason:
        raise error(f"{path} cannot be read ({reason.strerror}); check its permissions") from reason


def json_document(path: Path, error: type[HNeuronsError] = QuestionSetError) -> dict[str, Any]:
    """Read a file that is one JSON object, as strictly as `json_lines`."""
    check_file(path, error)
    try:
        raw = path.read_bytes()
    except OSError as reason:
        raise error(f"{path} cannot be read ({reason.strerror}); check its permissions") from reason
    text = _decode(raw.removeprefix(b"\xef\xbb\xbf"), str(path), error)
    if not text.strip():
        raise error(f"{path} is empty; give a file with content")
    return _object(text, str(path), error, hint="if it holds one object a line, name it .jsonl")


def _decode(raw: bytes, place: str, error: type[HNeuronsError]) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as reason:
        message = f"{place}: byte 0x{raw[reason.start]:02x} at column {reason.start + 1} is not UTF-8"
        raise error(f"{message}; save the file as UTF-8") from reason


def _object(text: str, place: str, error: type[HNeuronsError], hint: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_distinct)
        if "\\ud" in text.lower():  # the escape of half a character: JSON allows it alone, UTF-8 does not
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as reason:
        position = f"column {reason.colno}" if reason.lineno == 1 else f"line {reason.lineno}, column {reason.colno}"
        raise error(f"{place}: not JSON ({reason.msg} at {position}); {hint}") from reason
    except (ValueError, RecursionError) as reason:
        raise error(f"{place}: not usable JSON ({reason}); correct it") from reason
    if not isinstance(value, dict):
        raise error(f"{place}: a JSON object is expected, not {type(value).__name__}; {hint}")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a field twice: JSON would silently keep the last."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(name for name in names if names.count(name) > 1)!r} is given twice")
    return fields


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            if set(_PUBLISHED_COLUMNS) <= set(columns):  # the other columns hold whole articles in some configurations
                columns = list(_PUBLISHED_COLUMNS)
            number = 0
            for batch in file.iter_batches(batch_size=4096, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, OSError) as reason:
        message = str(reason).splitlines()[0].rstrip(".")
        raise QuestionSetError(f"{path} is not a readable Parquet file ({message}); write it again") from reason


def _original_rows(path: Path) -> Iterator[Row]:
    rows = json_document(path).get("Data")
    if not isinstance(rows, list):
        message = f"{path}: the list 'Data' of TriviaQA's own JSON is missing"
        raise QuestionSetError(f"{message}; write other question sets as .jsonl, one object a line")
    for number, row in enumerate(rows):
        place = f"{path}, Data[{number}]"
        if not isinstance(row, dict):
            raise QuestionSetError(f"{place}: a JSON object is expected, not {type(row).__name__}; correct it")
        yield place, row
