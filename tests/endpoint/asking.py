"""What the tests of an endpoint share: a verdict to ask for, a clock that only sleeping moves, and ways to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hneurons.endpoint import Ask, Endpoint, EndpointSettings, Failure

KEY = "sk-very-secret-0123456789"


class Verdict(BaseModel):
    """A verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    verdict: Literal["correct", "incorrect"]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.now


GOOD = '{"reason": "it is right", "verdict": "correct"}'
BAD = '{"reason": "it is wrong", "verdict": "incorrect"}'


def connect(server: Any, cache: Path | None = None, time: Time | None = None, **settings: Any) -> Endpoint:
    time = time or Time()
    made = EndpointSettings.model_validate({"url": server.url, "model": "m", "max_failed": 1, **settings})
    return Endpoint(made, cache, sleep=time.sleep, clock=time.clock)


def ask(*texts: str, check: Callable[[Verdict], str | None] | None = None) -> list[Ask[Verdict]]:
    more = {"check": check} if check else {}
    return [Ask(({"role": "user", "content": text},), Verdict, **more) for text in texts]


def one(endpoint: Endpoint, text: str = "is it right?") -> Verdict | Failure:
    return endpoint.ask_all(ask(text))[0]


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
