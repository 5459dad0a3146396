"""How many requests are under way: never more than allowed, fewer while the server is busy, and then more again."""

from __future__ import annotations

import asyncio
import threading
from types import ModuleType
from typing import Any

import pytest
from tests.endpoint.asking import GOOD, Verdict, ask, connect

from hneurons.endpoint.pace import Pace


def test_a_busy_server_gets_half_as_many_once_a_round() -> None:
    async def play() -> None:
        pace = Pace(8)
        numbers = [await pace.enter() for _ in range(8)]
        for number in numbers[:5]:  # of one round
            pace.busy(number)
            pace.leave()
        assert pace.limit == 4
        for _ in numbers[5:]:
            pace.fine()
            pace.leave()
        assert 4.7 < pace.limit < 5
        number = await pace.enter()
        pace.busy(number)  # of a later one
        pace.leave()
        assert 2.3 < pace.limit < 2.5
        for _ in range(200):
            pace.fine()
        assert pace.limit == 8
        for _ in range(20):
            pace.busy(await pace.enter())
            pace.leave()
        assert pace.limit == 1

    asyncio.run(play())


def test_who_waits_is_let_in_as_places_become_free() -> None:
    async def play() -> list[int]:
        pace, entered = Pace(2), []

        async def one(name: int) -> None:
            await pace.enter()
            entered.append(name)
            await asyncio.sleep(0)
            pace.leave()

        tasks = [asyncio.create_task(one(name)) for name in range(7)]
        await asyncio.sleep(0)
        tasks[3].cancel()  # gives up while it waits, and blocks nobody
        await asyncio.gather(*tasks, return_exceptions=True)
        return entered

    assert asyncio.run(play()) == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_less_at_a_time(server: Any, acts: ModuleType, status: int) -> None:
    """The most that were under way at once: many before, and hardly any once it says that it is busy."""
    lock, many, flying = threading.Lock(), threading.Event(), 0
    most = {"before": 0, "busy": 0}

    def script(seen: Any) -> Any:
        nonlocal flying
        place = len(server.seen)
        with lock:
            flying += 1
            if place <= 16:
                most["before"] = max(most["before"], flying)
            if place > 52:
                most["busy"] = max(most["busy"], flying)
            if flying > 8:
                many.set()
        many.wait(20)  # the first are answered when many are under way, however slow the machine
        threading.Event().wait(0.01)
        with lock:
            flying -= 1
        return acts.fails(status) if 16 < place <= 60 else acts.says(GOOD)

    server.script = script
    endpoint = connect(server, concurrency=16, attempts=40)
    assert [str(each) for each in endpoint.ask_all(ask(*map(str, range(24)))) if not isinstance(each, Verdict)] == []
    assert most["before"] > 8
    assert most["busy"] <= 6
