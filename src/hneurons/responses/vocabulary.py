"""The bytes of every token of a tokenizer, and the tokens that have given bytes."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from hneurons.errors import EndpointError

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_LOST = "\ufffd"


class Vocabulary:
    """Which tokens write which bytes, read off the tokenizer's own decoder and checked against what it decodes.

    Byte-level vocabularies (GPT-2, Llama 3, Qwen) and those that write a space as "▁" (SentencePiece) are known.

    Attributes:
        drops_space: whether the tokenizer leaves out the space that a first token begins with.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Read the vocabulary of a fast tokenizer.

        Raises:
            EndpointError: it writes its tokens in some other way, or they do not decode to the bytes that were read.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        kinds = set(_kinds(json.loads(backend.to_str()).get("decoder"))) if backend is not None else set()
        if "ByteLevel" in kinds:
            table = _byte_of_character()
        elif kinds & {"Replace", "Metaspace"}:
            table = None
        else:
            raise _unknown("they are written in a way that is not known here")
        added = {token_id: str(token) for token_id, token in tokenizer.added_tokens_decoder.items()}
        self._ids: dict[bytes, list[int]] = defaultdict(list)
        probe: list[tuple[int, bytes]] = []
        for piece, token_id in tokenizer.get_vocab().items():
            data = added[token_id].encode() if token_id in added else _bytes(piece, table)
            if data is not None:
                self._ids[data].append(token_id)
                if token_id not in added:
                    probe.append((token_id, data))
        _check(tokenizer, probe)
        spaced = next((token_id for token_id, data in probe if re.fullmatch(rb" [A-Za-z]+", data)), None)
        self.drops_space = spaced is not None and not tokenizer.decode([spaced]).startswith(" ")

    def ids(self, data: bytes) -> tuple[int, ...]:
        """Every token that writes these bytes; none where no token does."""
        return tuple(self._ids.get(data, ()))


def _kinds(decoder: Any) -> Iterator[str]:
    """The types of a decoder and of what it is made of."""
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))
        for inner in decoder.get("decoders", ()):
            yield from _kinds(inner)


def _bytes(piece: str, table: dict[str, int] | None) -> bytes | None:
    """The bytes that a piece of the vocabulary writes; None where it has a character that the table lacks."""
    if table is not None:
        known = [table.get(character) for character in piece]
        return None if None in known else bytes(each for each in known if each is not None)
    if byte := _BYTE.fullmatch(piece):
        return bytes([int(byte[1], 16)])
    return piece.replace("▁", " ").encode()


def _byte_of_character() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (GPT-2: Radford et al., 2019).

    Bytes that print in Latin-1 stand for themselves; the others, in order, are written from U+0100 on.
    """
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _check(tokenizer: Any, probe: list[tuple[int, bytes]]) -> None:
    """Hold tokens from all over the vocabulary against what they decode to behind another token."""
    words = [(token_id, data) for token_id, data in probe if re.fullmatch(rb"[A-Za-z]+", data)]
    if not words:
        raise _unknown("it has no token that is a word")
    first, before = words[0]
    for token_id, data in probe[:: max(1, len(probe) // 512)]:
        text = data.decode("utf-8", "replace")
        if _LOST in text:  # bytes of a character that is spread over tokens have no text of their own
            continue
        if tokenizer.decode([first, token_id], clean_up_tokenization_spaces=False) != before.decode() + text:
            raise _unknown(f"token {token_id} decodes to something else than {text!r}")


def _unknown(why: str) -> EndpointError:
    return EndpointError(
        f"the bytes of this tokenizer's tokens cannot be told ({why}); use a server that returns token ids"
    )
