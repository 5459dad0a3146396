"""Names that plug-ins add: all of them, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hneurons import registry
from hneurons.errors import HNeuronsError
from hneurons.registry import registered


@dataclass
class Point:
    name: str
    adds: dict[str, Any]
    value: str = "somewhere:function"

    def load(self) -> Callable[[], dict[str, Any]]:
        return lambda: self.adds


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Point]]:
    points: list[Point] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registered.cache_clear()
    yield points
    registered.cache_clear()


def test_the_bundled_models_and_questions_are_registered() -> None:
    assert {"atlas-7m-base", "atlas-7m-instruct"} <= registered("hneurons.models").keys()
    assert {"atlas/cities", "atlas/counties", "atlas/invented"} <= registered("hneurons.questions").keys()
    assert "atlas" in registered("hneurons.commands")


def test_several_plug_ins_add_up(plug_ins: list[Point]) -> None:
    plug_ins += [Point("b", {"two": 2}), Point("a", {"one": 1})]
    assert registered("hneurons.models") == {"one": 1, "two": 2}


def test_a_name_given_twice_is_refused(plug_ins: list[Point]) -> None:
    plug_ins += [Point("a", {"one": 1}), Point("b", {"one": 2})]
    with pytest.raises(HNeuronsError, match="two plug-ins register 'one'"):
        registered("hneurons.models")
