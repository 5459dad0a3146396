"""Many requests of many parts: samples together, seeds, order, and what is handed over when."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from tests.endpoint.server import Act, Seen
from tests.responses.serving import Speaker, generations, local

from hneurons.errors import EndpointError
from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat
from hneurons.questions.question import Question
from hneurons.responses.remote import RemoteSamples, Served, _seed
from hneurons.responses.sampling import Sampling
from hneurons.responses.served import Offer, ServedSettings

HOW = PromptFormat()
SAMPLING = Sampling(n_samples=3, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=6, seed=3)
SEPARATE = Offer({"return_token_ids": True}, together=False, top_k=True)


def questions(n: int) -> list[Question]:
    return [Question(id=f"q{i}", text=f"What is the capital of {i}?", aliases=("x",)) for i in range(n)]


def served(server: Any, model: LanguageModel, offer: Offer | None = None, **more: Any) -> Served:
    made = ServedSettings.model_validate({"url": server.url, "model": "m", "attempts": 1, **more})
    return Served(made, model, offer)


def parts_of(asked: Sequence[Question], size: int) -> dict[int, list[Question]]:
    return {start // size: list(asked[start : start + size]) for start in range(0, len(asked), size)}


@pytest.fixture
def speaker(server: Any, tiny_llama: LanguageModel) -> Speaker:
    """A server that speaks as vLLM does, of eight questions."""
    server.script = Speaker(tiny_llama, generations(tiny_llama, questions(8), HOW, SAMPLING), "vllm")
    speaker: Speaker = server.script
    return speaker


def test_samples_of_a_question_come_with_one_request(server: Any, tiny_llama: LanguageModel, speaker: Speaker) -> None:
    """Their seeds are those that single requests have, as vLLM derives them; so the responses are the same."""
    asked = questions(8)
    found = served(server, tiny_llama).sample(asked, HOW, SAMPLING)
    assert [seen.body.get("n") for seen in server.seen] == [None, None, *[3] * 9]  # the first three find out
    sent = [seen.body["seed"] for seen in server.seen[3:]]
    assert sorted(sent) == sorted(_seed(3, each.id, 0) for each in asked)
    server.seen.clear()
    single = served(server, tiny_llama, together=False).sample(asked, HOW, SAMPLING)
    assert [seen.body.get("n") for seen in server.seen] == [None] * (2 + 24)
    assert sorted(seen.body["seed"] for seen in server.seen[2:]) == sorted(
        _seed(3, each.id, sample) for each in asked for sample in range(3)
    )
    assert found.responses == single.responses == local(tiny_llama, asked, HOW, SAMPLING)
    assert found.account.asked == single.account.asked == 24
    assert found.account.completion_tokens == single.account.completion_tokens
    assert found.account.prompt_tokens * 3 == single.account.prompt_tokens


def test_a_server_that_gives_one_text_however_many_are_asked_for(
    server: Any, tiny_llama: LanguageModel, speaker: Speaker
) -> None:
    speaker.dialect = "transformers"
    found = served(server, tiny_llama, tokens="retokenised").sample(questions(8), HOW, SAMPLING)
    assert sum("n" in seen.body for seen in server.seen) == 1
    assert found.account.asked == 24
    assert found.account.failed == {}


def test_texts_that_are_missing_are_failures(server: Any, tiny_llama: LanguageModel, speaker: Speaker) -> None:
    def script(seen: Seen) -> Act:
        seen.body["n"] = 2 if seen.last == questions(1)[0].text else seen.body["n"]
        return speaker(seen)

    server.script = script
    offer = Offer({"return_token_ids": True}, together=True, top_k=True)
    found = served(server, tiny_llama, offer).sample(questions(8), HOW, SAMPLING)
    assert found.account.failed == {"fewer texts than asked for": 1}
    assert list(map(len, found.responses)) == [2, *[3] * 7]


def test_samples_stand_together_and_prompts_by_how_they_begin(
    server: Any, tiny_llama: LanguageModel, speaker: Speaker
) -> None:
    shuffled = [questions(8)[i] for i in (5, 2, 7, 0, 3, 6, 1, 4)]
    found = served(server, tiny_llama, SEPARATE, concurrency=1).sample(shuffled, HOW, SAMPLING)
    order = [seen.last for seen in server.seen]
    assert order == [each.text for each in questions(8) for _ in range(3)]
    assert [own[0].question_id for own in found.responses] == [each.id for each in shuffled]


def test_no_part_waits_for_another(server: Any, tiny_llama: LanguageModel, speaker: Speaker) -> None:
    """One text of the first part takes as long as all the rest; the rest is handed over meanwhile."""
    others = threading.Event()
    slow = _seed(3, "q0", 1)
    lock, flying, most = threading.Lock(), 0, 0

    def script(seen: Seen) -> Act:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        if seen.body["seed"] == slow:
            assert others.wait(10)
        with lock:
            flying -= 1
        return speaker(seen)

    server.script = script
    done: list[int] = []
    whole: dict[int, RemoteSamples] = {}

    def keep(number: int, found: RemoteSamples) -> None:
        done.append(number)
        whole[number] = found
        if len(done) == 3:
            others.set()

    parts = parts_of(questions(8), 2)
    served(server, tiny_llama, SEPARATE, concurrency=4).sample_parts(parts, HOW, SAMPLING, keep)
    assert sorted(done) == [0, 1, 2, 3]
    assert done[-1] == 0
    assert 2 <= most <= 4
    expected = local(tiny_llama, questions(8), HOW, SAMPLING)
    assert [own for number in range(4) for own in whole[number].responses] == expected


def test_a_part_with_too_many_failures_is_not_handed_over(
    server: Any, acts: ModuleType, tiny_llama: LanguageModel, speaker: Speaker
) -> None:
    bad = {each.text for each in questions(8)[4:6]}
    server.script = lambda seen: acts.fails(500, "on fire") if seen.last in bad else speaker(seen)
    done: list[int] = []
    some = served(server, tiny_llama, SEPARATE, max_failed=0.05, concurrency=1)
    with pytest.raises(EndpointError, match=r"6 of 6 requests .* server error 500: on fire"):
        some.sample_parts(parts_of(questions(8), 2), HOW, SAMPLING, lambda number, _: done.append(number))
    assert done == [0, 1]


@pytest.mark.parametrize("how", ["one seed for all", "greedily"])
def test_a_server_that_does_not_draw_is_found_out(
    server: Any, tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Nothing is handed over until samples of a question differ; after so many that are alike it is the end."""
    monkeypatch.setattr("hneurons.responses.remote.ALIKE", 6)
    made = generations(tiny_llama, questions(8), HOW, SAMPLING)
    if how == "greedily":
        made = {_seed(3, each.id, s): made[_seed(3, each.id, 0)] for each in questions(8) for s in range(3)}
    server.script = Speaker(tiny_llama, made, "vllm", one_seed=how != "greedily")
    done: list[int] = []
    parts = parts_of(questions(8), 2)
    with pytest.raises(EndpointError, match=r"says the same each time .* decodes greedily, or takes one seed"):
        served(server, tiny_llama).sample_parts(parts, HOW, SAMPLING, lambda number, _: done.append(number))
    assert done == []
    served(server, tiny_llama).sample_parts(  # of few questions it proves nothing
        dict(list(parts.items())[:2]), HOW, SAMPLING, lambda number, _: done.append(number)
    )
    assert sorted(done) == [0, 1]
