"""The harness against the ways of asking that it stands beside, and methods that do nothing against the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from hneurons.compliance.benchmark import Benchmark, Case, Ruling, Turn
from hneurons.compliance.playing import play as played_before
from hneurons.compliance.reading import read
from hneurons.compliance.turning import NeuronSet
from hneurons.errors import InterventionError
from hneurons.layers.mitigation.harness import answer, counting, lose, play
from hneurons.layers.mitigation.methods import (
    Method,
    Shown,
    contrasted,
    gated,
    recalibrated,
    scaled,
    shown_case,
    shown_question,
    steered,
    unchanged,
    withheld,
)
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.questions.question import Question
from hneurons.responses.sampling import Prompt, Sampling, sample

HOW = Sampling(n_samples=1, temperature=0, max_new_tokens=4)
NEURONS = [(layer, index) for layer in range(3) for index in range(0, 48, 3)]


def rule(case: Case, replies: Sequence[str]) -> Ruling:
    return Ruling("complies" if "a" in replies[-1] else "resists")


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    """Three cases, of which one has a passage and one is asked again."""
    asked = ("What is the capital of France?", "Where is Oslo?")
    passage = "The city of Oslo is in Norway."
    cases = (
        Case(id="0", turns=(Turn(role="user", content=asked[0]),), follow_ups=("I don't know; perhaps more.",)),
        Case(id="1", turns=(Turn(role="user", content=asked[1]),)),
        Case(
            id="2",
            turns=(Turn(role="user", content=f"{passage} {asked[1]}"),),
            meta={"context": passage, "asked": asked[1]},
        ),
    )
    sampling = Sampling(n_samples=1, temperature=0.9, top_k=20, max_new_tokens=4)
    return Benchmark("toy", "Toy", "it says a", cases, sampling, rule)


def direction(model: LanguageModel) -> torch.Tensor:
    return torch.randn(model.hidden_size, generator=torch.Generator().manual_seed(3))


def nothing(model: LanguageModel) -> list[Method]:
    """Methods at the settings that change nothing."""
    return [
        scaled("scaling", NEURONS, 1.0),
        recalibrated("attention", 1.0),
        steered("steering", 1, direction(model), 0.0),
        withheld("silence", lambda m, shown, responses: torch.full((len(responses),), float("nan")).double(), 0.5),
    ]


def something(model: LanguageModel) -> list[Method]:
    """The same at others."""
    return [
        scaled("scaling", NEURONS, 0.0),
        recalibrated("attention", 50.0),
        steered("steering", 1, direction(model), 2.0),
        withheld("silence", lambda m, shown, responses: torch.ones(len(responses)).double(), 0.5),
        contrasted("contrast", (0, 1)),
    ]


def asked(model: LanguageModel) -> tuple[list[Prompt], list[Shown]]:
    ids = [tuple(model.tokenizer(text)["input_ids"]) for text in ("Where is Oslo?", "What is the capital of France?")]
    return [Prompt(str(i), own) for i, own in enumerate(ids)], [Shown(own, "Where?", (1, 2)) for own in ids]


def test_methods_that_do_nothing_change_nothing(tiny_llama: LanguageModel, benchmark: Benchmark) -> None:
    prompts, shown = asked(tiny_llama)
    text = [(0, (1, 50, 60, 70)), (1, (1, 5, 6))]
    plain = answer(tiny_llama, unchanged(), prompts, shown, HOW)
    replies = play(tiny_llama, unchanged(), benchmark, benchmark.cases, seed=1)
    losses = lose(tiny_llama, unchanged(), text)
    for method in nothing(tiny_llama):
        assert answer(tiny_llama, method, prompts, shown, HOW) == plain
        assert play(tiny_llama, method, benchmark, benchmark.cases, seed=1) == replies
        assert lose(tiny_llama, method, text) == losses
    for method in something(tiny_llama):
        assert answer(tiny_llama, method, prompts, shown, HOW) != plain
    assert play(tiny_llama, something(tiny_llama)[1], benchmark, benchmark.cases, seed=1) != replies
    for method in something(tiny_llama):
        same = method.kind in ("attention", "abstention")  # of a text without a question there is nothing to look at
        assert (lose(tiny_llama, method, text) == losses) == same


def test_answers_are_those_of_sample(tiny_llama: LanguageModel) -> None:
    prompts, shown = asked(tiny_llama)
    said = answer(tiny_llama, unchanged(), prompts, shown, HOW)
    for found, (response,) in zip(said, sample(tiny_llama, prompts, HOW), strict=True):
        assert (found.text, found.n_tokens) == (response.text, len(response.token_ids))
        assert found.cut_off == (response.finish == "length")


def test_cases_are_played_as_a_sweep_plays_them(tiny_llama: LanguageModel, benchmark: Benchmark) -> None:
    chosen = NeuronSet("some", "random", tuple(NEURONS))
    found = play(tiny_llama, scaled("zero", NEURONS, 0.0), benchmark, benchmark.cases, seed=5)
    expected = played_before(tiny_llama, benchmark, benchmark.cases, chosen, [0.0], seed=5)
    assert [(each.case, each.round, each.text, each.n_tokens) for each in found] == [
        (each.case, each.round, each.text, each.n_tokens) for each in expected
    ]
    intact = play(tiny_llama, unchanged(), benchmark, benchmark.cases, seed=5)
    assert intact == played_before(tiny_llama, benchmark, benchmark.cases, None, [1.0], seed=5)
    assert [each.text for each in intact] != [each.text for each in found]
    assert [(each.case, each.round) for each in intact] == [("0", 0), ("1", 0), ("2", 0), ("0", 1)]


def test_text_is_read_as_a_sweep_reads_it(tiny_llama: LanguageModel) -> None:
    text = [(0, (1, 50, 60, 70)), (1, (1, 5, 6))]
    assert lose(tiny_llama, unchanged(), text) == read(tiny_llama, text, None, (1.0,))
    (loss, _) = lose(tiny_llama, contrasted("contrast", 0), text)
    assert loss.nll == float("inf") or loss.nll > 0


def test_what_a_method_is_shown(tiny_llama: LanguageModel, benchmark: Benchmark) -> None:
    tokenizer = tiny_llama.tokenizer
    question = Question(id="q", text="Where is Oslo?", aliases=("Norway",))
    ids = tuple(tokenizer("<user>Where is Oslo?</s><assistant>")["input_ids"])
    shown = shown_question(tiny_llama, question, ids)
    assert tokenizer.decode([ids[i] for i in shown.source or ()]) == question.text
    assert shown_question(tiny_llama, question.model_copy(update={"text": "Who is it?"}), ids).source is None
    case = benchmark.cases[2]
    asked = tuple(tokenizer(f"<user>{case.turns[0].content}</s><assistant>")["input_ids"])
    assert tokenizer.decode([asked[i] for i in shown_case(tiny_llama, case, asked, "x").source or ()]).strip() == str(
        case.meta["context"]
    )


def test_attention_without_its_question_is_refused(tiny_llama: LanguageModel) -> None:
    prompts, shown = asked(tiny_llama)
    lost = [shown[0], Shown(prompts[1].token_ids, "Where?", None)]
    with pytest.raises(InterventionError, match="does not hold its question"):
        answer(tiny_llama, recalibrated("attention", 2.0), prompts, lost, HOW)


def test_what_is_counted(tiny_llama: LanguageModel, hand_probe: Callable[..., Probe]) -> None:
    """A prompt of n tokens and m generated ones: n + m - 1 tokens, twice what a gate repeats."""
    prompts = [Prompt("a", (5, 17, 40, 41)), Prompt("b", (8, 3))]
    shown = [Shown(prompt.token_ids) for prompt in prompts]
    ((first,), (second,)) = sample(tiny_llama, prompts, HOW)
    rows, width, steps = 2, 4, max(len(first.token_ids), len(second.token_ids))
    assert len(first.token_ids) == len(second.token_ids)  # so that no row drops out
    probe = hand_probe(tiny_llama, {(0, 1): 1.0}, 9.0)  # above any threshold
    expected = {
        unchanged(): (1, 1),
        gated("gate", probe, 0.5, 0.0): (2, 2),
        contrasted("contrast", 0): (1, 2),
        contrasted("contrast", (0, 1)): (1, 3),
    }
    for method, (layers, unembedding) in expected.items():
        how = HOW if method.kind in ("unchanged",) else HOW.model_copy(update={"max_new_tokens": 1})
        after = steps if method.kind == "unchanged" else 1
        with counting(tiny_llama) as count:
            answer(tiny_llama, method, prompts, shown, how)
        assert count.layers == layers * rows * (width + after - 1)
        checked = rows if method.kind == "contrast" else 0  # once a block, against the model's own logits
        assert count.unembedding == unembedding * rows * after + checked
