"""The bytes of tokens, and the tokens of bytes, for each way of writing a vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hneurons.endpoint.completion import Choice, Completion, Token
from hneurons.errors import EndpointError
from hneurons.models.language_model import LanguageModel
from hneurons.responses.sampling import Sampling
from hneurons.responses.served_tokens import Reader
from hneurons.responses.vocabulary import Vocabulary, _byte_of_character


def sentencepiece(drops: bool = True) -> PreTrainedTokenizerFast:
    """A vocabulary with "▁" for a space and tokens for single bytes, as those of Llama 2 and Gemma."""
    words = ["<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁Paris", "Paris", "▁is", "▁nice", "a", "."]
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if drops else [])])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def test_byte_level_pieces_stand_for_the_bytes_that_transformers_says() -> None:
    assert _byte_of_character() == {character: byte for byte, character in bytes_to_unicode().items()}


def test_every_token_of_a_byte_level_vocabulary_is_found_by_its_bytes(tiny_llama: LanguageModel) -> None:
    tokenizer = tiny_llama.tokenizer
    vocabulary = Vocabulary(tokenizer)
    table = {character: byte for byte, character in bytes_to_unicode().items()}
    for piece, token_id in tokenizer.get_vocab().items():
        special = token_id in tokenizer.added_tokens_decoder
        data = piece.encode() if special else bytes(table[character] for character in piece)
        assert vocabulary.ids(data) == (token_id,)
    assert not vocabulary.drops_space
    assert vocabulary.ids(b"no such token") == ()


def test_sentencepiece_writes_spaces_and_single_bytes_in_its_own_way() -> None:
    tokenizer = sentencepiece()
    vocabulary, ids = Vocabulary(tokenizer), tokenizer.get_vocab()
    assert vocabulary.ids(b" Paris") == (ids["▁Paris"],)
    assert vocabulary.ids(b"\xc3") == (ids["<0xC3>"],)
    assert set(vocabulary.ids(b"a")) == {ids["a"], ids["<0x61>"]}  # a letter, and its byte
    assert vocabulary.drops_space
    assert not Vocabulary(sentencepiece(drops=False)).drops_space


def test_a_vocabulary_that_is_not_understood_is_refused() -> None:
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "paris": 1, "##s": 2}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(EndpointError, match=r"not known here.*use a server that returns token ids"):
        Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend))


def test_a_decoder_that_does_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = sentencepiece()
    decode = tokenizer.decode
    monkeypatch.setattr(tokenizer, "decode", lambda ids, **how: decode(ids, **how).upper())
    with pytest.raises(EndpointError, match="decodes to something else"):
        Vocabulary(tokenizer)


def read(choice: Choice, prompt_ids: tuple[int, ...] = (0,)) -> Any:
    """Made of one choice, with a tokenizer that drops the space of a first token."""
    tokenizer = sentencepiece()
    reader = Reader(tokenizer, {1}, len(tokenizer), "exact", Sampling(max_new_tokens=4))
    return reader.response(Completion((choice,), 0, 0), 0, "q", 0, "", prompt_ids)


def test_a_space_that_the_tokenizer_drops_is_no_other_text() -> None:
    """Servers decode behind the prompt and keep it; the record has the text that sampling here gives."""
    ids = sentencepiece().get_vocab()
    said = (ids["▁Paris"], ids["▁is"], 1)
    behind = (0, ids["▁nice"])
    for text in ("Paris is", " Paris is"):
        found = read(Choice(text, "stop", said), behind)
        assert (found.token_ids, found.text, found.offsets) == (said[:2], "Paris is", ((0, 5), (5, 8)))
    assert read(Choice("  Paris is", "stop", said), behind) == "tokens_of_another_text"
    assert read(Choice("Paris is ", "stop", said), behind) == "tokens_of_another_text"


def test_bytes_of_a_first_token_may_be_those_of_two() -> None:
    """A server that decodes tokens singly drops the space: "Paris" with and without it look the same."""
    first, second = Token("Paris", b"Paris"), Token(" is", b" is")
    assert read(Choice("Paris is", "stop", None, (first, second))) == "bytes_of_several_tokens"
    ids = sentencepiece().get_vocab()
    spaced = Choice(" Paris is", "stop", None, (Token(" Paris", b" Paris"), second))
    assert read(spaced, (0, ids["▁nice"])).token_ids == (ids["▁Paris"], ids["▁is"])
    letter = Choice("Paris is.", "stop", None, (Token("", b" Paris"), second, Token(".", b".")))
    assert read(letter) == "bytes_of_several_tokens"  # "." and its byte


def test_bytes_that_cannot_be_shown_are_no_token() -> None:
    lost = Choice("\ufffd", "length", None, (Token("\ufffd"),) * 4)
    assert read(lost) == "token_not_in_vocabulary"
