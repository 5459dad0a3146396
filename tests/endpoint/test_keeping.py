"""Asking many things at once: their order, the cache, and the report."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from tests.endpoint.asking import BAD, GOOD, Verdict, ask, connect, files, one

from hneurons.endpoint import Ask, Failure, Request
from hneurons.endpoint.cache import Cache


def test_answers_come_in_the_order_of_the_questions(server: Any, acts: ModuleType) -> None:
    def script(seen: Any) -> Any:
        number = int(seen.last.split()[0])
        said = acts.says(json.dumps({"reason": str(number), "verdict": "correct"}))
        return acts.Act(said.body, hang=0.03 * ((7 * number) % 5))

    server.script = script
    found = connect(server).ask_all(ask(*(f"{i} ?" for i in range(40))))
    assert [each.reason for each in found if isinstance(each, Verdict)] == [str(i) for i in range(40)]
    arrived = [int(seen.last.split()[0]) for seen in server.seen]
    assert sorted(arrived) == list(range(40))


def test_no_more_at_a_time_than_allowed(server: Any, acts: ModuleType) -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def script(seen: Any) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.03)
        with lock:
            running[0] -= 1
        return acts.says(GOOD)

    server.script = script
    connect(server, concurrency=3).ask_all(ask(*map(str, range(15))))
    assert most[0] == 3


def test_what_is_asked_twice_is_asked_once(server: Any, acts: ModuleType) -> None:
    server.script = [acts.says(GOOD)]
    endpoint = connect(server)
    assert len(endpoint.ask_all(ask("a", "b", "a", "a"))) == 4
    assert len(server.seen) == endpoint.report.asked == 2


def test_the_second_time_nothing_is_sent(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    server.script = [acts.says(GOOD)]
    first = connect(server, tmp_path)
    answers = first.ask_all(ask("a", "b", "c"))
    again = connect(server, tmp_path)
    assert again.ask_all(ask("c", "b", "a")) == answers[::-1]
    assert len(server.seen) == 3
    assert again.report.cached == 3
    assert again.report.account == first.report.account  # what it took, whoever asked
    for file in files(tmp_path):
        assert file.parent.parent.parent == tmp_path
        assert file.name.startswith(file.parent.parent.name + file.parent.name)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"temperature": 0.5},
        {"seed": 1},
        {"max_tokens": 9},
        {"extra": {"a": 1}},
        {"leave_out": ["seed"]},
    ],
)
def test_another_question_is_another_answer(
    server: Any, acts: ModuleType, tmp_path: Path, other: dict[str, Any]
) -> None:
    server.script = [acts.says(GOOD), acts.says(BAD)]
    assert one(connect(server, tmp_path)) != one(connect(server, tmp_path, **other))


def test_where_and_how_fast_is_no_other_question(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    server.script = [acts.says(GOOD), acts.says(BAD)]
    other = connect(server, tmp_path, concurrency=1, timeout=5, attempts=1, price_prompt=1, key_env="")
    assert one(connect(server, tmp_path)) == one(other)


def test_another_shape_is_another_question(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    class Other(Verdict):
        verdict: Literal["correct", "incorrect", "unclear"]  # type: ignore[assignment]

    server.script = [acts.says(GOOD)]
    one(connect(server, tmp_path))
    connect(server, tmp_path).ask_all([Ask(({"role": "user", "content": "is it right?"},), Other)])
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("incorrect", "correct"),
        lambda text: text.replace("wrong", "wring"),
        lambda text: "[]",
        lambda text: "null",
        lambda text: "\x00\xff",
    ],
)
def test_damaged_entries_are_asked_again(
    server: Any, acts: ModuleType, tmp_path: Path, damage: Callable[[str], str]
) -> None:
    server.script = [acts.says(BAD)]
    one(connect(server, tmp_path))
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(damage(whole.decode()).encode("latin-1"))
    endpoint = connect(server, tmp_path)
    assert one(endpoint) == Verdict(reason="it is wrong", verdict="incorrect")
    assert endpoint.report.damaged == 1
    assert file.read_bytes() == whole


def test_an_answer_under_another_name_is_not_taken(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    server.script = [acts.says(GOOD), acts.says(BAD)]
    endpoint = connect(server, tmp_path, concurrency=1)
    endpoint.ask_all(ask("a"))
    (first,) = files(tmp_path)
    endpoint.ask_all(ask("b"))
    (second,) = set(files(tmp_path)) - {first}
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match="damaged"):
        Cache(tmp_path).read(second.stem)


def test_the_report_adds_up(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    def script(seen: Any) -> Any:
        text = seen.body["messages"][0]["content"]
        if text.startswith("bad"):
            return acts.says("prose")
        if text.startswith("busy") and sum(each.last == seen.last for each in server.seen) == 1:
            return acts.fails(500)
        return acts.says(GOOD)

    server.script = script
    prices = {"price_prompt": 2.0, "price_completion": 10.0}
    connect(server, tmp_path, **prices).ask_all(ask("known"))
    endpoint = connect(server, tmp_path, **prices)
    endpoint.ask_all(ask("known", "busy", "bad", "new"))
    report = endpoint.report
    assert (report.asked, report.cached, report.retried, report.repeated) == (4, 1, 1, 2)
    assert report.failed == {"no usable reply": 1}
    assert (report.prompt_tokens, report.completion_tokens) == (6 * 7, 6 * 3)  # known, busy, new, and prose three times
    assert report.cost == pytest.approx((42 * 2 + 18 * 10) / 1e6)
    assert "4 asked, 1 from the cache, 1 sent again, 2 asked again, 1 failed (1 no usable reply)" in str(report)
    assert connect(server).report.cost is None


def test_plain_requests(server: Any, acts: ModuleType) -> None:
    server.script = lambda seen: acts.says(seen.body["prompt"] + "!", "length", plain=True)
    found: dict[int, Any] = {}
    requests = ((i, Request({"prompt": f"p{i}", "top_p": 0.9})) for i in range(3))
    connect(server).complete_each(requests, 3, found.__setitem__)
    assert {i: each.text for i, each in found.items()} == {0: "p0!", 1: "p1!", 2: "p2!"}
    assert server.seen[0].path == "/v1/completions"
    assert server.seen[0].body.keys() == {"model", "prompt", "top_p"}


def test_from_inside_a_running_loop(server: Any, acts: ModuleType) -> None:
    server.script = [acts.says(GOOD)]

    async def notebook() -> Verdict | Failure:
        return one(connect(server))

    assert isinstance(asyncio.run(notebook()), Verdict)


def test_nothing_asked_is_nothing_sent(server: Any) -> None:
    assert connect(server).ask_all([]) == []
    assert server.seen == []
