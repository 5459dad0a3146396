"""Errors of an endpoint: which are waited out, which end at once, and which count as failures."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.endpoint.asking import BAD, GOOD, KEY, Time, Verdict, ask, connect, files, one

from hneurons.endpoint import Endpoint, EndpointSettings, Failure
from hneurons.errors import EndpointError


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_errors_that_pass_are_waited_out(server: Any, acts: ModuleType, status: int) -> None:
    time = Time()
    server.script = [acts.fails(status)] * 3 + [acts.says(GOOD)]
    endpoint = connect(server, time=time)
    assert isinstance(one(endpoint), Verdict)
    assert endpoint.report.retried == 3
    assert len(time.slept) == 3
    for place, seconds in enumerate(time.slept):
        assert 0.25 * 2**place <= seconds <= 0.5 * 2**place


def test_a_request_is_not_sent_for_ever(server: Any, acts: ModuleType) -> None:
    time = Time()
    server.script = lambda seen: acts.fails(500, "on fire") if seen.last.startswith("bad") else acts.says(GOOD)
    endpoint = connect(server, time=time, attempts=9, concurrency=1)
    found = endpoint.ask_all(ask("good", "bad"))
    assert found[1] == Failure("server error 500", "on fire")
    assert len(server.seen) == 1 + 9
    assert max(time.slept) <= 30
    assert endpoint.report.failed == {"server error 500": 1}


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry_after": "7"}, 7, 7),
        ({"retry_after": "4000"}, 4000, 4000),
        ({"retry_after_ms": "2500", "retry_after": "9"}, 2.5, 2.5),
        ({"retry_after": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0, 0),
        ({"retry_after": "soon"}, 0.25, 0.5),
        ({"retry_after": "inf"}, 0.25, 0.5),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_how_long_is_waited_for(
    server: Any, acts: ModuleType, status: int, headers: dict[str, str], low: float, high: float
) -> None:
    time = Time()
    server.script = [acts.fails(status, **headers), acts.says(GOOD)]
    assert isinstance(one(connect(server, time=time)), Verdict)
    assert low <= time.now - 1000 <= high


def test_a_rate_limit_holds_everyone_back(server: Any, acts: ModuleType) -> None:
    """By the real clock: after the 429 nothing arrives for as long as the server asked, from any of the workers."""
    limited = threading.Event()

    def script(seen: Any) -> Any:
        if len(server.seen) == 6:
            limited.set()
            return acts.fails(429, retry_after="0.6")
        return acts.Act(acts.says(GOOD).body, hang=0.02)

    server.script = script
    endpoint = Endpoint(EndpointSettings(url=server.url, model="m", concurrency=4))
    found = endpoint.ask_all(ask(*map(str, range(24))))
    assert limited.is_set()
    assert all(isinstance(each, Verdict) for each in found)
    assert endpoint.report.retried == 1
    times = [seen.at for seen in server.seen]
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) > 0.5
    assert sum(gap > 0.5 for gap in gaps) == 1
    assert times.index(times[gaps.index(max(gaps))]) <= 5 + 4  # those that were on their way


def test_cut_connections_and_bodies_that_are_none(server: Any, acts: ModuleType) -> None:
    good = acts.says(GOOD)
    server.script = [
        acts.Act(good.body, cut=True),
        acts.Act(good.body[:30]),
        acts.Act("<html>busy</html>", headers={"Content-Type": "text/html"}),
        acts.Act("[]"),
        acts.Act('{"choices": []}'),
        acts.says(None),
        good,
    ]
    endpoint = connect(server, attempts=7)
    assert isinstance(one(endpoint), Verdict)
    assert endpoint.report.retried == 6


def test_a_server_that_hangs_is_given_up(server: Any, acts: ModuleType) -> None:
    good = acts.says(GOOD)
    server.script = [acts.Act(good.body, hang=3), good]
    endpoint = connect(server, timeout=0.3)
    assert isinstance(one(endpoint), Verdict)
    assert endpoint.report.retried == 1


def test_no_server_is_said_in_one_line(server: Any) -> None:
    server.close()
    endpoint = connect(server, attempts=2)
    with pytest.raises(EndpointError, match=r"answered nothing \(no connection: .*\); see that it runs") as refused:
        endpoint.ask_all(ask(*map(str, range(100))))
    assert "\n" not in str(refused.value)
    assert endpoint.report.asked <= 16  # not a hundred times


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, None, r"refuses access; check the key in the environment variable MY_KEY"),
        (403, None, r"refuses access"),
        (404, None, r"has no model 'm'"),
        (402, None, r"top up the account"),
        (429, "insufficient_quota", r"top up the account"),
    ],
)
def test_what_can_never_work_ends_at_once(
    server: Any, acts: ModuleType, monkeypatch: pytest.MonkeyPatch, status: int, code: str | None, expected: str
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.script = [acts.fails(status, f"wrong key\n{KEY}", code)]
    endpoint = connect(server, key_env="MY_KEY", concurrency=2)
    with pytest.raises(EndpointError, match=expected) as refused:
        endpoint.ask_all(ask(*map(str, range(50))))
    assert KEY not in str(refused.value)
    assert "[key]" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(server.seen) <= 2
    assert KEY not in repr(endpoint.report)
    assert KEY not in repr(endpoint.settings)


def test_a_missing_key_is_asked_for(server: Any, acts: ModuleType) -> None:
    server.script = [acts.fails(401)]
    with pytest.raises(EndpointError, match="put a key into the environment variable OPENAI_API_KEY"):
        one(connect(server))


def test_a_key_that_cannot_be_sent_is_refused(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ä\nb")
    with pytest.raises(EndpointError, match="OPENAI_API_KEY holds characters") as refused:
        one(connect(server))
    assert "sk-" not in str(refused.value)


def test_too_many_failures_stop_and_what_came_is_kept(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    def script(seen: Any) -> Any:
        return acts.says("prose") if seen.body["messages"][0]["content"].startswith("bad") else acts.says(GOOD)

    server.script = script
    asked = ask(*(f"good {i}" for i in range(17)), *(f"bad {i}" for i in range(3)))
    with pytest.raises(
        EndpointError, match=r"of 20 requests to m at .* failed, most of them: no usable reply"
    ) as stopped:
        connect(server, tmp_path, max_failed=0.02, concurrency=1).ask_all(asked)
    assert "\n" not in str(stopped.value)
    assert len(files(tmp_path)) == 17
    before = len(server.seen)
    lenient = connect(server, tmp_path, max_failed=0.03)
    found = lenient.ask_all(asked)
    assert len(server.seen) - before == 3 * 3  # the failures, three times each; nothing else
    assert [isinstance(each, Failure) for each in found] == [False] * 17 + [True] * 3
    assert lenient.report.cached == 17
    assert lenient.report.failed == {"no usable reply": 3}


def test_a_judge_of_no_use_is_given_up(server: Any, acts: ModuleType) -> None:
    server.script = [acts.says("it depends")]
    endpoint = connect(server, concurrency=2)
    with pytest.raises(EndpointError, match=r"answered nothing .*no usable reply"):
        endpoint.ask_all(ask(*map(str, range(500))))
    assert endpoint.report.asked <= 21
    assert isinstance(one(connect(server)), Failure)  # a single one is a failure, no more


def test_one_bad_request_is_one_failure(server: Any, acts: ModuleType) -> None:
    server.script = lambda seen: acts.fails(400, "too long") if seen.last.startswith("long") else acts.says(GOOD)
    endpoint = connect(server, concurrency=1)
    found = endpoint.ask_all(ask("a", "long", "b"))
    assert isinstance(found[1], Failure)
    assert found[1].reason == "refused as a bad request (400)"
    assert "too long" in found[1].detail
    assert all("response_format" in seen.body for seen in (server.seen[0], server.seen[-1]))  # not its fault
    assert endpoint.report.retried == 0


def test_a_model_that_refuses_is_a_failure(server: Any, acts: ModuleType) -> None:
    server.script = [acts.says(GOOD), acts.says(None, refusal="I can't help."), acts.says("", "content_filter")]
    found = connect(server, concurrency=1).ask_all(ask("a", "b", "c"))
    assert found[1:] == [Failure("refused to answer", "I can't help."), Failure("refused to answer", "")]


def test_a_server_without_structured_replies_is_asked_in_words_only(server: Any, acts: ModuleType) -> None:
    server.script = lambda seen: acts.fails(400, "what?") if "response_format" in seen.body else acts.says(BAD)
    endpoint = connect(server, concurrency=1)
    assert all(isinstance(each, Verdict) for each in endpoint.ask_all(ask("a", "b", "c")))
    assert isinstance(endpoint.ask_all(ask("d"))[0], Verdict)
    assert ["response_format" in seen.body for seen in server.seen] == [True, False, False, False, False]
    assert '"enum": ["correct", "incorrect"]' in server.seen[1].last
