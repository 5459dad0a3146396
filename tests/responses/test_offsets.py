from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hneurons.responses.offsets import cut_at_stop, decode_with_offsets

TEXTS = [
    "Zürich liegt an der Limmat.",
    "Il a dit : « déjà vu » à Noël",
    "東京 is Tokyo 🙂",
    "👩‍👩‍👧 x",
    "a  b\n\tc",
    "naïve café",
]


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", clean_up_tokenization_spaces=False
    )


def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level BPE, as in GPT-2, Llama 3 and Qwen: any token may hold part of a character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["</s>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return wrapped(tokenizer)


def sentencepiece() -> PreTrainedTokenizerFast:
    """As in Llama 2, Mistral and Gemma: spaces are letters, characters outside the vocabulary are spelled in bytes."""
    pieces = ["</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyzTZü.:"]
    merges = [("▁", "i"), ("▁i", "s"), ("a", "n"), ("▁", "▁")]
    vocabulary = {piece: n for n, piece in enumerate([*pieces, *("".join(pair) for pair in merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return wrapped(tokenizer)


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte-level": byte_level,
    "sentencepiece": sentencepiece,
}


@pytest.fixture(params=TOKENIZERS, scope="module")
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return TOKENIZERS[request.param]()


def pieces(tokenizer: Any, ids: list[int]) -> list[str]:
    text, offsets = decode_with_offsets(tokenizer, ids)
    assert text == tokenizer.decode(ids, skip_special_tokens=True)
    assert len(offsets) == len(ids)
    edges = [0, *(edge for span in offsets for edge in span), len(text)]
    assert edges == sorted(edges)
    assert "".join(text[first:last] for first, last in offsets) == text
    return [text[first:last] for first, last in offsets]


@pytest.mark.parametrize("text", TEXTS)
def test_every_character_belongs_to_the_token_that_completes_it(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    """Checked against the bytes of the tokens, added up."""
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    got = pieces(tokenizer, ids)
    so_far = b""
    before = ""
    for token, piece in zip(tokenizer.convert_ids_to_tokens(ids), got, strict=True):
        so_far += token_bytes(tokenizer, token)
        complete = so_far.removeprefix(b" " if "▁" in tokenizer.get_vocab() else b"").decode(errors="ignore")
        assert before + piece == complete
        before = complete


def token_bytes(tokenizer: PreTrainedTokenizerFast, token: str) -> bytes:
    if "▁" in tokenizer.get_vocab():
        return bytes([int(token[3:5], 16)]) if token.startswith("<0x") else token.replace("▁", " ").encode()
    alphabet = dict(zip(*byte_letters(), strict=True))
    return bytes(alphabet[letter] for letter in token)


def byte_letters() -> tuple[list[str], list[int]]:
    """GPT-2's letters for bytes: printable bytes stand for themselves, the others for 256, 257, ..."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(len(others))], printable + others


def test_tokens_decoded_one_by_one_would_not_do(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("Zürich 🙂 is")["input_ids"]
    assert pieces(tokenizer, ids) != [tokenizer.decode([number]) for number in ids]


def test_an_emoji_is_the_last_of_its_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("a 🤖 b")["input_ids"]
    got = pieces(tokenizer, ids)
    assert [piece.strip() for piece in got if piece.strip()] == ["a", "🤖", "b"]
    at = got.index("🤖") if "🤖" in got else got.index(" 🤖")
    assert "" in got[at - 3 : at], "its first bytes add no character"


def test_a_character_cut_off_at_the_end_is_still_some_token_s(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("a 🤖")["input_ids"]
    got = pieces(tokenizer, ids[:-1])
    assert "\ufffd" in "".join(got)


def test_skipped_special_tokens_are_empty(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("is an é")["input_ids"]
    end = tokenizer.eos_token_id
    with_ends = [end, *ids[:2], end, end, *ids[2:]]
    got = pieces(tokenizer, with_ends)
    assert [got[0], got[3], got[4]] == ["", "", ""]
    assert [piece for n, piece in enumerate(got) if n not in (0, 3, 4)] == pieces(tokenizer, ids)


def test_sentencepiece_s_first_space_belongs_to_no_token() -> None:
    tokenizer = sentencepiece()
    ids = tokenizer("is an is")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["▁is", "▁", "an", "▁is"]
    assert pieces(tokenizer, ids) == ["is", " ", "an", " is"]


@given(st.lists(st.integers(0, 290), max_size=25))
@settings(max_examples=200, deadline=None)
def test_any_tokens_at_all_have_offsets(ids: list[int]) -> None:
    for tokenizer in (BYTE_LEVEL, SENTENCEPIECE):
        pieces(tokenizer, [number for number in ids if number < len(tokenizer)])


BYTE_LEVEL, SENTENCEPIECE = byte_level(), sentencepiece()


def test_no_tokens_no_text() -> None:
    assert decode_with_offsets(BYTE_LEVEL, []) == ("", ())


OFFSETS = ((0, 5), (5, 7), (7, 7), (7, 9), (9, 12))
TEXT = "Paris.\n\nAnd "


def test_text_ends_before_the_first_stop_string() -> None:
    assert cut_at_stop(TEXT, OFFSETS, ["And", "\n\n"]) == ("Paris.", ((0, 5), (5, 6)))
    assert cut_at_stop(TEXT, OFFSETS, ["x"]) == (TEXT, OFFSETS)
    assert cut_at_stop(TEXT, OFFSETS, []) == (TEXT, OFFSETS)


def test_a_token_that_begins_before_the_stop_string_is_kept_and_cut() -> None:
    text, offsets = cut_at_stop(TEXT, OFFSETS, [".\n"])
    assert (text, offsets) == ("Paris", ((0, 5),)), "the stop string begins where a token begins"
    text, offsets = cut_at_stop(TEXT, OFFSETS, ["is."])
    assert (text, offsets) == ("Par", ((0, 3),))


def test_tokens_of_a_character_that_is_cut_off_go_with_it() -> None:
    assert cut_at_stop("ab🤖", ((0, 2), (2, 2), (2, 2), (2, 3)), ["🤖"]) == ("ab", ((0, 2),))
    assert cut_at_stop("🤖b", ((0, 0), (0, 0), (0, 1), (1, 2)), ["b"]) == ("🤖", ((0, 0), (0, 0), (0, 1)))


def test_a_stop_string_at_the_start_leaves_nothing() -> None:
    assert cut_at_stop("\nParis", ((0, 1), (1, 6)), ["\n"]) == ("", ())
