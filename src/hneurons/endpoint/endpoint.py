"""An endpoint that is asked many things at once: each answer counted, each verdict kept on disk."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from hneurons.endpoint.account import Report
from hneurons.endpoint.cache import Cache, Entry, content_key
from hneurons.endpoint.completion import Completion
from hneurons.endpoint.failing import Failed, Failure
from hneurons.endpoint.settings import EndpointSettings
from hneurons.endpoint.structured import Message, again, read_reply, response_format, with_shape
from hneurons.endpoint.wire import Request, Wire
from hneurons.errors import EndpointError
from hneurons.progress import steps

if TYPE_CHECKING:
    import openai

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
K = TypeVar("K")
Job = Callable[["openai.AsyncOpenAI"], Coroutine[Any, Any, T]]

REPLIES = 3
"""How often an answer is asked for before its unreadable replies count as a failure."""

UNUSABLE = 20
"""So many failures without one usable answer are the end, though completions do come."""

FEW = 100
"""The largest share of failures is one of at least so many requests: one slip among five is no reason to stop."""


def _no_objection(reply: BaseModel) -> str | None:
    return None


@dataclass(frozen=True)
class Ask(Generic[M]):
    """A question whose answer has a shape.

    Attributes:
        messages: the chat; the last turn is the user's. What shape the reply has to have is added to it.
        reply: the shape: a pydantic model without defaults that forbids other fields.
        check: what is wrong with a reply of the right shape, told to the model when it is asked again; None if nothing.
    """

    messages: tuple[Message, ...]
    reply: type[M]
    check: Callable[[M], str | None] = _no_objection


class Endpoint:
    """A server and a model on it. What is asked, cached, sent again and failed adds up in `report`.

    Args:
        settings: which, and how it is asked.
        cache: folder of answers to keep and to look up; nothing is kept without one.
        sleep, clock: how time passes; for tests.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        cache: Path | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.wire = Wire(settings, sleep, clock)
        self._cache = Cache(cache) if cache else None
        self._n: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    @property
    def report(self) -> Report:
        """What was asked since this object was made."""
        n, settings = self._n, self.settings
        return Report(
            model=settings.model,
            url=settings.url,
            asked=n["asked"],
            failed=dict(sorted(self._failed.items())),
            prompt_tokens=n["prompt"],
            completion_tokens=n["completion"],
            cost=settings.cost(n["prompt"], n["completion"]),
            cached=n["cached"],
            damaged=n["damaged"],
            retried=self.wire.retried,
            repeated=n["repeated"],
        )

    def ask_all(self, asks: Sequence[Ask[M]], description: str | None = None) -> list[M | Failure]:
        """Ask everything that the cache does not know, some at a time; answers come in the order of `asks`.

        What is asked twice is asked once. A failure is no answer, and is never kept.

        Args:
            asks: what to ask.
            description: of the progress bar, such as "judging by LLM"; no bar without one.

        Raises:
            EndpointError: the key, the model or the address is refused, nothing at all is answered, or more than the
                largest share fails. What was answered stays in the cache.
        """
        keys = [self._key(ask) for ask in asks]
        distinct = dict(zip(keys, asks, strict=True))
        jobs = [(key, self._job(key, ask)) for key, ask in distinct.items()]
        answers: dict[str, M | Failure] = {}
        failures: Counter[Failure] = Counter()

        def answered(key: str, answer: M | Failure) -> None:
            answers[key] = answer
            if isinstance(answer, Failure):
                failures[answer] += 1
                self.stop_if_too_many(failures, len(jobs))

        self._run(jobs, len(jobs), answered, description)
        return [answers[key] for key in keys]

    def complete_each(
        self,
        requests: Iterable[tuple[K, Request]],
        total: int,
        answered: Callable[[K, Completion | Failure], None],
        description: str | None = None,
    ) -> None:
        """Send plain requests, each of its own and none of them cached, and hand over what comes as it comes.

        Args:
            requests: what to send, in this order, and what to call each; taken as places become free.
            total: number of requests.
            answered: called with the name of a request and what came of it, from one thread, never twice at a time; the
                request's place stays taken meanwhile. What it raises ends everything.
            description: of the progress bar, such as "sampling train"; no bar without one.

        Raises:
            EndpointError: the key, the model or the address is refused, or nothing at all is answered.
        """
        self._run(((key, self._plain(request)) for key, request in requests), total, answered, description)

    def complete(self, request: Request) -> Completion | Failure:
        """Send one plain request; errors as of `complete_each`."""
        found: list[Completion | Failure] = []
        self.complete_each([(None, request)], 1, lambda _, answer: found.append(answer))
        return found[0]

    def _plain(self, request: Request) -> Job[Completion]:
        async def send(client: openai.AsyncOpenAI) -> Completion:
            found = await self.wire.send(client, request)
            self._n.update(prompt=found.prompt_tokens, completion=found.completion_tokens)
            return found

        return send

    def _parameters(self) -> dict[str, Any]:
        settings = self.settings
        return {"temperature": settings.temperature, "seed": settings.seed, "max_tokens": settings.max_tokens}

    def _key(self, ask: Ask[M]) -> str:
        content = {
            "messages": ask.messages,
            "schema": ask.reply.model_json_schema(),
            **self.settings.deciding,
        }
        return content_key(content)

    def _job(self, key: str, ask: Ask[M]) -> Job[M]:
        async def answer(client: openai.AsyncOpenAI) -> M:
            if (known := self._known(key, ask)) is not None:
                return known
            return await self._fresh(client, key, ask)

        return answer

    def _known(self, key: str, ask: Ask[M]) -> M | None:
        """What the cache knows; what is damaged there, or no longer valid, is asked again."""
        if self._cache is None:
            return None
        try:
            entry = self._cache.read(key)
            if entry is None:
                return None
            reply = ask.reply.model_validate(entry.reply)
            if ask.check(reply) is not None:
                raise ValueError("it is no longer valid")
        except ValueError:
            self._n["damaged"] += 1
            return None
        self._n.update(cached=1, prompt=entry.prompt_tokens, completion=entry.completion_tokens)
        return reply

    async def _fresh(self, client: openai.AsyncOpenAI, key: str, ask: Ask[M]) -> M:
        messages = with_shape(ask.messages, ask.reply)
        optional = {"response_format": response_format(ask.reply)}
        prompt_tokens = completion_tokens = 0
        for attempt in range(REPLIES):
            self._n["repeated"] += bool(attempt)
            found = await self.wire.send(client, Request({"messages": messages, **self._parameters()}, optional))
            self._n.update(prompt=found.prompt_tokens, completion=found.completion_tokens)
            prompt_tokens += found.prompt_tokens
            completion_tokens += found.completion_tokens
            try:
                reply = read_reply(found.text, ask.reply)
                objection = ask.check(reply)
            except ValueError as error:
                objection = str(error)
            if objection is None:
                if self._cache:
                    entry = Entry(
                        key=key,
                        reply=reply.model_dump(mode="json"),
                        prompt_tokens=prompt_tokens,
                        completion_tokens=completion_tokens,
                    )
                    await asyncio.to_thread(self._cache.write, entry)
                return reply
            messages = again(with_shape(ask.messages, ask.reply), found.text, objection, ask.reply)
        if found.finish == "length":
            raise Failed("reply cut off", f"it is longer than max_tokens, {self.settings.max_tokens}")
        raise Failed("no usable reply", objection or "")

    def _run(
        self,
        jobs: Iterable[tuple[K, Job[T]]],
        total: int,
        answered: Callable[[K, T | Failure], None],
        description: str | None,
    ) -> None:
        """All jobs, `concurrency` at a time, in an event loop of their own."""
        work = self._work(jobs, total, answered, description)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work)
        with ThreadPoolExecutor(1) as elsewhere:  # a notebook has a loop that runs already
            return elsewhere.submit(asyncio.run, work).result()

    async def _work(
        self,
        jobs: Iterable[tuple[K, Job[T]]],
        total: int,
        answered: Callable[[K, T | Failure], None],
        description: str | None,
    ) -> None:
        waiting = iter(jobs)
        failed = 0
        progress: AbstractContextManager[Callable[[], None]] = (
            steps(description, total) if description else nullcontext(lambda: None)
        )

        async def worker(client: openai.AsyncOpenAI, beside: ThreadPoolExecutor, step: Callable[[], None]) -> None:
            nonlocal failed
            for key, job in waiting:
                self._n["asked"] += 1
                answer: T | Failure
                try:
                    answer = await job(client)
                    self._n["answered"] += 1
                except Failed as end:
                    answer = end.failure
                    failed += 1
                    self._failed[answer.reason] += 1
                    self._stop_if_in_vain(answer, failed, total)
                await asyncio.get_running_loop().run_in_executor(beside, answered, key, answer)
                step()

        with ThreadPoolExecutor(1) as beside:  # so that what comes is read and kept while more is under way
            async with self.wire.client() as client:
                with progress as step:
                    n = min(self.settings.concurrency, total)
                    workers = [asyncio.create_task(worker(client, beside, step)) for _ in range(n)]
                    try:
                        await asyncio.gather(*workers)
                    finally:  # one error is the end: the others stop sending
                        for each in workers:
                            each.cancel()
                        await asyncio.gather(*workers, return_exceptions=True)

    def _stop_if_in_vain(self, failure: Failure, failed: int, total: int) -> None:
        """Raise as soon as it is clear that nothing but failures comes back."""
        in_vain = UNUSABLE if self.wire.completions else min(self.settings.concurrency, total)
        if not self._n["answered"] and failed >= in_vain:
            raise EndpointError(f"{self._name} answered nothing ({failure}); see that it runs and takes such requests")

    def stop_if_too_many(self, failed: Counter[Failure], total: int) -> None:
        """Raise if so many failures are more than the largest share of `total` requests, of which FEW are allowed.

        Raises:
            EndpointError: they are.
        """
        if failed.total() > self.settings.max_failed * max(total, FEW):
            reasons = Counter[str]()
            for failure, n in failed.items():
                reasons[failure.reason] += n
            often = reasons.most_common(1)[0][0]
            why = next(str(failure) for failure in failed if failure.reason == often)
            raise EndpointError(
                f"{failed.total()} of {total} requests to {self._name} failed, most of them: {why}; see to it, or "
                "allow more with max_failed, and run again: every answer that came is kept"
            )

    @property
    def _name(self) -> str:
        return f"{self.settings.model} at {self.settings.url}"
