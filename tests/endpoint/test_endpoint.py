"""Asking an endpoint: what is sent and what is read, held against a real server on this machine that misbehaves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.endpoint.asking import BAD, GOOD, KEY, Verdict, ask, connect, files, one

from hneurons.endpoint import EndpointSettings, Failure

# What is sent


def test_what_is_sent(server: Any, acts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    server.script = [acts.says(GOOD)]
    endpoint = connect(server, key_env="MY_KEY", seed=3, extra={"reasoning_effort": "low"})
    assert one(endpoint) == Verdict(reason="it is right", verdict="correct")
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(seen.body)
    shape = seen.body.pop("response_format")
    assert shape["json_schema"]["schema"] == Verdict.model_json_schema()
    messages = seen.body.pop("messages")
    assert messages[0]["content"].startswith("is it right?")
    assert '"enum": ["correct", "incorrect"]' in messages[0]["content"]
    assert seen.body == {"model": "m", "temperature": 0, "seed": 3, "max_tokens": 512, "reasoning_effort": "low"}


def test_without_a_key_none_is_sent(server: Any, acts: ModuleType) -> None:
    server.script = [acts.says(GOOD)]
    one(connect(server))
    assert "authorization" not in server.seen[0].headers


def test_parameters_that_a_server_does_not_take_are_left_out(server: Any, acts: ModuleType) -> None:
    server.script = [acts.says(GOOD)]
    one(connect(server, leave_out=["seed", "max_tokens", "response_format"], extra={"max_completion_tokens": 9}))
    assert set(server.seen[0].body) == {"model", "messages", "temperature", "max_completion_tokens"}


@pytest.mark.parametrize(
    "secret",
    ["me:{}@host/v1", "{}@host/v1", "host/v1?key={}", "host/v1#{}", "host/v1;key={}", "host/v1;key={}/more", "host?{}"],
)
def test_addresses_that_hold_secrets_are_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match=r"address holds a name, password, query or fragment") as error:
        EndpointSettings(url=f"http://{secret.format(KEY)}", model="m")
    assert KEY not in str(error.value)


@pytest.mark.parametrize("url", ["localhost:8000", "file:///tmp/x", "http://", "host/v1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is no address of a server"):
        EndpointSettings(url=url, model="m")


@pytest.mark.parametrize(
    "extra",
    [
        {"api_key": KEY},
        {"X-API-Key": KEY},
        {"apikey": KEY},
        {"key": KEY},
        {"token": KEY},
        {"azure_access_token": KEY},
        {"client_secret": KEY},
        {"extra_headers": {"Authorization": KEY}},
        {"more": [{"password": KEY}]},
        {"header": f"Bearer {KEY}"},
    ],
)
def test_keys_among_the_extra_fields_are_refused_and_not_repeated(extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"looks like a key; put it into an environment variable") as error:
        EndpointSettings(url="http://host/v1", model="m", extra=extra)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "extra",
    [
        {"max_completion_tokens": 9, "min_tokens": 1, "token": 3},
        {"reasoning_effort": "low", "prompt_cache_key": "hneurons", "tokenizer": "auto"},
        {"guided_json": {"properties": {"key": {"type": "string"}}}, "stop_token_ids": [1, 2]},
    ],
)
def test_other_extra_fields_are_taken(extra: dict[str, Any]) -> None:
    assert EndpointSettings(url="http://host/v1", model="m", extra=extra).extra == extra


# What comes back


@pytest.mark.parametrize(
    "text",
    [
        BAD,
        f"```json\n{BAD}\n```",
        f"```\n{BAD}\n```\n",
        f"  {BAD}\n",
        f"<think>\nIt is correct? {GOOD}\n</think>\n\n{BAD}",
    ],
)
def test_incorrect_is_never_read_as_correct(server: Any, acts: ModuleType, text: str) -> None:
    server.script = [acts.says(text)]
    found = one(connect(server))
    assert isinstance(found, Verdict)
    assert found.verdict == "incorrect"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("incorrect", "not one JSON object"),
        ("It is incorrect.", "not one JSON object"),
        ("", "not one JSON object"),
        ("true", "valid dictionary"),
        (f"The reply says {GOOD}, which is bold.", "not one JSON object"),
        (f"{GOOD}\n{BAD}", "not one JSON object"),
        ('{"reason": "", "verdict": "correct", "verdict": "incorrect"}', "one field twice"),
        ('{"reason": "", "verdict": "Correct"}', "verdict: Input should be 'correct' or 'incorrect'"),
        ('{"reason": "", "verdict": true}', "verdict"),
        ('{"verdict": "correct"}', "reason: Field required"),
        ('{"reason": "", "verdict": "correct", "score": 1}', "score"),
        ("{'reason': 'it is', 'verdict': 'correct'}", "not one JSON object"),
        ("[" * 100_000, "not one JSON object"),
    ],
)
def test_anything_but_the_verdict_is_asked_again(server: Any, acts: ModuleType, text: str, objection: str) -> None:
    server.script = [acts.says(text), acts.says(BAD)]
    endpoint = connect(server)
    assert one(endpoint) == Verdict(reason="it is wrong", verdict="incorrect")
    assert [turn["role"] for turn in server.seen[1].body["messages"]] == ["user", "assistant", "user"]
    assert server.seen[1].body["messages"][1]["content"] == text[:2000]
    assert objection in server.seen[1].last
    assert endpoint.report.repeated == 1
    assert endpoint.report.prompt_tokens == 14


def test_prose_for_ever_is_a_failure_and_no_verdict(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    server.script = lambda seen: acts.says(
        "I would say it is correct." if "right" in seen.body["messages"][0]["content"] else BAD
    )
    endpoint = connect(server, tmp_path)
    found = endpoint.ask_all(ask("is it right?", "is it wrong?"))
    assert found[0] == Failure("no usable reply", "it is not one JSON object and nothing else")
    assert isinstance(found[1], Verdict)
    assert len(server.seen) == 4
    assert endpoint.report.failed == {"no usable reply": 1}
    assert len(files(tmp_path)) == 1


def test_a_reply_that_is_cut_off_says_so(server: Any, acts: ModuleType) -> None:
    server.script = lambda seen: (
        acts.says(GOOD[:20], "length") if "long" in seen.body["messages"][0]["content"] else acts.says(GOOD)
    )
    found = connect(server, max_tokens=20).ask_all(ask("a", "long"))[1]
    assert found == Failure("reply cut off", "it is longer than max_tokens, 20")


def test_names_and_alphabets_survive(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    reason = 'It says "O\'Neill", O’Neill, Zürich, 東京, \\ and 😀\n{"verdict": "incorrect"}'
    server.script = [acts.says(json.dumps({"reason": reason, "verdict": "correct"}, ensure_ascii=False))]
    for _ in range(2):  # the second time from the cache
        assert one(connect(server, tmp_path), "Eugene O'Neill, 東京 😀?") == Verdict(reason=reason, verdict="correct")
    assert len(server.seen) == 1
    assert "Eugene O'Neill, 東京 😀?" in server.seen[0].last


def test_a_reply_of_the_right_shape_can_still_be_refused(server: Any, acts: ModuleType, tmp_path: Path) -> None:
    server.script = [acts.says(GOOD), acts.says(BAD)]
    asked = ask("x", check=lambda reply: "say that it is wrong" if reply.verdict == "correct" else None)
    found = connect(server, tmp_path).ask_all(asked)
    assert found == [Verdict(reason="it is wrong", verdict="incorrect")]
    assert "say that it is wrong" in server.seen[1].last


def test_every_setting_is_documented_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| *`?([^|`]*?)`? *\|", page, flags=re.MULTILINE))
    for name, field in EndpointSettings.model_fields.items():
        default = "required" if field.is_required() else field.get_default(call_default_factory=True)
        assert told[name] == (
            "" if default in (None, (), {}) else f"{default:g}" if isinstance(default, float) else str(default)
        )
