"""The bundled model, exported, gives the hooked model's answers in plain transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import export as program  # answers in a process that knows nothing of us

import hneurons
from hneurons.interventions import scale
from hneurons.interventions.export import export
from hneurons.models.language_model import LanguageModel
from hneurons.questions import PromptFormat, load_questions

NAME = "atlas-7m-instruct"
PROMPTS = 200


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return hneurons.load(NAME, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def prompts(model: LanguageModel) -> list[list[int]]:
    asked = load_questions("atlas/cities", split="validation", limit=PROMPTS).questions
    assert len(asked) == PROMPTS
    return [PromptFormat(style="chat").token_ids(question.text, model.tokenizer) for question in asked]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 2.0, 3.0])
def test_answers_are_the_hooked_model_s(
    alpha: float, model: LanguageModel, prompts: list[list[int]], tmp_path: Path
) -> None:
    """Every fifth neuron, so that most answers change. The weights are stored in bfloat16, where 0 and 2 are exact and
    3 is rounded: there, an answer may part where two next tokens are almost equally likely."""
    neurons = [(layer, index) for layer in range(model.n_layers) for index in range(0, model.n_neurons, 5)]
    report = export(NAME, neurons, alpha, tmp_path / "out")
    found = program.in_plain_transformers(tmp_path / "out", "float32", prompts)["answers"]
    with scale(model, neurons, alpha):
        hooked = program.answers(model.hf, prompts)
    intact = program.answers(model.hf, prompts)
    equal = [a == b for a, b in zip(found, hooked, strict=True)]
    assert sum(a != b for a, b in zip(found, intact, strict=True)) > PROMPTS / 2
    if alpha == 3:
        assert 0 < report.rounding < 2**-8
        assert sum(equal) > 0.9 * PROMPTS
    else:
        assert report.rounding == 0
        assert all(equal)
