"""What an endpoint sends back for one request: texts, and of their tokens whatever it tells.

Servers tell of tokens in several forms; each is read where it stands, and none is guessed:

- `choices[].token_ids`, and `prompt_token_ids` beside the choices or in each: vLLM and SGLang, for `return_token_ids`;
- `logprobs` with tokens named `token_id:123`: vLLM, for `return_tokens_as_token_ids`;
- `logprobs.content[].id`: llama.cpp;
- `logprobs.content[].bytes`: OpenAI and those who follow it; in plain completions `logprobs.tokens`, which are texts;
- a stream, whose every event is the text of one token: `transformers serve`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from hneurons.endpoint.failing import Again, Failed

Finish = Literal["stop", "length"]

_NAMED = re.compile(r"token_id:(\d+)")


class Token(NamedTuple):
    """One generated token, as far as it is told: its text, its bytes, its id."""

    text: str
    data: bytes | None = None
    id: int | None = None


@dataclass(frozen=True)
class Choice:
    """One text. `finish` is the server's word for why it ended; what it does not tell of the tokens is None."""

    text: str
    finish: str
    token_ids: tuple[int, ...] | None = None
    tokens: tuple[Token, ...] | None = None


@dataclass(frozen=True)
class Completion:
    """What came back: the choices, None for one that was refused; tokens are counted as the server does."""

    choices: tuple[Choice | None, ...]
    prompt_tokens: int
    completion_tokens: int
    prompt_token_ids: tuple[int, ...] | None = None

    @property
    def only(self) -> Choice:
        """The first choice that there is."""
        return next(choice for choice in self.choices if choice is not None)

    @property
    def text(self) -> str:
        return self.only.text

    @property
    def finish(self) -> str:
        return self.only.finish


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Said(_Lenient):
    content: str | None = None
    refusal: str | None = None


class _Item(_Lenient):
    token: str = ""
    bytes: tuple[int, ...] | None = None
    id: int | None = None


class _Logprobs(_Lenient):
    content: tuple[_Item, ...] | None = None
    tokens: tuple[str, ...] | None = None


class _Choice(_Lenient):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: tuple[int, ...] | None = None
    prompt_token_ids: tuple[int, ...] | None = None
    logprobs: _Logprobs | None = None


class _Usage(_Lenient):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(_Lenient):
    """Of a completion's body, or of one event of a stream, what is read."""

    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    prompt_token_ids: tuple[int, ...] | None = None


def read_completion(text: str) -> Completion:
    """The completion that is the body of an answer, or that the events of a stream add up to.

    Raises:
        Again: it is none, or holds no text, or the stream was cut.
        Failed: the server refused to answer.
    """
    try:
        if text.lstrip().startswith("data:"):
            return _streamed(text)
        body = _Body.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        raise Again("not a completion", "the body is not that of a completion") from None
    if not body.choices:
        raise Again("empty reply", "the completion has no choices")
    choices = sorted(body.choices, key=lambda choice: choice.index)
    said = [choice.message or _Said(content=choice.text) for choice in choices]
    refused = [each.refusal is not None and each.refusal != "" for each in said]
    refused = [no or choice.finish_reason == "content_filter" for no, choice in zip(refused, choices, strict=True)]
    if all(refused):
        raise Failed("refused to answer", " ".join((said[0].refusal or "").split())[:200])
    if any(each.content is None and not no for each, no in zip(said, refused, strict=True)):
        raise Again("empty reply", "the completion has no text")
    prompt_ids = body.prompt_token_ids or next((choice.prompt_token_ids for choice in choices), None)
    usage = body.usage or _Usage()
    return Completion(
        tuple(
            None if no else Choice(each.content or "", choice.finish_reason or "", choice.token_ids, _tokens(choice))
            for choice, each, no in zip(choices, said, refused, strict=True)
        ),
        usage.prompt_tokens,
        usage.completion_tokens,
        prompt_ids,
    )


def _tokens(choice: _Choice) -> tuple[Token, ...] | None:
    told = choice.logprobs
    if told is None:
        return None
    if told.content is not None:
        return tuple(_token(item.token, item.bytes, item.id) for item in told.content)
    if told.tokens is not None:
        return tuple(_token(text, None, None) for text in told.tokens)
    return None


def _token(text: str, data: tuple[int, ...] | None, token_id: int | None) -> Token:
    if named := _NAMED.fullmatch(text):
        return Token(text, None, int(named[1]))
    return Token(text, None if data is None else bytes(data), token_id)


def _streamed(text: str) -> Completion:
    """What the events of a stream add up to, each of their texts as one token."""
    said: dict[int, list[Token]] = {}
    finish: dict[int, str] = {}
    usage = _Usage()
    for line in text.splitlines():
        event = line.removeprefix("data:").strip()
        if not line.startswith("data:") or event == "[DONE]":
            continue
        fields = json.loads(event)
        if isinstance(fields, Mapping) and fields.get("error"):
            raise Again("server error in a stream", " ".join(str(fields["error"]).split())[:200])
        body = _Body.model_validate(fields)
        usage = body.usage or usage
        for choice in body.choices:
            piece = choice.delta.content if choice.delta is not None else choice.text
            own = said.setdefault(choice.index, [])
            if piece:
                own.append(Token(piece))
            if choice.finish_reason:
                finish[choice.index] = choice.finish_reason
    if not said or said.keys() != finish.keys():
        raise Again("empty reply", "the stream ended before the text did")
    choices: list[Any] = [
        Choice("".join(token.text for token in said[index]), finish[index], None, tuple(said[index]))
        for index in sorted(said)
    ]
    return Completion(tuple(choices), usage.prompt_tokens, usage.completion_tokens)


def finish_of(choice: Choice) -> Finish:
    """Why a text ended, as `Response` has it: "length" at the cap, "stop" otherwise."""
    return "length" if choice.finish in ("length", "max_tokens") else "stop"
