"""A server that says what a local model said, in the forms in which servers tell of tokens; it is independent of ours.

Each dialect is as its project documents it: vLLM (protocol.py of its OpenAI entry points), llama.cpp (server-task.cpp),
OpenAI's reference, `transformers serve` (transformers 5.23). What was generated is known, so that what is recovered can
be held against it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.endpoint.server import Act, Seen, fails
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses import remote
from hneurons.responses.response import Response
from hneurons.responses.sampling import Prompt, Sampling, sample

Dialect = Literal["vllm", "old vllm", "llama.cpp", "openai", "transformers", "mute"]

KNOWN = {"model", "messages", "prompt", "max_tokens", "temperature", "top_p", "seed", "stop", "n", "logprobs", "stream"}
KNOWN |= {"stream_options"}


@dataclass(frozen=True)
class Said:
    """One generation: every token, the end of the turn among them, and the text that is shown."""

    ids: tuple[int, ...]
    text: str
    finish: str


Spoil = Callable[[Said], Said]
"""Something wrong that a server may do."""


def generations(
    model: LanguageModel, questions: Sequence[Question], how: PromptFormat, sampling: Sampling
) -> dict[int, tuple[int, ...]]:
    """What the model generates to each seed that is sent: the tokens, with the end of the turn, and no stop strings."""
    prompts = [Prompt(each.id, tuple(how.token_ids(each.text, model.tokenizer))) for each in questions]
    end = min(model.eos_ids)
    return {
        remote._seed(sampling.seed, each.question_id, each.sample): each.token_ids
        + ((end,) if each.finish == "stop" else ())
        for own in sample(model, prompts, sampling.model_copy(update={"stop": ()}))
        for each in own
    }


def local(
    model: LanguageModel, questions: Sequence[Question], how: PromptFormat, sampling: Sampling
) -> list[list[Response]]:
    """What sampling here gives."""
    prompts = [Prompt(each.id, tuple(how.token_ids(each.text, model.tokenizer))) for each in questions]
    return sample(model, prompts, sampling)


@dataclass
class Speaker:
    """Answers requests in a dialect; `spoil` is done to every text before it is sent.

    `template` is what the server puts around a chat, and `one_seed` has it take one seed for all texts of a request.
    """

    model: LanguageModel
    made: Mapping[int, tuple[int, ...]]
    dialect: Dialect
    spoil: Spoil = lambda said: said
    template: Callable[[list[int]], list[int]] = lambda ids: ids
    one_seed: bool = False

    def __call__(self, seen: Seen) -> Act:
        body = seen.body
        if self.dialect in ("openai", "transformers") and body.keys() - KNOWN:
            name = min(body.keys() - KNOWN)
            return fails(400 if self.dialect == "openai" else 422, f"Unknown parameter: {name}")
        n = body.get("n", 1) if self.dialect not in ("transformers", "mute") else 1
        tokenizer = self.model.tokenizer
        if "prompt" in body:
            prompt = tokenizer(body["prompt"])["input_ids"]
        else:
            prompt = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]
        prompt = self.template(prompt)
        said = [self.spoil(self.cut(body, body["seed"] + (0 if self.one_seed else i))) for i in range(n)]
        total = sum(len(each.ids) for each in said)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": total, "total_tokens": len(prompt) + total}
        if self.dialect == "transformers" and body.get("stream"):
            return self.stream(said[0], usage, "prompt" in body)
        choices = [self.choice(i, each, body) for i, each in enumerate(said)]
        whole: dict[str, Any] = {"id": "x", "model": "m", "choices": choices, "usage": usage}
        if self.dialect == "vllm" and body.get("return_token_ids"):
            for holder in choices if "prompt" in body else [whole]:
                holder["prompt_token_ids"] = prompt
        return Act(json.dumps(whole))

    def cut(self, body: Mapping[str, Any], seed: int) -> Said:
        ids = self.made[seed]
        decode = self.model.tokenizer.decode
        for n in range(1, len(ids) + 1):
            text = decode(list(ids[:n]), skip_special_tokens=True)
            met = [text.index(string) for string in body.get("stop", ()) if string in text]
            if met:
                shown = text if self.dialect == "transformers" else text[: min(met)]  # which leaves the string in
                return Said(ids[:n], shown, "stop")
        text = decode(list(ids), skip_special_tokens=True)
        ended = ids[-1] in self.model.eos_ids
        if self.dialect in ("vllm", "old vllm") and not ended:
            text = text.rstrip("\ufffd")  # bytes that are no character yet are kept back
        return Said(ids, text, "stop" if ended else "length")

    def choice(self, index: int, said: Said, body: Mapping[str, Any]) -> dict[str, Any]:
        plain = "prompt" in body
        made: dict[str, Any] = {"index": index, "finish_reason": said.finish, "logprobs": None}
        made |= {"text": said.text} if plain else {"message": {"role": "assistant", "content": said.text}}
        if self.dialect == "vllm" and body.get("return_token_ids"):
            made["token_ids"] = list(said.ids)
        if not body.get("logprobs") or self.dialect in ("transformers", "mute"):
            return made
        if self.dialect in ("vllm", "old vllm"):
            named = [f"token_id:{i}" for i in said.ids] if body.get("return_tokens_as_token_ids") else None
            texts = named or [self.model.tokenizer.decode([i]) for i in said.ids]
            items = [{"token": text, "logprob": -1.0, "bytes": list(text.encode())} for text in texts]
            made["logprobs"] = {"tokens": texts} if plain else {"content": items}
        elif self.dialect == "llama.cpp":
            made["logprobs"] = {"content": [{"id": i, "token": "", "bytes": [], "logprob": -1.0} for i in said.ids]}
        else:
            ids = said.ids[:-1] if said.ids and said.ids[-1] in self.model.eos_ids else said.ids
            data = [self.bytes(i) for i in ids]
            items = [{"token": each.decode("utf-8", "replace"), "logprob": -1.0, "bytes": list(each)} for each in data]
            made["logprobs"] = {"content": items}
        return made

    def bytes(self, token_id: int) -> bytes:
        """By the table that transformers itself has for byte-level vocabularies."""
        piece = self.model.tokenizer.convert_ids_to_tokens(token_id)
        if token_id in self.model.tokenizer.added_tokens_decoder:
            return str(piece).encode()
        table = {character: byte for byte, character in bytes_to_unicode().items()}
        return bytes(table[character] for character in piece)

    def stream(self, said: Said, usage: Mapping[str, int], plain: bool) -> Act:
        """One event for every token that yields text, by the incremental decoder that `transformers serve` uses."""
        from tokenizers.decoders import DecodeStream

        decoder = DecodeStream([], skip_special_tokens=True)
        backend = self.model.tokenizer.backend_tokenizer
        steps = [decoder.step(backend, token_id) for token_id in said.ids]
        events: list[dict[str, Any]] = [] if plain else [{"delta": {"role": "assistant"}}]
        events += [{"text": text} if plain else {"delta": {"content": text}} for text in steps if text is not None]
        events.append(
            {"text": "", "finish_reason": said.finish} if plain else {"delta": {}, "finish_reason": said.finish}
        )
        bodies: list[dict[str, Any]] = [{"id": "x", "choices": [{"index": 0, **event}]} for event in events]
        bodies[-1]["usage"] = usage
        text = "".join(f"data: {json.dumps(body)}\n\n" for body in bodies)
        return Act(text, headers={"Content-Type": "text/event-stream"})


def shifted(said: Said) -> Said:
    """Every id is that of the next token."""
    return replace(said, ids=tuple(token_id + 1 if 5 < token_id < 319 else token_id for token_id in said.ids))
