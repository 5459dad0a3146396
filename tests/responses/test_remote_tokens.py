"""Tokens of served texts: those that were generated, in every dialect, or none; each kind of wrong ones is dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.responses.serving import Dialect, Said, Speaker, Spoil, generations, local, shifted

from hneurons.errors import EndpointError
from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses.offsets import decode_with_offsets
from hneurons.responses.remote import Served, _seed
from hneurons.responses.sampling import Sampling
from hneurons.responses.served import ServedSettings

N = 16
QUESTIONS = [Question(id=f"q{i}", text=f"What is the capital of {i}?", aliases=("x",)) for i in range(N)]
PLAIN, CHAT = PromptFormat(style="plain"), PromptFormat()
FREE = Sampling(n_samples=4, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=12, seed=3)
STOPPED = FREE.model_copy(update={"stop": ("e", " i")})


@pytest.fixture(scope="module")
def made(tiny_llama: LanguageModel) -> Callable[[PromptFormat], dict[int, tuple[int, ...]]]:
    """What the model generates to each seed, worked out once for each way of asking."""
    known: dict[PromptFormat, dict[int, tuple[int, ...]]] = {}

    def of(how: PromptFormat) -> dict[int, tuple[int, ...]]:
        if how not in known:
            known[how] = generations(tiny_llama, QUESTIONS, how, FREE)
        return known[how]

    return of


def settings(server: Any, **more: Any) -> ServedSettings:
    return ServedSettings.model_validate({"url": server.url, "model": "m", "max_failed": 1, "attempts": 1, **more})


@pytest.mark.parametrize("sampling", [FREE, STOPPED], ids=["free", "stopped"])
@pytest.mark.parametrize("how", [CHAT, PLAIN], ids=["chat", "plain"])
@pytest.mark.parametrize("dialect", ["vllm", "old vllm", "llama.cpp", "openai"])
def test_exact_tokens_are_those_that_were_generated(
    server: Any, tiny_llama: LanguageModel, made: Any, dialect: Dialect, how: PromptFormat, sampling: Sampling
) -> None:
    """All of them, and records that are equal to those of sampling here in every field."""
    server.script = Speaker(tiny_llama, made(how), dialect)
    found = Served(settings(server), tiny_llama).sample(QUESTIONS, how, sampling)
    expected = local(tiny_llama, QUESTIONS, how, sampling)
    assert found.responses == expected
    assert {each.finish for own in expected for each in own} == {"stop", "length"}
    assert any("\ufffd" in each.text for own in expected for each in own)  # cut characters are among them
    assert found.account.notes == {}
    assert found.account.failed == {}


def test_most_texts_are_cut_into_other_tokens_again(server: Any, tiny_llama: LanguageModel, made: Any) -> None:
    """So that the test above can fail: of random text hardly any comes back as it was generated."""
    server.script = Speaker(tiny_llama, made(CHAT), "vllm")
    found = Served(settings(server, tokens="retokenised"), tiny_llama).sample(QUESTIONS, CHAT, FREE)
    expected = {(e.question_id, e.sample): e for own in local(tiny_llama, QUESTIONS, CHAT, FREE) for e in own}
    same = [each == expected[each.question_id, each.sample] for own in found.responses for each in own]
    assert 0 < sum(same) < len(same) / 2


@pytest.mark.parametrize("how", [CHAT, PLAIN], ids=["chat", "plain"])
def test_streamed_tokens_are_those_that_were_generated(
    server: Any, tiny_llama: LanguageModel, how: PromptFormat
) -> None:
    """Where every token has text of its own; the others are dropped, and none is wrong."""
    pieces = [["The", " capital", " is", " Oslo", "."], ["O", "s", "lo"], ["The", " city of", "Oslo"], ["Zürich", "!"]]
    made: dict[int, tuple[int, ...]] = {}
    expected: list[list[tuple[int, ...]]] = []
    for question in QUESTIONS:
        expected.append([])
        for sample in range(FREE.n_samples):
            own = pieces[(sample + QUESTIONS.index(question)) % len(pieces)]
            cut = [tiny_llama.tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in own]
            ids = tuple(token_id for piece in cut for token_id in piece)[: FREE.max_new_tokens - 1]
            made[_seed(FREE.seed, question.id, sample)] = (*ids, 2)
            expected[-1].append(ids)
    server.script = Speaker(tiny_llama, made, "transformers")
    found = Served(settings(server, tokens="streamed"), tiny_llama).sample(QUESTIONS, how, FREE)
    silent = [own for own in expected for ids in own if "Z" in tiny_llama.tokenizer.decode(ids)]  # "ü" is two tokens
    assert found.account.notes == {"streamed_otherwise_than_token_by_token": len(silent)}
    assert len(silent) == N
    for own, ids in zip(found.responses, expected, strict=True):
        assert [each.token_ids for each in own] == [e for e in ids if "Z" not in tiny_llama.tokenizer.decode(e)]
        assert all(
            decode_with_offsets(tiny_llama.tokenizer, each.token_ids) == (each.text, each.offsets) for each in own
        )


def ends_early(said: Said) -> Said:
    return replace(said, ids=said.ids[:-2]) if said.finish == "length" else said


def other_text(said: Said) -> Said:
    return replace(said, text=said.text + ".")


def without_start(said: Said) -> Said:
    return replace(said, ids=said.ids[1:])


def too_many(said: Said) -> Said:
    return replace(said, ids=said.ids + said.ids)


def ended_within(said: Said) -> Said:
    return replace(said, ids=(said.ids[0], 2, *said.ids[1:]))


def unknown(said: Said) -> Said:
    return replace(said, ids=(10**6, *said.ids[1:]))


def ends_otherwise(said: Said) -> Said:
    return replace(said, ids=(*said.ids[:-1], 3), finish="stop") if said.finish == "stop" else said


@pytest.mark.parametrize(
    ("dialect", "spoil", "reason"),
    [
        ("vllm", shifted, "tokens_of_another_text"),
        ("old vllm", shifted, "tokens_of_another_text"),
        ("llama.cpp", shifted, "tokens_of_another_text"),
        ("openai", shifted, "tokens_of_another_text"),
        ("vllm", without_start, "tokens_of_another_text"),
        ("vllm", other_text, "tokens_of_another_text"),
        ("openai", other_text, "tokens_of_another_text"),
        ("vllm", ends_early, "another_number_of_tokens"),
        ("vllm", too_many, "another_number_of_tokens"),
        ("vllm", ended_within, "goes_on_after_its_end"),
        ("vllm", unknown, "token_not_in_vocabulary"),
        ("vllm", ends_otherwise, "ended_by_another_token"),
    ],
)
def test_wrong_tokens_are_dropped_and_counted(
    server: Any,
    tiny_llama: LanguageModel,
    made: Any,
    monkeypatch: pytest.MonkeyPatch,
    dialect: Dialect,
    spoil: Spoil,
    reason: str,
) -> None:
    """Of a server that says something wrong of every text, no text that is wrong is kept."""
    monkeypatch.setattr("hneurons.responses.remote.NONE_OF", 10**6)
    server.script = Speaker(tiny_llama, made(CHAT), dialect, spoil)
    served = Served(settings(server), tiny_llama)
    found = served.sample(QUESTIONS, CHAT, FREE)
    expected = {(e.question_id, e.sample): e for own in local(tiny_llama, QUESTIONS, CHAT, FREE) for e in own}
    kept = [each for own in found.responses for each in own]
    assert all(each == expected[each.question_id, each.sample] for each in kept)
    assert found.account.notes[reason] > 0
    assert sum(found.account.notes.values()) == len(expected) - len(kept)
    assert found.account.failed == {}


def test_a_check_left_out_would_keep_wrong_tokens(
    server: Any, tiny_llama: LanguageModel, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above can fail: without the comparison of texts, shifted tokens come through."""
    monkeypatch.setattr("hneurons.responses.served_tokens.Reader._same", lambda *_: True)
    server.script = Speaker(tiny_llama, made(CHAT), "vllm", shifted)
    found = Served(settings(server), tiny_llama).sample(QUESTIONS, CHAT, FREE)
    assert found.responses != local(tiny_llama, QUESTIONS, CHAT, FREE)
    assert sum(map(len, found.responses)) > N


@pytest.mark.parametrize(("dialect", "reason"), [("vllm", "other_tokens"), ("openai", "another_length")])
def test_another_prompt_stops_the_run(
    server: Any, tiny_llama: LanguageModel, made: Any, dialect: Dialect, reason: str
) -> None:
    """By its tokens where the server gives them, though their number is right; else by their number."""

    def template(ids: list[int]) -> list[int]:
        return [*ids[:-1], 5 if ids[-1] != 5 else 3] if dialect == "vllm" else [*ids, 3]

    server.script = Speaker(tiny_llama, made(CHAT), dialect, template=template)
    with pytest.raises(EndpointError, match=rf"none of the first 20 texts .* prompt_of_{reason}: .* chat template"):
        Served(settings(server, concurrency=4), tiny_llama).sample(QUESTIONS, CHAT, FREE)


@pytest.mark.parametrize("dialect", ["transformers", "mute"])
def test_a_server_that_tells_no_tokens_is_not_sampled(
    server: Any, tiny_llama: LanguageModel, made: Any, dialect: Dialect
) -> None:
    server.script = Speaker(tiny_llama, made(CHAT), dialect)
    with pytest.raises(EndpointError, match=r'does not tell the tokens of its texts .* tokens = "retokenised"') as told:
        Served(settings(server), tiny_llama).sample(QUESTIONS, CHAT, FREE)
    assert "\n" not in str(told.value)
    assert len(server.seen) <= 5


def test_a_server_that_streams_nothing_is_not_sampled(server: Any, tiny_llama: LanguageModel, made: Any) -> None:
    server.script = Speaker(tiny_llama, made(CHAT), "mute")
    with pytest.raises(EndpointError, match="sends no stream"):
        Served(settings(server, tokens="streamed"), tiny_llama).sample(QUESTIONS, CHAT, FREE)
    with pytest.raises(EndpointError, match="stop string has several characters"):
        Served(settings(server, tokens="streamed"), tiny_llama).sample(QUESTIONS, CHAT, STOPPED)
