"""One request to an endpoint: sent, sent again where that may help, and its completion read."""

from __future__ import annotations

import asyncio
import functools
import math
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from hneurons.endpoint.completion import Completion, read_completion
from hneurons.endpoint.failing import REFUSED, Again, Refused
from hneurons.endpoint.pace import Pace
from hneurons.endpoint.settings import EndpointSettings
from hneurons.errors import EndpointError
from hneurons.progress import console

if TYPE_CHECKING:
    import openai

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second attempt, doubled for each further one up to the longest; a server that says how long to
wait is waited for, however long."""

SAID = 10.0
"""Waits as long as this are announced."""


@dataclass(frozen=True)
class Request:
    """What is sent: the fields of a chat completion or, with a plain prompt, of a completion.

    `optional` fields are sent until the server refuses a request because of them.
    """

    body: Mapping[str, Any]
    optional: Mapping[str, Any] = field(default_factory=dict)


class Wire:
    """Sends requests of one session, `concurrency` at a time, or fewer while the server is busy.

    A rate limit holds all of them back.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.retried = 0
        self.completions = 0
        self.refuses_optional = False
        self.pace = Pace(settings.concurrency)
        self._sleep = sleep
        self._clock = clock
        self._held_until = -math.inf

    def client(self) -> openai.AsyncOpenAI:
        """A client for one event loop; retries are ours."""
        import openai  # late: it takes a second, and most commands never ask an endpoint

        return openai.AsyncOpenAI(
            api_key=self.settings.key() or "none",  # "none" is never sent; see _post
            base_url=self.settings.url,
            max_retries=0,
            timeout=self.settings.timeout,
            http_client=openai.DefaultAsyncHttpxClient(verify=_certificates()),
        )

    async def send(self, client: openai.AsyncOpenAI, request: Request) -> Completion:
        """Send one request, as often as it takes and the settings allow.

        Raises:
            Failed: there is no completion.
            EndpointError: there never will be one: the key, the model or the account is refused.
        """
        for attempt in range(1, self.settings.attempts + 1):
            try:
                found = await self._paced(client, request)
                self.completions += 1
                return found
            except Again as problem:
                delay = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
                delay = delay if problem.wait is None else max(problem.wait, 0.0)
                if problem.everyone:
                    self._hold_back(delay)
                if attempt == self.settings.attempts:
                    raise
                self.retried += 1
                if not problem.everyone:
                    await self._sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _paced(self, client: openai.AsyncOpenAI, request: Request) -> Completion:
        number = await self.pace.enter()
        try:
            await self._hold()
            found = await self._accepted(client, request)
            self.pace.fine()
            return found
        except Again as problem:
            if problem.busy:
                self.pace.busy(number)
            raise
        finally:
            self.pace.leave()

    def _hold_back(self, seconds: float) -> None:
        """Nobody sends anything for so long."""
        until = self._clock() + seconds
        if seconds >= SAID and until > self._held_until + 1:
            console.print(f"{self.settings.model} asks to wait {seconds:.0f} s (rate limit)", style="yellow")
        self._held_until = max(self._held_until, until)

    async def _hold(self) -> None:
        while (left := self._held_until - self._clock()) > 0:
            await self._sleep(left)

    async def _accepted(self, client: openai.AsyncOpenAI, request: Request) -> Completion:
        """With the optional fields, or without them where the server refuses these: then for the whole session."""
        if not request.optional or self.refuses_optional:
            return await self._post(client, request.body)
        try:
            return await self._post(client, {**request.body, **request.optional})
        except Refused:
            found = await self._post(client, request.body)  # if this is refused too, it was about something else
            self.refuses_optional = True
            return found

    async def _post(self, client: openai.AsyncOpenAI, body: Mapping[str, Any]) -> Completion:
        import openai

        fields = {**body, **self.settings.extra}
        fields = {name: value for name, value in fields.items() if name not in self.settings.leave_out}
        headers: Any = None if self.settings.key() else {"Authorization": openai.Omit()}
        try:
            async with asyncio.timeout(self.settings.timeout):  # in all: a server may also trickle
                if "prompt" in fields:
                    prompt = fields.pop("prompt")
                    raw: Any = await client.completions.with_raw_response.create(
                        model=self.settings.model, prompt=prompt, extra_body=fields, extra_headers=headers
                    )
                else:
                    messages = fields.pop("messages")
                    raw = await client.chat.completions.with_raw_response.create(
                        model=self.settings.model, messages=messages, extra_body=fields, extra_headers=headers
                    )
        except (TimeoutError, openai.APITimeoutError):
            raise Again("timed out", f"no answer within {self.settings.timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise Again("no connection", self._words(str(error.__cause__ or error))) from None
        except openai.APIStatusError as error:
            raise self._status(error) from None
        return read_completion(raw.http_response.text)

    def _status(self, error: openai.APIStatusError) -> Exception:
        """What an HTTP status means: to be sent again, one failure, or the end."""
        named = error.body.get("message") if isinstance(error.body, dict) else None
        status, said = error.status_code, self._words(str(named or error.message))
        where = f"{self.settings.url} ({status}: {said})"
        if status in (401, 403):
            have = "check the key in" if self.settings.key() else "put a key into"
            return EndpointError(f"{where} refuses access; {have} the environment variable {self.settings.key_env}")
        if status in (404, 405):
            return EndpointError(f"{where} has no model {self.settings.model!r}, or no API there; check both names")
        if status == 402 or (status == 429 and error.code == "insufficient_quota"):
            return EndpointError(f"{where} wants to be paid first; top up the account and run again")
        if status == 429:
            return Again("rate limited", said, _retry_after(error.response.headers), everyone=True, busy=True)
        if status in (408, 409) or status >= 500:
            wait = _retry_after(error.response.headers)
            return Again(f"server error {status}", said, wait, busy=status in (503, 529))
        return Refused(f"{REFUSED} ({status})", said)

    def _words(self, text: str) -> str:
        """One short line of what a server said; never the key, which some repeat."""
        line = " ".join(text.split())
        if key := self.settings.key():
            line = line.replace(key, "[key]")
        return line if len(line) <= 200 else f"{line[:199]}…"


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Those that httpx trusts; to read them takes longer than many a request."""
    import httpx

    return httpx.create_ssl_context()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait (RFC 9110, 10.2.3: seconds or a date; OpenAI also sends milliseconds)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return seconds
    try:
        return parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time()
    except ValueError:
        return None
