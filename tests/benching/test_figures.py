"""The record of a figure: what it refuses, when a goal is met, and that it survives its file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import figures
import timing
from figures import Figure
from machine import Machine


def test_a_goal_is_met_on_its_own_side() -> None:
    made = {"what": "speed", "against": "a loop"}
    assert Figure(**made, value=6.0, at_least=5.0).met is True
    assert Figure(**made, value=4.0, at_least=5.0).met is False
    assert Figure(**made, value=1.04, at_most=1.05).met is True
    assert Figure(**made, value=1.06, at_most=1.05).met is False
    assert Figure(**made, value=1.05, at_most=1.05).met is True
    assert Figure(**made, value=1.06).met is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"value": 1.0, "low": 0.9},
        {"value": 1.0, "low": 1.1, "high": 1.2},
        {"value": 1.0, "at_least": 1.0, "at_most": 2.0},
        {"value": 1.0, "better": "yes"},
    ],
)
def test_what_cannot_be_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each for its own reason
        Figure(what="speed", against="a loop", **wrong)


def test_what_is_saved_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Figure.of((2.0, 1.5, 2.5), "speed", "a loop", at_least=3.0, model="a | b", rows=4),
        Figure(what="equal", against="", value=200, unit="of 200"),
    ]
    file = tmp_path / "x.json"
    monkeypatch.setattr(sys, "argv", ["/somewhere/x.py", "--rows", "4", "--json", str(file), "--name", "two words"])
    figures.save(file, found)
    again = figures.read(file)
    assert list(again.figures) == found
    assert again.script == "x.py"
    assert again.command == "python benchmarks/x.py --rows 4 --name 'two words'"
    assert again.machine.packages["torch"]
    assert again.machine.cores >= 1
    with pytest.raises(ValueError):  # noqa: PT011
        figures.Findings.model_validate(json.loads(file.read_text()) | {"more": 1})


def test_the_machine_is_named_without_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def without_git(command: list[str], **options: object) -> object:
        if command[0] == "git":
            raise FileNotFoundError("git")
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", without_git)
    assert Machine.here().commit is None


def test_ways_take_turns_and_each_ratio_is_within_its_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.gc, "collect", int)  # slow in a process that has run many tests
    order: list[str] = []

    def way(name: str, seconds: float) -> object:
        def run() -> None:
            order.append(name)
            time.sleep(seconds)

        return run

    taken = timing.in_turn({"a": way("a", 0.002), "b": way("b", 0.02)}, 3)
    assert len(taken["a"]) == len(taken["b"]) == 3
    assert len(order) == 8  # with the round that warms up
    assert len({tuple(order[k : k + 2]) for k in range(0, 8, 2)}) == 2  # the order rotates
    middle, low, high = timing.ratio(taken["b"], taken["a"])
    each = [b[0] / a[0] for a, b in zip(taken["a"], taken["b"], strict=True)]
    assert low <= middle <= high
    assert middle == pytest.approx(np.median(each))
    assert middle > 2  # and not the other way round
