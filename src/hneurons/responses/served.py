"""A served copy of the model: how it is asked, and what it turns out to offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from hneurons.endpoint import Completion, Endpoint, EndpointSettings, Failure, Request
from hneurons.errors import EndpointError
from hneurons.responses.sampling import Sampling
from hneurons.responses.served_tokens import Reader, Tokens


class ServedSettings(EndpointSettings):
    """A server that has a copy of the model, and what its texts must come with.

    Attributes:
        tokens: "exact": the tokens that were generated, as the server names them or gives their bytes; what cannot be
            had exactly is dropped and counted. "streamed": each event of a stream is taken for one token, as
            `transformers serve` sends them. "retokenised": the text is cut into tokens again, and some of them are not
            those that were generated.
        together: ask for all samples of a question in one request, where the server can: its prompt passes once. The
            seed of the request is then that of the first sample, and the server derives the others (vLLM adds the
            number of the sample, as the seeds of single requests do).
        concurrency: requests at the same time, at most; fewer while the server says that it is busy.
    """

    tokens: Tokens = "exact"
    together: bool = True
    concurrency: int = Field(default=64, ge=1)

    @property
    def deciding(self) -> dict[str, Any]:
        return {**super().deciding, "tokens": self.tokens, "together": self.together}


@dataclass(frozen=True)
class Offer:
    """What a server takes: fields that every request has, and whether it gives several texts for one.

    `top_k` says whether it samples from the k likeliest tokens only, if that is wanted.
    """

    fields: Mapping[str, Any]
    together: bool
    top_k: bool


_IDS = {"return_token_ids": True}
_NAMED = {"return_tokens_as_token_ids": True}
_EVENTS = {"stream": True, "stream_options": {"include_usage": True}}


def _forms(tokens: Tokens, plain: bool) -> list[dict[str, Any]]:
    """Ways to ask for tokens, the best first."""
    logprobs: dict[str, Any] = {"logprobs": 1 if plain else True}
    return {"exact": [_IDS, {**logprobs, **_NAMED}, logprobs], "streamed": [_EVENTS], "retokenised": []}[tokens]


def agree(endpoint: Endpoint, body: Mapping[str, Any], reader: Reader, sampling: Sampling, together: bool) -> Offer:
    """Find out what a server takes, by a few requests that are sent as they will be, field after field.

    Nothing else is varied: some servers go on as they were first asked.

    Args:
        endpoint: the server.
        body: of the first request, without the fields in question.
        reader: of what it sends back.
        sampling: how.
        together: whether several texts are wanted for one request.

    Raises:
        EndpointError: it does not answer, or cannot tell the tokens of its texts.
    """
    name = f"{endpoint.settings.model} at {endpoint.settings.url}"

    def tried(fields: Mapping[str, Any]) -> Completion | None:
        found = endpoint.complete(Request({**body, **fields}))
        if not isinstance(found, Failure):
            return found
        if not found.refused or not fields:
            raise EndpointError(f"{name} does not answer ({found}); see that it runs and takes such requests")
        return None

    tried({})
    fields: dict[str, Any] = {}
    drawn = sampling.temperature > 0
    wanted = drawn and sampling.top_k > 0
    if wanted and "top_k" not in endpoint.settings.leave_out and tried({"top_k": sampling.top_k}) is not None:
        fields["top_k"] = sampling.top_k
    forms = _forms(reader.tokens, "prompt" in body)
    for form in forms:
        found = tried({**fields, **form})
        if found is not None and (found.only.token_ids is not None or found.only.tokens is not None):
            fields |= form
            break
    else:
        if forms:
            raise EndpointError(f"{name} {_TELLS_NOTHING[reader.tokens]}")
    n = sampling.n_samples
    several = together and drawn and n > 1 and reader.tokens != "streamed"
    if several:
        found = tried({**fields, "n": n})
        several = found is not None and len(found.choices) == n
    return Offer(fields, several, "top_k" in fields or not wanted)


_TELLS_NOTHING: Mapping[Tokens, str] = {
    "exact": "does not tell the tokens of its texts (asked for their ids, and for log probabilities with their bytes); "
    "serve the model with vLLM (0.10.2 or later) or SGLang, or accept what is lost when texts are cut into tokens "
    'again, with tokens = "retokenised"',
    "streamed": 'sends no stream of texts; use another server, or tokens = "exact" or "retokenised"',
}
