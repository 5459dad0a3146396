"""Cases with a context, played by a bundled model: ruled on as in a sweep, and read where the answer is predicted."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hneurons
from hneurons.compliance.benchmark import Benchmark, BenchmarkRequest, Ruling
from hneurons.compliance.chats import case_ids
from hneurons.compliance.loading import load_benchmark
from hneurons.layers.attention.contexts import FATES, misleads, played_cases
from hneurons.models.language_model import LanguageModel
from hneurons.responses.sampling import Prompt, sample


@pytest.fixture(scope="module")
def atlas() -> LanguageModel:
    """A small bundled model."""
    return hneurons.load("atlas-3m-instruct", device="cpu")


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    """A few false contexts."""
    return load_benchmark(BenchmarkRequest(name="atlas/context", limit=12))


def test_only_cases_of_one_reply_that_name_their_context(benchmark: Benchmark) -> None:
    assert misleads(benchmark)
    assert not misleads(load_benchmark(BenchmarkRequest(name="atlas/premise", limit=4)))
    follow = tuple(case.model_copy(update={"follow_ups": ("Sure?",)}) for case in benchmark.cases)
    assert not misleads(replace(benchmark, cases=follow))


def test_cases_are_read_where_their_answers_are_predicted(atlas: LanguageModel, benchmark: Benchmark) -> None:
    played = played_cases(atlas, benchmark, benchmark.cases)
    assert [each.case for each in played] == list(benchmark.cases)
    assert {each.fate for each in played} <= set(FATES)
    read = [each for each in played if each.reading is not None]
    assert len(read) >= 8
    decode = atlas.tokenizer.decode
    prompts = {each.case.id: case_ids(each.case, (), atlas.tokenizer) for each in read}
    generated = sample(atlas, [Prompt(key, ids) for key, ids in prompts.items()], benchmark.sampling)
    responses = dict(zip(prompts, (response for (response,) in generated), strict=True))
    for each in read:
        assert each.fate in ("complies", "resists")
        found, case = each.reading, each.case
        assert found is not None
        response = responses[case.id]
        assert found.token_ids == (*prompts[case.id], *response.token_ids)  # the very tokens that are generated
        parts = {
            name: decode([t for t, own in zip(found.token_ids, found.segments, strict=True) if own == name])
            for name in ("context", "question", "subject", "response")
        }
        assert parts["response"] == response.text
        assert case.wrong[0] in parts["context"]
        assert case.meta["subject"] in parts["subject"].strip() or parts["subject"].strip() in str(case.meta["subject"])
        answer = decode([found.token_ids[place + 1] for place in found.positions])
        assert answer.strip(" .")
        assert answer.strip(" .") in response.text
        if each.fate == "complies":
            assert case.wrong[0] in answer
            assert benchmark.rule(case, (response.text,)).outcome == "complies"
        first = min(found.positions)
        assert found.segments[first] in ("response", "template")


def test_what_is_not_read_says_why(atlas: LanguageModel, benchmark: Benchmark) -> None:
    some = benchmark.cases[:3]

    def fates(made: Benchmark) -> set[str]:
        return {each.fate for each in played_cases(atlas, made, made.cases) if each.reading is None}

    assert fates(replace(benchmark, cases=some, rule=lambda *_: Ruling("unparsed"))) == {"unparsed"}
    moved = tuple(case.model_copy(update={"meta": {**case.meta, "context": "Not there."}}) for case in some)
    assert fates(replace(benchmark, cases=moved, rule=lambda *_: Ruling("resists"))) <= {"not_in_prompt", "refusal"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hneurons.layers.attention.contexts.retokenise", lambda *_: (7,))
        assert fates(replace(benchmark, cases=some, rule=lambda *_: Ruling("resists"))) <= {
            "spelled_otherwise",
            "refusal",
        }
        patched.setattr("hneurons.layers.attention.contexts.is_refusal", lambda _: True)
        assert fates(replace(benchmark, cases=some, rule=lambda *_: Ruling("resists"))) == {"refusal"}
