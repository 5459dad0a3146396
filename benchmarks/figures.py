"""What a benchmark found: a record for each figure, and the file of them that a script writes with `--json FILE`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hneurons.files import write_json
from machine import Machine

Finite = Annotated[float, Field(allow_inf_nan=False)]
Setting = str | int | float | bool


class Record(BaseModel):
    """Frozen, and with nothing in it that is not named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Record):
    """One figure: what was measured against what, how far that is certain, and whether it reached its goal.

    Attributes:
        what: what was measured, in a few words.
        against: what it is held against; "" for a figure that stands alone, such as an agreement.
        value: what came out, over repeats their median. A claim about speed is a ratio.
        low: lower quartile over the repeats; None where there was one.
        high: upper quartile.
        unit: "times" for a ratio; else the unit, as it is to be read after the number: "MB", "of 200".
        at_least: the goal, where more is better.
        at_most: the goal, where less is better.
        settings: what it depends on: the model, how many prompts. Figures of equal settings share a table.
        note: what must be known to read it right.
    """

    what: str
    against: str
    value: Finite
    low: Finite | None = None
    high: Finite | None = None
    unit: str = "times"
    at_least: Finite | None = None
    at_most: Finite | None = None
    settings: dict[str, Setting] = {}
    note: str = ""

    @classmethod
    def of(
        cls, spread: tuple[float, float, float], what: str, against: str, *, unit: str = "times",
        at_least: float | None = None, at_most: float | None = None, note: str = "", **settings: Setting,
    ) -> Self:  # fmt: skip
        """The figure of a median with its quartiles, as `timing.ratio` and `timing.spread` return them."""
        value, low, high = spread
        return cls(
            what=what, against=against, value=value, low=low, high=high, unit=unit, at_least=at_least, at_most=at_most,
            note=note, settings=settings,
        )  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"{self.what}: give both quartiles or neither")
        if self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"{self.what}: {self.value} is not between its quartiles {self.low} and {self.high}")
        if self.at_least is not None and self.at_most is not None:
            raise ValueError(f"{self.what}: a goal is at least or at most, not both")
        return self

    @property
    def met(self) -> bool | None:
        """Whether the value, as measured, reaches the goal; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


class Findings(Record):
    """What one run of one script found.

    Attributes:
        script: name of its file.
        command: what was run, without `--json`; that it was run again gives the same figures, up to noise.
        machine: on what, with which versions, and when.
        figures: what came out, in the order in which it is to be read.
    """

    script: str
    command: str
    machine: Machine
    figures: tuple[Figure, ...]


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`, the same in every script."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def save(path: Path | None, figures: Sequence[Figure]) -> None:
    """Write what this process found, with its own command line; nothing where `path` is None."""
    if path is None:
        return
    script, *arguments = sys.argv
    shown = shlex.join(["python", f"benchmarks/{Path(script).name}", *_without_json(arguments)])
    found = Findings(script=Path(script).name, command=shown, machine=Machine.here(), figures=tuple(figures))
    write_json(path, found.model_dump(mode="json"))


def read(path: Path) -> Findings:
    """What `save` wrote.

    Raises:
        ValueError: it is something else.
    """
    return Findings.model_validate_json(path.read_text(encoding="utf-8"))


def _without_json(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and argument != "--json" and not argument.startswith("--json="):
            kept.append(argument)
        skip = argument == "--json"
    return kept
