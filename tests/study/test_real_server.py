"""Sampling from `transformers serve`, a real server in a process of its own; only where what it needs is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.server import MISSING, can_serve, generation, serving

import hneurons
from hneurons.errors import EndpointError
from hneurons.questions.loading import load_questions
from hneurons.questions.prompts import PromptFormat
from hneurons.responses.offsets import decode_with_offsets
from hneurons.responses.remote import Served
from hneurons.responses.sampling import Prompt, Sampling, sample
from hneurons.responses.served import ServedSettings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_serve(), reason=MISSING)]

HOW = PromptFormat()


@pytest.mark.parametrize("continuous", [False, True], ids=["one after another", "batched"])
def test_a_real_server(tmp_path: Path, continuous: bool) -> None:
    """Greedily it says what the local model says, token for token; drawn, each stream is cut into tokens as it came."""
    model = hneurons.load("atlas-7m-instruct", dtype="float32")
    questions = load_questions("atlas/cities", split="validation", limit=24).questions
    prompts = [Prompt(each.id, tuple(HOW.token_ids(each.text, model.tokenizer))) for each in questions]
    greedy = Sampling(n_samples=1, temperature=0, max_new_tokens=30)
    drawn = Sampling(n_samples=2, max_new_tokens=30)
    with serving(model, tmp_path, continuous=continuous) as (url, name):
        told = {"url": url, "model": name, "leave_out": ["top_k"], "concurrency": 16}
        with pytest.raises(EndpointError, match="does not tell the tokens of its texts"):
            Served(ServedSettings.model_validate(told), model).sample(questions, HOW, greedy)
        streamed = ServedSettings.model_validate({**told, "tokens": "streamed"})
        found = Served(streamed, model).sample(questions, HOW, greedy)
        expected = sample(model, prompts, greedy)
        equal = [ours == theirs for ours, theirs in zip(found.responses, expected, strict=True)]
        assert sum(equal) >= 23  # the server computes in another order, which may tip one choice
        assert found.account.notes == found.account.failed == {}
        if continuous:
            return  # and goes on greedily for ever, as it was first asked
        extra = {"generation_config": generation(model, top_k=50)}
        some = Served(streamed.model_copy(update={"extra": extra}), model).sample(questions, HOW, drawn)
    kept = [each for own in some.responses for each in own]
    assert len(kept) + sum(some.account.notes.values()) - 48 == 48  # one note of each for top_k, which stands in extra
    assert len(kept) > 40
    for each in kept:
        assert decode_with_offsets(model.tokenizer, each.token_ids) == (each.text, each.offsets)
    assert sum(len({each.text for each in own}) > 1 for own in some.responses) > 3
