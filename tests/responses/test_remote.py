"""Responses of a served copy of a model, cut into tokens again: what is sent, and records true to the text."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses.offsets import decode, decode_with_offsets
from hneurons.responses.remote import RemoteSamples, Served
from hneurons.responses.retokenising import retokenise
from hneurons.responses.sampling import Sampling
from hneurons.responses.served import Offer, ServedSettings

QUESTIONS = [Question(id=name, text=f"What is the capital of {name}?", aliases=("x",)) for name in ("France", "Norway")]
SAMPLING = Sampling(n_samples=3, temperature=0.7, top_k=20, top_p=0.8, max_new_tokens=9, seed=4, stop=("\n",))


ONE_BY_ONE = Offer({"top_k": 20}, together=False, top_k=True)


def settings(server: Any, **more: Any) -> ServedSettings:
    return ServedSettings.model_validate({"url": server.url, "model": "m", "tokens": "retokenised", **more})


def sampled(
    server: Any,
    model: LanguageModel,
    how: PromptFormat,
    sampling: Sampling = SAMPLING,
    offer: Offer | None = ONE_BY_ONE,
) -> RemoteSamples:
    return Served(settings(server, max_failed=1, attempts=1), model, offer).sample(QUESTIONS, how, sampling)


def test_a_chat_is_sent_as_turns(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    server.script = [acts.says("Paris")]
    sampled(server, tiny_llama, PromptFormat(system="Be brief.", suffix="Answer only."))
    bodies = [seen.body for seen in server.seen]
    assert {seen.path for seen in server.seen} == {"/v1/chat/completions"}
    assert len(bodies) == 6
    assert len({body["seed"] for body in bodies}) == 6
    body = next(body for body in bodies if "France" in body["messages"][1]["content"])
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the capital of France? Answer only."},
    ]
    sent = {name: body[name] for name in ("temperature", "top_k", "top_p", "max_tokens", "stop")}
    assert sent == {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "max_tokens": 9, "stop": ["\n"]}


def test_a_plain_prompt_is_sent_as_text(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    server.script = [acts.says(" Paris", plain=True)]
    found = sampled(server, tiny_llama, PromptFormat(style="plain"))
    assert {seen.path for seen in server.seen} == {"/v1/completions"}
    assert {seen.body["prompt"] for seen in server.seen} == {
        f"Question: What is the capital of {name}?\nAnswer:" for name in ("France", "Norway")
    }
    assert [each.text for own in found.responses for each in own] == [" Paris"] * 6


def test_seeds_belong_to_samples(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    server.script = [acts.says("x")]
    seeds = []
    for sampling in (SAMPLING, SAMPLING, SAMPLING.model_copy(update={"seed": 5})):
        server.seen.clear()
        sampled(server, tiny_llama, PromptFormat(), sampling)
        seeds.append(sorted(seen.body["seed"] for seen in server.seen))
    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])
    assert all(0 <= seed < 2**31 for seed in seeds[0])


def test_responses_are_records_of_the_text(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    texts = ["Paris is the capital of France.", "Zürich – 12 345", "東京 😀", "", "one\ntwo", "It's O'Neill."]
    finish = ["stop", "length", "eos", "stop", "length", "stop"]
    orders = {q.text: iter(range(3 * i, 3 * i + 3)) for i, q in enumerate(QUESTIONS)}

    def script(seen: Any) -> Any:
        place = next(orders[seen.last])
        return acts.says(texts[place], finish[place], prompt_tokens=0)

    server.script = script
    found = Served(settings(server, concurrency=1), tiny_llama, ONE_BY_ONE).sample(QUESTIONS, PromptFormat(), SAMPLING)
    said = [each for own in found.responses for each in own]
    assert [each.text for each in said] == ["one" if text.startswith("one") else text for text in texts]
    assert [each.finish for each in said] == ["stop", "length", "stop", "stop", "stop", "stop"]  # "one" met its stop
    assert [(each.question_id, each.sample) for each in said] == [(q.id, i) for q in QUESTIONS for i in range(3)]
    for each in said:
        assert decode_with_offsets(tiny_llama.tokenizer, each.token_ids) == (each.text, each.offsets)
    assert found.account.asked == 6
    assert found.account.completion_tokens == 18
    assert found.account.notes == {}


def test_texts_that_do_not_come_back_are_left_out_and_counted(
    server: Any, acts: ModuleType, tiny_llama: LanguageModel
) -> None:
    france = iter(["Paris", "Paris</s>", "<s>Paris"])
    server.script = lambda seen: acts.says(next(france) if "France" in seen.last else "Oslo", prompt_tokens=0)
    found = Served(settings(server, concurrency=1), tiny_llama, ONE_BY_ONE).sample(QUESTIONS, PromptFormat(), SAMPLING)
    assert [[each.sample for each in own] for own in found.responses] == [[0], [0, 1, 2]]
    assert found.account.notes == {"text_not_retokenised": 2}


def test_another_prompt_on_the_server_is_counted(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    """A chat template of its own shows in the number of tokens."""
    how = PromptFormat()
    length = {q.text: len(how.token_ids(q.text, tiny_llama.tokenizer)) for q in QUESTIONS}
    server.script = lambda seen: acts.says("x", prompt_tokens=length[seen.last] + ("Norway" in seen.last))
    assert sampled(server, tiny_llama, how).account.notes == {"prompt_of_another_length": 3}


def test_failures_are_counted_and_leave_fewer_responses(
    server: Any, acts: ModuleType, tiny_llama: LanguageModel
) -> None:
    server.script = lambda seen: acts.fails(500) if "France" in seen.last else acts.says("Oslo", prompt_tokens=0)
    found = sampled(server, tiny_llama, PromptFormat())
    assert list(map(len, found.responses)) == [0, 3]
    assert found.account.failed == {"server error 500": 3}


def test_a_server_without_top_k_is_asked_without_it(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    def script(seen: Any) -> Any:
        return acts.fails(400, "unknown: top_k") if "top_k" in seen.body else acts.says("x", prompt_tokens=0)

    server.script = script
    found = sampled(server, tiny_llama, PromptFormat(), offer=None)
    assert found.account.notes == {"sampled_without_top_k": 6}
    assert found.account.asked == 6


def test_greedy_decoding_needs_no_top_k(server: Any, acts: ModuleType, tiny_llama: LanguageModel) -> None:
    server.script = [acts.says("x")]
    sampled(server, tiny_llama, PromptFormat(), Sampling(n_samples=1, temperature=0), offer=None)
    assert not {"top_k", "top_p", "stop"} & server.seen[0].body.keys()


@pytest.mark.parametrize("text", ["Paris", " Paris", "Zürich – perhaps", "東京 😀", "\n\nParis", ""])
@pytest.mark.parametrize("prompt", ["<user>What is it?</s><assistant>", "Question: What?\nAnswer:", ""])
def test_tokens_decode_to_the_text(tiny_llama: LanguageModel, text: str, prompt: str) -> None:
    ids = retokenise(text, prompt, tiny_llama.tokenizer)
    assert ids is not None
    assert decode(tiny_llama.tokenizer, ids) == text


def test_text_and_prompt_are_cut_together() -> None:
    """A tokenizer that puts a blank before a text, and drops one when it decodes, as SentencePiece ones do."""

    class Piece:
        names = ("▁Answer", ":", "▁Paris", "▁", "▁▁Paris")

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            left = "▁" + text.replace(" ", "▁")
            ids = []
            while left:
                best = max((name for name in self.names if left.startswith(name)), key=len)
                ids.append(self.names.index(best))
                left = left[len(best) :]
            return {"input_ids": ids}

        def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
            return "".join(self.names[i] for i in ids).replace("▁", " ").removeprefix(" ")

    assert retokenise(" Paris", "Answer:", Piece()) == (4,)  # exactly the text, cut alone
    Piece.names = Piece.names[:4]
    assert retokenise("Paris", "Answer: ", Piece()) == (2,)
    assert Piece()("Answer: Paris", add_special_tokens=False)["input_ids"] == [0, 1, 2]
