"""From what a server sends back to a record of it: the very tokens that were generated, or a reason why not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Literal

from hneurons.endpoint.completion import Choice, Completion, Token, finish_of
from hneurons.responses.offsets import contains_stop, cut_at_stop, decode, decode_with_offsets
from hneurons.responses.response import Response
from hneurons.responses.retokenising import retokenise
from hneurons.responses.sampling import Sampling
from hneurons.responses.vocabulary import Vocabulary

Tokens = Literal["exact", "streamed", "retokenised"]
"""Where the tokens of a served text come from: the server's word, its stream's events, or the local tokenizer."""

NO_TOKENS = "no_tokens_with_the_text"
NO_SUCH_TOKEN = "token_not_in_vocabulary"
SEVERAL_TOKENS = "bytes_of_several_tokens"
NOT_ONE_EACH = "streamed_otherwise_than_token_by_token"
GOES_ON = "goes_on_after_its_end"
OTHER_END = "ended_by_another_token"
OTHER_LENGTH = "another_number_of_tokens"
OTHER_TEXT = "tokens_of_another_text"
OTHER_PROMPT_TOKENS = "prompt_of_other_tokens"
OTHER_PROMPT = "prompt_of_another_length"
NOT_ROUND_TRIP = "text_not_retokenised"
REFUSED_TEXT = "refused_by_the_server"

MEANING: dict[str, str] = {
    NO_TOKENS: "the server told nothing of its tokens",
    NO_SUCH_TOKEN: "the server named a token, or bytes, that the local tokenizer has not; another model may be served",
    SEVERAL_TOKENS: "several tokens have the bytes that the server gave; use a server that returns token ids",
    NOT_ONE_EACH: "the stream had not one event for each token that was counted",
    GOES_ON: "a token that ends a turn stands within it; the server ignores the end of the model's turn",
    OTHER_END: "it ended at a special token at which the local model would have gone on",
    OTHER_LENGTH: "more tokens than the cap allows, or fewer though the cap is said to have ended it",
    OTHER_TEXT: "its tokens decode to another text than the server shows; a parser may have changed the text",
    OTHER_PROMPT_TOKENS: "the server's prompt has other tokens; its chat template is another, or adds to the prompt",
    OTHER_PROMPT: "the server's prompt has another number of tokens; its chat template is another, or adds to it",
    NOT_ROUND_TRIP: "the text does not come back from the tokens that it is cut into",
    REFUSED_TEXT: "the server kept the text back",
}
"""Why a text is dropped, in words."""

_LOST = "\ufffd"


class Reader:
    """Makes records of what a served copy of a model says, in the very form of `sample`.

    Args:
        tokenizer: of the local copy.
        eos_ids: tokens that end a turn.
        n_tokens: ids are below this.
        tokens: where the tokens of a text come from.
        sampling: how was sampled; its cap and its stop strings hold for what comes back.
    """

    def __init__(
        self, tokenizer: Any, eos_ids: Collection[int], n_tokens: int, tokens: Tokens, sampling: Sampling
    ) -> None:
        self.tokens = tokens
        self._tokenizer = tokenizer
        self._eos_ids = frozenset(eos_ids)
        self._n_tokens = n_tokens
        self._sampling = sampling
        added = tokenizer.added_tokens_decoder
        self._special = frozenset(token_id for token_id, token in added.items() if token.special)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._tokenizer)

    def prompt(self, found: Completion, prompt_ids: Sequence[int]) -> str | None:
        """What is wrong with the prompt that the server says it had: its tokens or their number; None if nothing."""
        if found.prompt_token_ids is not None:
            return None if found.prompt_token_ids == tuple(prompt_ids) else OTHER_PROMPT_TOKENS
        n = len(found.choices)  # some count a prompt once for every text
        return None if found.prompt_tokens in (0, len(prompt_ids), n * len(prompt_ids)) else OTHER_PROMPT

    def response(
        self, found: Completion, place: int, question_id: str, sample: int, prompt: str, prompt_ids: Sequence[int]
    ) -> Response | str:
        """The record of one choice, or the reason why there is none.

        Args:
            found: what came back.
            place: of the choice in it.
            question_id, sample: whose record it is.
            prompt, prompt_ids: what was asked, as text and as tokens.

        Raises:
            EndpointError: the server gives bytes only, and those of the tokenizer's tokens cannot be told.
        """
        choice = found.choices[place]
        if choice is None:
            return REFUSED_TEXT
        shown, met = _cut(choice.text, self._sampling.stop)  # some servers leave the stop string in
        if self.tokens == "retokenised":
            ids = retokenise(shown, prompt, self._tokenizer)
            if ids is None:
                return NOT_ROUND_TRIP
            text, offsets = decode_with_offsets(self._tokenizer, ids)
            finish = "stop" if met else finish_of(choice)
            return Response(
                question_id=question_id, sample=sample, token_ids=ids, text=text, offsets=offsets, finish=finish
            )
        said = self._ids(found, choice)
        if isinstance(said, str):
            return said
        ended = bool(said) and said[-1] in self._eos_ids
        ids = said[:-1] if ended else said
        if any(token_id in self._eos_ids for token_id in ids):
            return GOES_ON
        whole, offsets = decode_with_offsets(self._tokenizer, ids)
        text, offsets = cut_at_stop(whole, offsets, self._sampling.stop)
        stopped = ended or contains_stop(whole, self._sampling.stop)
        cap = self._sampling.max_new_tokens
        if len(said) > cap or (not stopped and finish_of(choice) == "length" and len(said) < cap):
            return OTHER_LENGTH
        if not stopped and finish_of(choice) == "stop" and ids and ids[-1] in self._special:
            return OTHER_END  # the model would have gone on here
        if text != shown and not self._same(text, shown, ids, prompt_ids):
            return OTHER_TEXT
        return Response(
            question_id=question_id,
            sample=sample,
            token_ids=ids[: len(offsets)],
            text=text,
            offsets=offsets,
            finish="stop" if stopped else finish_of(choice),
        )

    def _ids(self, found: Completion, choice: Choice) -> tuple[int, ...] | str:
        """The ids of the generated tokens, with the end of the turn if the server tells of it."""
        if choice.token_ids is not None:
            ids = choice.token_ids
        elif choice.tokens is None:
            return NO_TOKENS
        elif self.tokens == "streamed" and not self._one_each(found, choice, choice.tokens):
            return NOT_ONE_EACH
        else:
            read = _given(choice.tokens) or self._by_bytes(choice, choice.tokens)
            if isinstance(read, str):
                return read
            ids = read
        return ids if all(0 <= token_id < self._n_tokens for token_id in ids) else NO_SUCH_TOKEN

    def _one_each(self, found: Completion, choice: Choice, tokens: Sequence[Token]) -> bool:
        """Whether a stream had one event for every token that was counted; the end of a turn is counted and silent."""
        silent = finish_of(choice) == "stop" and not contains_stop(choice.text, self._sampling.stop)
        return len(tokens) == found.completion_tokens - silent

    def _by_bytes(self, choice: Choice, tokens: Sequence[Token]) -> tuple[int, ...] | str:
        """The only tokens that write these bytes."""
        ids: list[int] = []
        for place, token in enumerate(tokens):
            data = token.text.encode() if token.data is None else token.data
            if not data and place == len(tokens) - 1 and finish_of(choice) == "stop":
                break  # the end of the turn, which has no text
            if _LOST.encode() in data:
                return NO_SUCH_TOKEN  # bytes that the server could not show
            known = self._vocabulary.ids(data)
            if place == 0 and self._vocabulary.drops_space:
                known += self._vocabulary.ids(b" " + data)
            if len(known) != 1:
                return SEVERAL_TOKENS if known else NO_SUCH_TOKEN
            ids += known
        return tuple(ids)

    def _same(self, text: str, shown: str, ids: Sequence[int], prompt_ids: Sequence[int]) -> bool:
        """Whether a server may show the text of these tokens in this other way.

        It may decode them behind the prompt, where a tokenizer that drops the space of a first token does not drop it;
        and it may keep back the last bytes where they are no character yet.
        """
        before = decode(self._tokenizer, prompt_ids)
        behind = decode(self._tokenizer, [*prompt_ids, *ids])
        ways = {text}
        if behind.startswith(before):
            ways.add(_cut(behind[len(before) :], self._sampling.stop)[0])
        return any(shown.rstrip(_LOST) == way.rstrip(_LOST) for way in ways)


def _given(tokens: Sequence[Token]) -> tuple[int, ...] | None:
    """The ids of tokens that all name theirs."""
    ids = tuple(token.id for token in tokens if token.id is not None)
    return ids if tokens and len(ids) == len(tokens) else None


def _cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there is one."""
    if not contains_stop(text, stop):
        return text, False
    return text[: min(text.index(string) for string in stop if string in text)], True
