"""Responses of a served copy of the model, as records that neurons can be read at.

Many requests are under way at a time, over the bounds of parts, and the samples of a question stand together, beside
questions whose prompts begin alike, so that a server's prefix cache finds what it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hneurons.endpoint import Account, Completion, Endpoint, Failure, Request
from hneurons.errors import EndpointError
from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses.response import Response
from hneurons.responses.sampling import Sampling
from hneurons.responses.served import Offer, ServedSettings, agree
from hneurons.responses.served_tokens import MEANING, OTHER_PROMPT, Reader

NO_TOP_K = "sampled_without_top_k"
FEWER = Failure("fewer texts than asked for")

NONE_OF = 20
"""So many dropped texts without one that was kept are the end."""

ALIKE = 50
"""So many questions whose samples are all the same say that nothing is drawn."""


@dataclass(frozen=True)
class RemoteSamples:
    """Responses to each question, in order, fewer than were asked for where some failed; and how it went.

    The notes of the account count the texts that were dropped, by reason (the names are those of `served_tokens`);
    of texts that were kept, those to a prompt that the server counts in another number of tokens
    (`prompt_of_another_length`, only where texts are cut into tokens again), and those sampled without top_k, which
    the server does not take (`sampled_without_top_k`).
    """

    responses: list[list[Response]]
    account: Account


@dataclass
class _Part:
    """What is under way of one part."""

    questions: Sequence[Question]
    prompts: list[str]
    ids: list[tuple[int, ...]]
    left: int
    responses: list[list[Response]]
    failures: Counter[Failure] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0


_Name = tuple[int, int, int, int]
"""Of a request: part, place of the question in it, first sample, number of samples."""


class Served:
    """A served copy of `model`, which is sampled in its place.

    Args:
        settings: the server; its own temperature, seed and max_tokens do not matter here.
        model: the local copy, of which tokenizer and end of turn are used.
        offer: what the server takes; found out where it is left out.
        sleep, clock: how time passes; for tests.
    """

    def __init__(
        self,
        settings: ServedSettings,
        model: LanguageModel,
        offer: Offer | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.endpoint = Endpoint(settings, sleep=sleep, clock=clock)
        self._model = model
        self._given = offer
        self._offers: dict[tuple[PromptFormat, Sampling], Offer] = {}
        self._kept = 0
        self._dropped: Counter[str] = Counter()

    def sample(
        self, questions: Sequence[Question], how: PromptFormat, sampling: Sampling, description: str | None = None
    ) -> RemoteSamples:
        """Sample `sampling.n_samples` responses to each question; arguments and errors as of `sample_parts`."""
        found: list[RemoteSamples] = []
        self.sample_parts({0: questions}, how, sampling, lambda _, samples: found.append(samples), description)
        return found[0]

    def sample_parts(
        self,
        parts: Mapping[int, Sequence[Question]],
        how: PromptFormat,
        sampling: Sampling,
        done: Callable[[int, RemoteSamples], None],
        description: str | None = None,
    ) -> None:
        """Sample the questions of several parts, and hand over each part as soon as it is whole.

        A chat goes to the server's chat completions, and its template makes the prompt; a plain prompt goes to its
        completions. The seed of a sample comes from (seed, question, sample); see `ServedSettings.together`.

        Args:
            parts: what is asked, by the number of the part.
            how: chat or plain, and the prompt around the question.
            sampling: how; a `top_k` that the server refuses is left out.
            done: takes the number of a part and what came of it.
            description: of the progress bar; no bar without one.

        Raises:
            EndpointError: the server cannot be used or cannot tell tokens, fails too often, has another prompt, or does
                not draw.
        """
        parts = {number: questions for number, questions in parts.items() if questions}
        if not parts:
            return
        if self.settings.tokens == "streamed" and any(len(string) > 1 for string in sampling.stop):
            raise EndpointError(
                "streamed tokens cannot be told apart where a stop string has several characters, for a server may "
                'hold text back; use stop strings of one character, or tokens = "exact"'
            )
        n_tokens = self._model.hf.get_input_embeddings().num_embeddings
        reader = Reader(self._model.tokenizer, self._model.eos_ids, n_tokens, self.settings.tokens, sampling)
        first = next(iter(parts.values()))[0]
        offer = self._offer(first, how, sampling, reader)
        n = sampling.n_samples
        a_time = n if offer.together else 1
        total = sum(len(questions) for questions in parts.values()) * (n // a_time)
        open_parts: dict[int, _Part] = {}
        watch = _Watch(sampling, done)

        def requests() -> Iterator[tuple[_Name, Request]]:
            for number, questions in parts.items():
                prompts = [how.text(question.text, self._model.tokenizer) for question in questions]
                ids = [tuple(how.token_ids(question.text, self._model.tokenizer)) for question in questions]
                left = len(questions) * (n // a_time)
                open_parts[number] = _Part(questions, prompts, ids, left, [[] for _ in questions])
                for place in sorted(range(len(questions)), key=ids.__getitem__):  # prompts that begin alike, together
                    for sample in range(0, n, a_time):
                        body = _body(questions[place], prompts[place], sample, how, sampling)
                        several = {"n": n} if offer.together else {}
                        yield (number, place, sample, a_time), Request({**body, **offer.fields, **several})

        def answered(name: _Name, found: Completion | Failure) -> None:
            number, place, sample, asked = name
            part = open_parts[number]
            self._take(part, place, range(sample, sample + asked), found, reader, offer, sampling)
            part.left -= 1
            if not part.left:
                watch.whole(number, self._samples(open_parts.pop(number), sampling))

        self.endpoint.complete_each(requests(), total, answered, description)
        watch.end()

    def _offer(self, question: Question, how: PromptFormat, sampling: Sampling, reader: Reader) -> Offer:
        if self._given is not None:
            return self._given
        if (how, sampling) not in self._offers:
            prompt = how.text(question.text, self._model.tokenizer)
            body = _body(question, prompt, 0, how, sampling)
            self._offers[how, sampling] = agree(self.endpoint, body, reader, sampling, self.settings.together)
        return self._offers[how, sampling]

    def _take(
        self,
        part: _Part,
        place: int,
        samples: range,
        found: Completion | Failure,
        reader: Reader,
        offer: Offer,
        sampling: Sampling,
    ) -> None:
        """Enter what came back for some samples of a question."""
        question = part.questions[place]
        missing = found if isinstance(found, Failure) else FEWER
        came = 0 if isinstance(found, Failure) else min(len(found.choices), len(samples))
        if came < len(samples):
            part.failures[missing] += len(samples) - came
            self.endpoint.stop_if_too_many(part.failures, len(part.questions) * sampling.n_samples)
        if isinstance(found, Failure):
            return
        part.prompt_tokens += found.prompt_tokens
        part.completion_tokens += found.completion_tokens
        part.notes[NO_TOP_K] += 0 if offer.top_k else came
        wrong = reader.prompt(found, part.ids[place])
        if wrong is not None and reader.tokens == "retokenised":
            part.notes[OTHER_PROMPT] += came
            wrong = None
        for choice, sample in zip(range(came), samples, strict=False):
            made = wrong or reader.response(found, choice, question.id, sample, part.prompts[place], part.ids[place])
            if isinstance(made, Response):
                part.responses[place].append(made)
                self._kept += 1
            else:
                part.notes[made] += 1
                self._drop(made)

    def _drop(self, reason: str) -> None:
        self._dropped[reason] += 1
        if self._kept or self._dropped.total() < NONE_OF:
            return
        often, n = self._dropped.most_common(1)[0]
        raise EndpointError(
            f"none of the first {self._dropped.total()} texts of {self.settings.model} at {self.settings.url} could be "
            f"kept, {n} of them because of {often}: {MEANING[often]}"
        )

    def _samples(self, part: _Part, sampling: Sampling) -> RemoteSamples:
        failed: Counter[str] = Counter()
        for failure, n in part.failures.items():
            failed[failure.reason] += n
        account = Account(
            model=self.settings.model,
            url=self.settings.url,
            asked=len(part.questions) * sampling.n_samples,
            failed=dict(sorted(failed.items())),
            prompt_tokens=part.prompt_tokens,
            completion_tokens=part.completion_tokens,
            cost=self.settings.cost(part.prompt_tokens, part.completion_tokens),
            notes={name: n for name, n in sorted(part.notes.items()) if n},
        )
        return RemoteSamples([sorted(own, key=lambda each: each.sample) for own in part.responses], account)


class _Watch:
    """Hands whole parts over, but not before some question's samples differ: a server may decode greedily."""

    def __init__(self, sampling: Sampling, done: Callable[[int, RemoteSamples], None]) -> None:
        self._drawn = sampling.temperature < 0.5 or sampling.n_samples == 1
        self._done = done
        self._alike = 0
        self._held: list[tuple[int, RemoteSamples]] = []

    def whole(self, number: int, samples: RemoteSamples) -> None:
        self._held.append((number, samples))
        several = [own for own in samples.responses if len(own) > 1]
        self._alike += len(several)
        self._drawn = self._drawn or any(len({each.token_ids for each in own}) > 1 for own in several)
        if self._drawn:
            self.end()
        elif self._alike >= ALIKE:
            raise EndpointError(
                f"{samples.account.model} at {samples.account.url} says the same each time it is asked, of "
                f"{self._alike} questions: it decodes greedily, or takes one seed for all samples; have it sample "
                "(some servers need generation settings of their own, in extra), or set together = false"
            )

    def end(self) -> None:
        for number, samples in self._held:
            self._done(number, samples)
        self._held.clear()


def _body(question: Question, prompt: str, sample: int, how: PromptFormat, sampling: Sampling) -> dict[str, Any]:
    """The fields of a request that every server takes."""
    body: dict[str, Any] = {"max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature}
    body["seed"] = _seed(sampling.seed, question.id, sample)
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.temperature > 0:
        body["top_p"] = sampling.top_p
    if how.style == "plain":
        body["prompt"] = prompt
    else:
        turns = [("system", how.system)] if how.system is not None else []
        turns.append(("user", how.content(question.text)))
        body["messages"] = [{"role": role, "content": content} for role, content in turns]
    return body


def _seed(seed: int, question_id: str, sample: int) -> int:
    """30 bits of (seed, question), and the number of the sample: what a server makes of the first for the others."""
    digest = hashlib.sha256(f"remote\0{seed}\0{question_id}".encode()).digest()
    return (int.from_bytes(digest[:4], "big") >> 2) + sample
